"""The rows that one condition names, found through an index. Knows indexes and how many rows are few, not order.

Every SELECT here finds all rows that may satisfy its condition and perhaps a few more; the search checks each exactly.
Conditions are tried from the most to the least selective, and every try stops after FEW rows.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from relais.db.database import Connection
from relais.dicom import person_name
from relais.dicom.attributes import Level, by_tag
from relais.dicom.matching import alternatives, is_universal
from relais.dicom.query import Match, MatchKind
from relais.dicom.values import NUMBER_VRS, interval, number_key, text_key
from relais.index import compile as sql
from relais.index.columns import ODD_NUMBER, Column, label, label_columns, row_level, storable
from relais.index.compile import Condition, Fragment
from relais.index.mapping import all_rows

FEW = 5000
NOTHING = Fragment("SELECT 0 WHERE 0")
MAX_WORDS = 8  # of a fuzzy name, the longest ones, are looked up; the check of what is found looks at all
MAX_LABELS = 1000  # that one condition may name; what names more is frequent
MAX_ALTERNATIVES = 50  # of a person name; for more no names are looked up
_LITERAL = re.compile(r"[^*?\[]{3,}")  # what a trigram index can find
_BY_VALUE = {
    Level.STUDY: "SELECT s.id FROM study AS s WHERE {}",
    Level.SERIES: "SELECT e.id FROM series AS e WHERE {}",
    Level.IMAGE: "SELECT i.id FROM instance AS i WHERE {}",
}


def few(connection: Connection, candidates: Fragment, most: int | None = None) -> list[int] | None:
    """The ids that *candidates* selects, None if they are many: more than *most*, or else FEW."""
    most = FEW if most is None else most
    found = sql.fill("WITH found(id) AS ({} LIMIT ?) SELECT json_group_array(id) FROM found", candidates)
    ids = all_rows(connection, found.sql, (*found.params, most + 1))
    return ids if len(ids) <= most else None


def listed(ids: list[int]) -> Fragment:
    """*ids* as a SELECT."""
    return Fragment("SELECT value FROM json_each(?)", (json.dumps(ids),))


def candidates_of(connection: Connection, conditions: list[Condition], fuzzy: bool) -> Iterator[tuple[Level, Fragment]]:
    """A SELECT of ids for each condition that an index serves, and the level of the rows that it names."""
    asked = [condition.match for condition in conditions if condition.match is not None]
    for tags in (sql.UIDS, sql.NUMBERS, sql.NAMES, sql.REQUESTS, sql.KINDS):
        for match in asked:
            found = _candidate(connection, match, fuzzy) if match.tag in tags else None
            if found is not None:
                yield _level(match), found
    for level in (Level.SERIES, Level.STUDY):
        found = by_labels(connection, level, asked)
        if found is not None:
            yield level, found


def _level(match: Match) -> Level:
    """The level of the rows that a candidate of *match* names."""
    return Level.STUDY if match.tag in sql.KINDS else row_level(by_tag()[match.tag].level)


def _candidate(connection: Connection, match: Match, fuzzy: bool) -> Fragment | None:
    """A SELECT of ids through an index, None where none serves this condition."""
    if any(is_universal(one) for one in alternatives(match)):
        return None
    if match.tag in sql.NAMES:
        return _by_name(connection, match, fuzzy)
    if match.tag == sql.REQUEST_SEQUENCE:
        return _by_request(match)
    if match.tag in sql.KINDS:
        return _by_kind(match)
    return _by_value(match) or _by_trigrams(match)


def is_exact(match: Match) -> bool:
    """Whether *match* names its values letter by letter."""
    return match.kind is not MatchKind.EMPTY_VALUE and all(
        one.kind is MatchKind.SINGLE_VALUE for one in alternatives(match)
    )


def _has_beginning(match: Match) -> bool:
    """Whether an index of the values can be entered: by values, a range, or a pattern that begins with a letter."""
    if match.kind is MatchKind.WILD_CARD:
        return bool(sql.beginning(text_key(match.values[0])))
    return is_exact(match) or match.kind in (MatchKind.EMPTY_VALUE, MatchKind.RANGE)


def _by_value(match: Match) -> Fragment | None:
    """Through an index of the column itself."""
    attribute = by_tag()[match.tag]
    if not _has_beginning(match):
        return None
    column = f'{sql.ALIAS[attribute.level]}."{attribute.column}"'
    return sql.fill(_BY_VALUE[_level(match)], sql.values(attribute.vr, column, match))


def _by_trigrams(match: Match) -> Fragment | None:
    """Through the trigrams of the study's texts: patterns and values with three ordinary letters in a row."""
    if match.tag not in sql.TRIGRAMS:
        return None
    found = [_by_pattern(one) for one in alternatives(match)]
    served = [one for one in found if one is not None]
    return sql.joined(" UNION ", served) if len(served) == len(found) else None


