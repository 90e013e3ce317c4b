"""Which index a search starts from. Knows the schema's indexes and how many rows are few.

1. A key that names few rows drives: its rows are found first, at most FEW of them, and everything else only filters.
   Keys are tried from the most to the least selective; every try stops after FEW rows.
2. Where every key names many rows, hits are frequent: studies are walked from the newest to the oldest and filtered,
   until the page is full. A single modality has an index in that order, which is walked instead.
3. Whatever drives, every condition is checked exactly on every row: a plan can be slow, never wrong.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from relais.db.database import Connection
from relais.dicom import person_name
from relais.dicom.attributes import Level, by_tag
from relais.dicom.matching import alternatives, is_universal
from relais.dicom.query import Match, MatchKind
from relais.dicom.values import interval, text_key
from relais.index import compile as sql
from relais.index.columns import storable
from relais.index.compile import Condition, Fragment

FEW = 2000
_END_OF_DAY = 235960
_LITERAL = re.compile(r"[^*?\[]{3,}")  # what the trigram index can find


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a search starts: the FROM clause's first table, its condition, and the names of what it sorts by."""

    level: Level  # of the rows that drive
    source: str
    start: Fragment
    date_time: str = "s.date_time"
    study: str = "s.id"


def plan(connection: Connection, level: Level, conditions: list[Condition], fuzzy: bool) -> Plan:
    """The plan for a search at *level*."""
    for at, candidates in _candidates(connection, conditions, fuzzy):
        ids = few(connection, candidates)
        if ids is not None:
            return _driven_by(at, ids)
    return _walk(level, conditions)


def few(connection: Connection, candidates: Fragment) -> list[int] | None:
    """The ids that *candidates* selects, None if they are many."""
    rows = connection.execute(f"{candidates.sql} LIMIT {FEW + 1}", candidates.params).fetchall()
    return [row[0] for row in rows] if len(rows) <= FEW else None


def _driven_by(level: Level, ids: list[int]) -> Plan:
    table = {Level.STUDY: "study AS s", Level.SERIES: "series AS e", Level.IMAGE: "instance AS i"}[level]
    chosen = sql.fill("{}.id IN ({})", sql.ALIAS[level], _listed(ids))
    return Plan(level, table, chosen)


def _listed(ids: list[int]) -> Fragment:
    return Fragment("SELECT value FROM json_each(?)", (json.dumps(ids),))


def _walk(level: Level, conditions: list[Condition]) -> Plan:
    """From the newest study to the oldest."""
    bounds = [bound for condition in conditions if (bound := _bounds(condition)) is not None]
    if level is Level.PATIENT:
        return Plan(Level.STUDY, "study AS s INDEXED BY study_patient_id", sql.all_of(bounds))
    modality = next((one for one in map(_single_modality, conditions) if one is not None), None)
    if modality is None:
        return Plan(Level.STUDY, "study AS s INDEXED BY study_date_time", sql.all_of(bounds))
    bounds = [Fragment(bound.sql.replace("s.date_time", "d.date_time"), bound.params) for bound in bounds]
    start = sql.all_of([Fragment("d.modality = ?", (modality,)), *bounds])
    source = "study_modality AS d CROSS JOIN study AS s ON s.id = d.study_fk"
    return Plan(Level.STUDY, source, start, "d.date_time", "d.study_fk")


def _bounds(condition: Condition) -> Fragment | None:
    """What a Study Date range says about study.date_time."""
    if condition.between is not None:
        low, high = condition.between
        return Fragment("s.date_time BETWEEN ? AND ?", (int(low[:14]), int(high[:14])))
    match = condition.match
    if match is None or match.tag != sql.STUDY_DATE or match.kind not in (MatchKind.RANGE, MatchKind.SINGLE_VALUE):
        return None
    ends = interval("DA", match.values[0], match.values[-1])
    if ends is None:
        return None
    low_day, high_day = int(ends[0] or 1), int(ends[1] or 99999999)
    return Fragment("s.date_time BETWEEN ? AND ?", (low_day * 1_000_000, high_day * 1_000_000 + _END_OF_DAY))


