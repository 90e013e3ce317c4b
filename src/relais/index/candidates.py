"""The rows that one condition names, found through an index. Knows indexes and how many rows are few, not order.

Every SELECT here finds all rows that may satisfy its condition and perhaps a few more; the search checks each exactly.
Conditions are tried from the most to the least selective, and every try stops after FEW rows.
"""

from collections.abc import Iterator
from dataclasses import replace

from relais.db.database import Connection
from relais.dicom.attributes import Level, Use, by_tag
from relais.dicom.matching import alternatives, is_universal
from relais.dicom.query import Match, MatchKind
from relais.dicom.values import NUMBER_VRS, interval, number_key, text_key
from relais.index import compile as sql
from relais.index import packs
from relais.index.columns import ODD_NUMBER, Column, label, label_columns, row_level, storable
from relais.index.compile import Condition
from relais.index.dialect import LITERAL, listed, read, under_labels, with_trigrams
from relais.index.fragments import Fragment, any_of, fill, joined
from relais.index.ids import NOTHING, RARE, are_expected_many, few

MAX_LABELS = 1000  # that one condition may name; what names more is frequent
_BY_VALUE = {
    Level.STUDY: "SELECT s.id FROM study AS s WHERE {}",
    Level.SERIES: "SELECT e.id FROM series AS e WHERE {}",
}


class Candidates:
    """What `candidates_of` says of some conditions: each is looked for when it is come to, and only once."""

    def __init__(self, connection: Connection, conditions: list[Condition]) -> None:
        self._known: list[tuple[Level, Fragment]] = []
        self._coming = candidates_of(connection, conditions)

    def __iter__(self) -> Iterator[tuple[Level, Fragment]]:
        yield from self._known
        for one in self._coming:
            self._known.append(one)
            yield one


def candidates_of(connection: Connection, conditions: list[Condition]) -> Iterator[tuple[Level, Fragment]]:
    """A SELECT of ids for each condition that an index serves, and the level of the rows that it names."""
    asked = [condition.match for condition in conditions if condition.match is not None]
    for tags in (sql.UIDS, sql.NUMBERS, sql.REQUESTS, sql.KINDS):
        for match in asked:
            found = _candidate(match) if match.tag in tags else None
            if found is not None:
                yield _level(match), found
    for condition in conditions:
        found = None if condition.match is None else _by_declared(condition.match, condition.fuzzy)
        if found is not None and condition.match is not None:
            yield _level(condition.match), found
    for level in (Level.SERIES, Level.STUDY):
        found = by_labels(connection, level, asked)
        if found is not None:
            yield level, found


def _level(match: Match) -> Level:
    """The level of the rows that a candidate of *match* names."""
    found = row_level(by_tag()[match.tag].level)
    if match.tag in sql.KINDS:
        return Level.STUDY
    return Level.SERIES if found is Level.IMAGE else found


def _candidate(match: Match) -> Fragment | None:
    """A SELECT of ids through an index, None where none serves this condition."""
    if any(is_universal(one) for one in alternatives(match)):
        return None
    if match.tag == sql.REQUEST_SEQUENCE:
        return _by_request(match)
    if match.tag in sql.KINDS:
        return _by_kind(match)
    if match.tag == sql.SOP_INSTANCE_UID:
        return _by_instance(match)
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
    return fill(_BY_VALUE[_level(match)], sql.values(attribute.vr, column, match))


def _by_declared(match: Match, fuzzy: bool) -> Fragment | None:
    """Through the list of values of a key that the site declared."""
    attribute = by_tag()[match.tag]
    is_declared = attribute.use is Use.KEPT and match.kind is not MatchKind.EMPTY_VALUE
    if not is_declared or any(is_universal(one) for one in alternatives(match)):
        return None
    table, tag = sql.KEY_TABLES[sql.ALIAS[attribute.level]], Fragment("?", (match.tag,))
    found = sql.listed_values(attribute, match, fuzzy)
    return fill("SELECT DISTINCT k.row_fk FROM {} AS k WHERE k.tag = {} AND {}", table, tag, found)


