"""Which index a search starts from. Knows the schema's indexes; index.candidates knows what can be found through them.

1. A key that names few rows drives: its rows are found first and everything else only filters. Names drive as long as
   not too many studies bear them: an index on names alone counts these studies and brings them in order. Patterns of
   names, which take longest to look up, wait until no other key is rare.
2. Where every key names many rows, hits are frequent: studies are walked from the newest to the oldest and filtered,
   until the page is full. A single modality, common or rare, has an index in that order, which is walked instead.
   Names alone are walked for, too, where a page of them lies nearer than all who bear them: some names tell how near.
   Before any of this index.nearby tries whether they are so frequent that they need not be looked up.
3. Whatever drives, every condition is checked exactly on every row: a plan can be slow, never wrong.
4. What no row can satisfy starts from FALSE, and is not asked for.
"""

import math
from dataclasses import dataclass, replace

from relais.db.database import Connection
from relais.dicom.attributes import Level
from relais.dicom.matching import alternatives
from relais.dicom.query import MatchKind
from relais.dicom.values import text_key
from relais.index import compile as sql
from relais.index.candidates import Candidates, is_exact
from relais.index.columns import storable
from relais.index.compile import Bears, Condition
from relais.index.dialect import listed, read
from relais.index.fragments import FALSE, TRUE, Fragment, all_of, fill
from relais.index.ids import RARE, few

EVERYTHING = 2**62  # as a number of rows
BEARER_COST = 2  # of who bears a name, counted and sorted, in studies that are passed over
PATIENT_COST = 16  # the same for patients, of whom the index on names does not tell: rows are read
MANY = 20_000  # studies that bear a name; where more do, a walk from the newest soon finds a page of them


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a search starts: the FROM clause's first table, its condition, and the names of what it sorts by."""

    level: Level  # of the rows that drive
    source: str
    start: Fragment
    date_time: str = "s.date_time"
    study: str = "s.id"


def alone(conditions: list[Condition]) -> Condition | None:
    """The only condition beside dates."""
    asked = [one for one in conditions if one.between is None and one.fragment != TRUE]
    return asked[0] if len(asked) == 1 else None


def tried(connection: Connection, level: Level, conditions: list[Condition]) -> Candidates:
    """Where *conditions* let a search start, names apart: a single modality is walked instead, but for patients."""
    chosen = [one for one in conditions if level is Level.PATIENT or _single_modality(one) is None]
    return Candidates(connection, chosen)


def plan(
    connection: Connection,
    level: Level,
    conditions: list[Condition],
    rows: int = EVERYTHING,
    starts: Candidates | None = None,
) -> Plan:
    """The plan for a search at *level* for the first *rows*. Conditions on names come as index.bearers leaves them.

    *starts* are what was `tried` already.
    """
    if any(one.fragment == FALSE for one in conditions):
        return replace(walked(level, conditions), start=FALSE)
    if _is_nearer(connection, level, conditions, rows):
        return walked(level, conditions)
    bearers, named = _by_names(connection, conditions)
    for at, candidates in starts or tried(connection, level, conditions) if bearers > RARE else ():
        ids = few(connection, candidates)
        if ids is not None and len(ids) <= bearers:
            return _driven_by(at, ids)
    return named or walked(level, conditions)


def rare(connection: Connection, conditions: list[Condition], starts: Candidates) -> Plan | None:
    """The plan that starts from what else is asked beside patterns of names, where that names so few rows.

    Then the names need not be looked up, which takes longest. *conditions* come as index.compile leaves them, *starts*
    are those `tried` of them.
    """
    if not any(map(may_be_frequent, conditions)):
        return None
    for at, candidates in starts:
        ids = few(connection, candidates, RARE)
        if ids is not None:
            return _driven_by(at, ids)
    return None


def may_be_frequent(condition: Condition) -> bool:
    """Whether it asks for more than one name, in some way."""
    match = condition.match
    return match is not None and match.tag in sql.NAMES and (condition.fuzzy or match.kind is MatchKind.WILD_CARD)