def _by_pattern(match: Match) -> Fragment | None:
    if match.kind not in (MatchKind.WILD_CARD, MatchKind.SINGLE_VALUE):
        return None
    pattern = storable(text_key(match.values[0]))
    if (match.kind is MatchKind.SINGLE_VALUE and ("*" in pattern or "?" in pattern)) or not _LITERAL.search(pattern):
        return None
    column = by_tag()[match.tag].column or ""
    return sql.fill("SELECT rowid FROM study_trigram WHERE {}", _with_trigrams("study_trigram", column, pattern))


def _with_trigrams(table: str, column: str, pattern: str) -> Fragment:
    """*column* of a trigram table holds *pattern*.

    `*letters*` is answered by the trigrams alone; for any other pattern SQLite looks at the text of each row found.
    """
    letters = pattern.strip("*")
    if pattern == f"*{letters}*" and not {"*", "?"} & set(letters):
        phrase = letters.replace('"', '""')
        return sql.fill("{} MATCH {}", table, Fragment("?", (f'{column} : "{phrase}"',)))
    return sql.glob(column, pattern)


def by_labels(connection: Connection, level: Level, asked: list[Match]) -> Fragment | None:
    """Rows of *level* under labels that satisfy all of *asked* that labels can tell, None where they tell nothing."""
    columns = {column.tag: column for column in label_columns(level)}
    wanted = []
    for match in asked:
        said = label_condition(columns[match.tag], match) if match.tag in columns else None
        ids = few(connection, said, MAX_LABELS) if said is not None else None
        if ids is not None:
            wanted.append(ids)
    if not wanted:
        return None
    if not all(wanted):
        return NOTHING
    table = {Level.STUDY: "study_label", Level.SERIES: "series_label"}[level]
    words = " AND ".join(f"({' OR '.join(map(str, ids))})" for ids in wanted)
    return sql.fill("SELECT rowid FROM {0} WHERE {0} MATCH {1}", table, Fragment("?", (words,)))


def label_condition(column: Column, match: Match) -> Fragment | None:
    """The labels of every value that satisfies *match*, perhaps of a few more; None where labels cannot tell."""
    simple = alternatives(match)
    if any(is_universal(one) for one in simple):
        return None
    if match.kind is MatchKind.EMPTY_VALUE:
        found: Fragment | None = Fragment("l.value = ''")
    elif column.vr == "TM":
        found = sql.any_of([_minutes(one) for one in simple])
    elif column.vr in NUMBER_VRS:
        numbers = tuple(label(column.vr, number_key(one.values[0])) for one in simple)
        found = None if ODD_NUMBER in numbers else sql.values("LO", "l.value", replace(match, values=numbers))
    else:
        found = sql.values(column.vr, "l.value", match)
    return found and sql.fill(
        "SELECT l.id FROM label AS l WHERE l.tag = {} AND {}", Fragment("?", (column.tag,)), found
    )


def _minutes(match: Match) -> Fragment:
    """The minutes that lie in a time or range of times."""
    ends = interval("TM", match.values[0], match.values[-1])
    if ends is None:
        return sql.values("TM", "l.value", match)
    low, high = (str(end or other) for end, other in zip(ends, ("0", "9"), strict=True))
    return Fragment("l.value BETWEEN ? AND ?", (label("TM", low), label("TM", high)))