def _single_modality(condition: Condition) -> str | None:
    """The modality that a study must have to hold what is searched."""
    match = condition.match
    if match is None or match.tag not in (sql.MODALITIES_IN_STUDY, sql.MODALITY) or not _is_exact(match):
        return None
    values = {text_key(one.values[0]) for one in alternatives(match)}
    modality = values.pop() if len(values) == 1 else ""
    return storable(modality) if "\\" not in modality and modality else None


_OF_LEVEL = {
    Level.STUDY: "SELECT s.id FROM study AS s WHERE {}",
    Level.SERIES: "SELECT e.id FROM series AS e WHERE {}",
    Level.IMAGE: "SELECT i.id FROM instance AS i WHERE {}",
}

# Candidates, from the most to the least selective


def _candidates(connection: Connection, conditions: list[Condition], fuzzy: bool) -> Iterator[tuple[Level, Fragment]]:
    asked = [(condition, condition.match) for condition in conditions if condition.match is not None]
    for tags in (sql.UIDS, sql.NUMBERS, sql.NAMES, sql.REQUESTS, sql.KINDS):
        for condition, match in asked:
            if match.tag in tags:
                found = _candidate(connection, condition, match, fuzzy)
                if found is not None:
                    yield condition.level if match.tag not in sql.KINDS else Level.STUDY, found


def _candidate(connection: Connection, condition: Condition, match: Match, fuzzy: bool) -> Fragment | None:
    """A SELECT of ids through an index, None where there is none for this condition."""
    if match.kind is MatchKind.EMPTY_VALUE or any(is_universal(one) for one in alternatives(match)):
        return None
    if match.tag in sql.NAMES:
        ids = name_ids(connection, match, fuzzy)
        name = f"s.{by_tag()[match.tag].column}"
        return None if ids is None else sql.fill("SELECT s.id FROM study AS s WHERE {} IN ({})", name, _listed(ids))
    if match.tag == sql.REQUEST_SEQUENCE:
        return _request_candidate(match)
    if match.tag in sql.KINDS:
        return _kind_candidate(match)
    return sql.fill(_OF_LEVEL[condition.level], condition.fragment) if _has_beginning(match) else None


def _is_exact(match: Match) -> bool:
    return match.kind is not MatchKind.EMPTY_VALUE and all(
        one.kind is MatchKind.SINGLE_VALUE for one in alternatives(match)
    )


def _has_beginning(match: Match) -> bool:
    """Whether an index of the values can be entered: single values, or one pattern that begins with a letter."""
    if match.kind is MatchKind.WILD_CARD:
        return bool(sql.beginning(text_key(match.values[0])))
    return _is_exact(match)


def _kind_candidate(match: Match) -> Fragment | None:
    """Studies of a modality or SOP Class."""
    if not _is_exact(match):
        return None
    if match.tag in (sql.MODALITIES_IN_STUDY, sql.MODALITY):
        found = sql.values("CS", "m.modality", match)
        return sql.fill("SELECT DISTINCT m.study_fk FROM study_modality AS m WHERE {}", found)
    found = sql.in_uids("c.sop_class_uid", match)
    return sql.fill(
        "SELECT DISTINCT c.study_fk FROM study_sop_class AS c INDEXED BY study_sop_class_uid WHERE {}", found
    )


def _request_candidate(match: Match) -> Fragment | None:
    """Series by one of the three keys of a request that have an index."""
    for one in match.items:
        found = sql.request_column(one)
        if found in sql.REQUEST_INDEXES and _has_beginning(one) and not is_universal(one):
            key = sql.values("LO", f"r.{found}", one)
            listed = "SELECT DISTINCT r.series_fk FROM series_request AS r WHERE {} <> '' AND {}"
            return sql.fill(listed, f"r.{found}", key)
    return None


# Names first


def name_ids(connection: Connection, match: Match, fuzzy: bool) -> list[int] | None:
    """Ids of all names that may satisfy *match*, perhaps of a few more; None if they are many."""
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
        return sql.fill("SELECT rowid FROM person_name_trigram WHERE {}", sql.glob(group, key))
    return sql.fill("SELECT n.id FROM person_name AS n WHERE {}", sql.wild_card(column, key))


def _with_words(words: tuple[str, ...]) -> Fragment:
    ranges = [sql.starts("w.word", storable(word)) for word in words]
    listed = [sql.fill("SELECT w.name_fk FROM person_name_word AS w WHERE {}", one) for one in ranges]
    return sql.joined(" INTERSECT ", listed)