def _by_instance(match: Match) -> Fragment:
    """Series that hold an instance, in a row or perhaps in a pack."""
    rows = fill("SELECT i.series_fk FROM instance AS i WHERE {}", sql.values("UI", "i.sop_instance_uid", match))
    uids = (storable(text_key(value)) for one in alternatives(match) for value in one.values)
    stems = listed([stem for uid in uids for stem in packs.stems_of(uid)])
    return fill("{} UNION SELECT p.series_fk FROM packed_uid AS p WHERE p.stem IN ({})", rows, stems)


def _by_trigrams(match: Match) -> Fragment | None:
    """Through the trigrams of the study's texts: patterns and values with three ordinary letters in a row."""
    if match.tag not in sql.TRIGRAMS:
        return None
    found = [_by_pattern(one) for one in alternatives(match)]
    served = [one for one in found if one is not None]
    return joined(" UNION ", served) if len(served) == len(found) else None


def _by_pattern(match: Match) -> Fragment | None:
    if match.kind not in (MatchKind.WILD_CARD, MatchKind.SINGLE_VALUE):
        return None
    pattern = storable(text_key(match.values[0]))
    if (match.kind is MatchKind.SINGLE_VALUE and ("*" in pattern or "?" in pattern)) or not LITERAL.search(pattern):
        return None
    column = by_tag()[match.tag].column or ""
    return with_trigrams("study_trigram", column, pattern)


def by_labels(connection: Connection, level: Level, asked: list[Match]) -> Fragment | None:
    """Rows of *level* under labels that satisfy all of *asked* that labels can tell, None if they tell too little."""
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
    rarest = _rarest(connection, level, wanted)
    if rarest is not None:
        return listed(rarest)
    found = under_labels(level, wanted)
    return None if are_expected_many(connection, found) else found


def _rarest(connection: Connection, level: Level, wanted: list[list[int]]) -> list[int] | None:
    """The rows under the labels that fewest bear, where one of several conditions alone leaves but RARE of them.

    SQLite reads the whole list of a frequent label to find what it has in common with a rare one; a server does not.
    """
    if len(wanted) == 1 or connection.is_remote:
        return None
    found = [few(connection, under_labels(level, [labels]), RARE) for labels in wanted]
    return min((ids for ids in found if ids is not None), key=len, default=None)


def label_condition(column: Column, match: Match) -> Fragment | None:
    """The labels of every value that satisfies *match*, perhaps of a few more; None where labels cannot tell."""
    simple = alternatives(match)
    if any(is_universal(one) for one in simple):
        return None
    if match.kind is MatchKind.EMPTY_VALUE:
        found: Fragment | None = Fragment("l.value = ''")
    elif column.vr == "TM":
        found = any_of([_minutes(one) for one in simple])
    elif column.vr in NUMBER_VRS:
        numbers = tuple(label(column.vr, number_key(one.values[0])) for one in simple)
        found = None if ODD_NUMBER in numbers else sql.values("LO", "l.value", replace(match, values=numbers))
    else:
        found = sql.values(column.vr, "l.value", match)
    return found and fill("SELECT l.id FROM label AS l WHERE l.tag = {} AND {}", Fragment("?", (column.tag,)), found)


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
        return fill("SELECT m.study_fk FROM study_modality AS m WHERE {}", found)
    found = sql.in_uids("c.sop_class_uid", match)
    classes = Fragment(read("study_sop_class", "c", "study_sop_class_uid"))
    return fill("SELECT c.study_fk FROM {} WHERE {}", classes, found)


def _by_request(match: Match) -> Fragment | None:
    """Series by one of the three keys of a request that have an index."""
    for one in match.items:
        found = sql.request_column(one)
        is_served = _has_beginning(one) and one.kind is not MatchKind.EMPTY_VALUE and not is_universal(one)
        if found in sql.REQUEST_INDEXES and is_served:
            key = sql.values("LO", f"r.{found}", one)
            rows = "SELECT DISTINCT r.series_fk FROM series_request AS r WHERE {} <> '' AND {}"
            return fill(rows, f"r.{found}", key)
    return None