def _by_kind(match: Match) -> Fragment | None:
    """Studies that hold a modality or SOP Class."""
    if not is_exact(match) or any("\\" in value for value in match.values):
        return None
    if match.tag in (sql.MODALITIES_IN_STUDY, sql.MODALITY):
        found = sql.values("CS", "m.modality", match)
        return sql.fill("SELECT DISTINCT m.study_fk FROM study_modality AS m WHERE {}", found)
    found = sql.in_uids("c.sop_class_uid", match)
    return sql.fill(
        "SELECT DISTINCT c.study_fk FROM study_sop_class AS c INDEXED BY study_sop_class_uid WHERE {}", found
    )


def _by_request(match: Match) -> Fragment | None:
    """Series by one of the three keys of a request that have an index."""
    for one in match.items:
        found = sql.request_column(one)
        is_served = _has_beginning(one) and one.kind is not MatchKind.EMPTY_VALUE and not is_universal(one)
        if found in sql.REQUEST_INDEXES and is_served:
            key = sql.values("LO", f"r.{found}", one)
            rows = "SELECT DISTINCT r.series_fk FROM series_request AS r WHERE {} <> '' AND {}"
            return sql.fill(rows, f"r.{found}", key)
    return None


def _by_name(connection: Connection, match: Match, fuzzy: bool) -> Fragment | None:
    """Names first, in their dictionary; then the studies that bear them."""
    name = f"s.{by_tag()[match.tag].column}"
    if match.kind is MatchKind.EMPTY_VALUE:
        return sql.fill("SELECT s.id FROM study AS s WHERE {} IS NULL", name)
    ids = name_ids(connection, match, fuzzy)
    return None if ids is None else sql.fill("SELECT s.id FROM study AS s WHERE {} IN ({})", name, listed(ids))


def name_ids(connection: Connection, match: Match, fuzzy: bool) -> list[int] | None:
    """Ids of all names that may satisfy *match*, perhaps of a few more; None if they are many, or much is asked."""
    if len(alternatives(match)) > MAX_ALTERNATIVES:
        return None
    found: set[int] = set()
    for candidates in name_candidates(match, fuzzy):
        ids = few(connection, candidates)
        if ids is None:
            return None
        found.update(ids)
    return list(found) if len(found) <= FEW else None


def name_candidates(match: Match, fuzzy: bool) -> list[Fragment]:
    """SELECTs that together find every name that may satisfy *match*."""
    found = []
    for one in alternatives(match):
        text = one.values[0]
        wanted, is_wild = person_name.keys(text), one.kind is MatchKind.WILD_CARD
        if "=" in text:
            named = [(group, key) for group, key in zip(sql.GROUPS, wanted, strict=True) if key]
            found += [_in_group(group, key, is_wild) for group, key in named[:1]]
        elif wanted[0]:
            found += [_in_group(group, wanted[0], is_wild) for group in sql.GROUPS]
        if fuzzy and (words := person_name.words(text)):
            found.append(_with_words(words))
    return found


def _in_group(group: str, key: str, is_wild: bool) -> Fragment:
    column, key = f"n.{group}", storable(key)
    if not is_wild:
        found = Fragment(f"{column} = ?", (key,))
        return sql.fill("SELECT n.id FROM person_name AS n WHERE {} <> '' AND {}", column, found)
    if not sql.beginning(key) and _LITERAL.search(key):
        found = _with_trigrams("person_name_trigram", group, key)
        return sql.fill("SELECT rowid FROM person_name_trigram WHERE {}", found)
    return sql.fill("SELECT n.id FROM person_name AS n WHERE {}", sql.wild_card(column, key))


def _with_words(words: tuple[str, ...]) -> Fragment:
    telling = sorted(words, key=len)[-MAX_WORDS:]
    ranges = [sql.starts("w.word", storable(word)) for word in telling]
    listed = [sql.fill("SELECT w.name_fk FROM person_name_word AS w WHERE {}", one) for one in ranges]
    return sql.joined(" INTERSECT ", listed)
