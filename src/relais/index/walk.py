"""The statement that finds the rows of a search in their order, and where it goes on after a batch. Runs nothing.

A place in the order is a tuple: date_time and id of the study, then position and id of the series, if it is one; at
PATIENT level Patient ID and issuer. Instances are found in the series that are found (index.images).
"""

from relais.dicom.attributes import Level
from relais.index.dialect import as_array, read
from relais.index.fragments import Fragment, all_of, fill
from relais.index.plan import Plan, inside

Place = tuple[str | int | float, ...]

_DOWN = f"CROSS JOIN {read('series', 'e', 'series_study')} ON e.study_fk = s.id"
_UP = "CROSS JOIN study AS s ON s.id = e.study_fk"


def page(level: Level, chosen: Plan, filters: list[Fragment]) -> Fragment:
    """The statement that finds places in order, as one JSON array; its last two parameters are LIMIT and OFFSET."""
    found = select(level, chosen, filters)
    columns = "a, b, c, d" if level is Level.SERIES else "a, b"
    return as_array(columns, fill("{} LIMIT ? OFFSET ?", found))


def oldest_first(chosen: Plan) -> Fragment:
    """The same for all studies in the order of the last to the first; its last two parameters are LIMIT and OFFSET."""
    order = f"ORDER BY {chosen.date_time}, {chosen.study} LIMIT ? OFFSET ?"
    return as_array("a, b", _statement(f"{chosen.date_time}, {chosen.study}", chosen.source, chosen.start, order))


def select(level: Level, chosen: Plan, filters: list[Fragment]) -> Fragment:
    """The statement that finds places in order."""
    where = all_of([chosen.start, *filters])
    if level is Level.PATIENT:
        patient = "s.patient_id, s.issuer_of_patient_id"
        return _statement(patient, chosen.source, where, f"GROUP BY {patient} ORDER BY {patient}")
    order = [f"{chosen.date_time} DESC", f"{chosen.study} DESC"]
    if level is Level.SERIES:
        order += ["e.position", "e.id"]
    names = ", ".join(column.removesuffix(" DESC") for column in order)
    return _statement(names, _tables(level, chosen), where, f"ORDER BY {', '.join(order)}")


def _statement(columns: str, tables: str, where: Fragment, order: str) -> Fragment:
    return fill("SELECT {} FROM {} WHERE {} {}", Fragment(columns), Fragment(tables), where, Fragment(order))


def _tables(level: Level, chosen: Plan) -> str:
    """The tables, joined from the one that drives; CROSS JOIN keeps SQLite from choosing another order."""
    if chosen.level is Level.SERIES:
        return f"{chosen.source} {_UP}"
    return f"{chosen.source} {_DOWN}" if level is Level.SERIES else chosen.source


def behind(level: Level, chosen: Plan, last: Place) -> list[tuple[Plan, Fragment]]:
    """Where to look for what lies behind *last*, in order: in the rest of its study, in all others."""
    if level is Level.PATIENT:
        return [(chosen, Fragment("(s.patient_id, s.issuer_of_patient_id) > (?, ?)", last))]
    found = [(chosen, Fragment(f"({chosen.date_time}, {chosen.study}) < (?, ?)", last[:2]))]
    if level is Level.SERIES:
        found.insert(0, (inside(Level.STUDY, last[1]), Fragment("(e.position, e.id) > (?, ?)", last[2:4])))
    return found