def _is_nearer(connection: Connection, level: Level, conditions: list[Condition], rows: int) -> bool:
    """Whether names alone are asked for, and for *rows* studies or patients fewer are passed over than bear one."""
    asked = alone(conditions)
    bears = asked.bears if asked is not None else None
    if bears is None or bears.times == 1:
        return False
    studies = connection.execute("SELECT studies FROM totals").fetchone()[0]
    cost = PATIENT_COST if level is Level.PATIENT else BEARER_COST
    enough = math.isqrt(studies * rows // cost)  # bearers: then as much is to be done one way as the other
    some = max(1, round(enough / bears.times))
    start = all_of([bears.some, between("s.date_time BETWEEN ? AND ?", conditions)])
    return enough <= MANY and _count(connection, bears, start, some) >= some


def _by_names(connection: Connection, conditions: list[Condition]) -> tuple[int, Plan | None]:
    """The plan that starts from the names that fewest studies bear, and how many do; without one, more than MANY."""
    found: tuple[int, Plan | None] = (MANY + 1, None)
    bounds = between("s.date_time BETWEEN ? AND ?", conditions)
    for bears in (one.bears for one in conditions if one.bears is not None):
        start = all_of([bears.names, bounds])
        count = _count(connection, bears, start, found[0])
        if count < found[0]:
            found = count, Plan(Level.STUDY, _source(bears), start)
    return found


def _count(connection: Connection, bears: Bears, start: Fragment, most: int) -> int:
    """How many studies satisfy *start*, which the index of these names answers, up to *most*."""
    studies = fill("SELECT 1 FROM {} WHERE {} LIMIT {}", Fragment(_source(bears)), start, Fragment("?", (most,)))
    counted = fill("SELECT count(*) FROM ({}) AS bearers", studies)
    return int(connection.execute(counted.sql, counted.params).fetchone()[0])


def _source(bears: Bears) -> str:
    return read("study", "s", f"study_{bears.column.removeprefix('s.')}")


_ROWS = {
    Level.STUDY: read("study", "s", None),  # found by their ids, whatever else is asked
    Level.SERIES: read("series", "e", None),
}


def _driven_by(level: Level, ids: list[int]) -> Plan:
    start = fill("{}.id IN ({})", sql.ALIAS[level], listed(ids)) if ids else FALSE
    return Plan(level, _ROWS[level], start)


def inside(level: Level, row_id: object) -> Plan:
    """The plan for what lies in one study or series."""
    return Plan(level, _ROWS[level], Fragment(f"{sql.ALIAS[level]}.id = ?", (row_id,)))


def walked(level: Level, conditions: list[Condition]) -> Plan:
    """From the newest study to the oldest, or from patient to patient."""
    if level is Level.PATIENT:
        return Plan(Level.STUDY, read("study", "s", "study_patient_id"), TRUE)
    modality = next((one for one in map(_single_modality, conditions) if one is not None), None)
    if modality is None:
        bounds = between("s.date_time BETWEEN ? AND ?", conditions)
        index = "study_names" if any(_is_of_names(one) for one in conditions) else "study_date_time"
        return Plan(Level.STUDY, read("study", "s", index), bounds)
    bounds = between("d.date_time BETWEEN ? AND ?", conditions)
    start = all_of([Fragment("d.modality = ?", (modality,)), bounds])
    source = "study_modality AS d CROSS JOIN study AS s ON s.id = d.study_fk"
    return Plan(Level.STUDY, source, start, "d.date_time", "d.study_fk")


def between(template: str, conditions: list[Condition]) -> Fragment:
    """What the conditions say about the date and time that is walked."""
    return all_of([Fragment(template, one.between) for one in conditions if one.between is not None])


def _is_of_names(condition: Condition) -> bool:
    return condition.match is not None and condition.match.tag in sql.NAMES


def _single_modality(condition: Condition) -> str | None:
    """The modality that a study must have to hold what is searched."""
    match = condition.match
    if match is None or match.tag not in (sql.MODALITIES_IN_STUDY, sql.MODALITY) or not is_exact(match):
        return None
    values = {text_key(one.values[0]) for one in alternatives(match)}
    modality = values.pop() if len(values) == 1 else ""
    return storable(modality) if "\\" not in modality and modality else None
