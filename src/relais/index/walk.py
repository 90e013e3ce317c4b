"""The statement that finds the rows of a search in their order, and where it goes on after a batch. Runs nothing.

A place in the order is a tuple: date_time and id of the study, then position and id of the series, if it is one; at
PATIENT level Patient ID and issuer, then date_time and id of the only study of one without an ID, else zeros. Instances
are found in the series that are found (index.images).

Reading: studies without a Patient ID are of a patient each (PS3.4 C.6.1.1), for nothing tells that they are of the same
one; they are found before all others.
"""

from dataclasses import replace

from relais.dicom.attributes import Level
from relais.index.dialect import as_array, read
from relais.index.fragments import TRUE, Fragment, all_of, fill
from relais.index.plan import Plan, inside

Place = tuple[str | int | float, ...]

_PATIENT = "s.patient_id, s.issuer_of_patient_id"
_NO_STUDY = "0"

_DOWN = f"CROSS JOIN {read('series', 'e', 'series_study')} ON e.study_fk = s.id"
_UP = "CROSS JOIN study AS s ON s.id = e.study_fk"


def page(level: Level, chosen: Plan, filters: list[Fragment]) -> Fragment:
    """The statement that finds places in order, as one JSON array; its last two parameters are LIMIT and OFFSET."""
    found = select(level, chosen, filters)
    columns = "a, b" if level is Level.STUDY else "a, b, c, d"
    return as_array(columns, fill("{} LIMIT ? OFFSET ?", found))


def oldest_first(chosen: Plan) -> Fragment:
    """The same for all studies in the order of the last to the first; its last two parameters are LIMIT and OFFSET."""
    order = f"ORDER BY {chosen.date_time}, {chosen.study} LIMIT ? OFFSET ?"
    return as_array("a, b", _statement(f"{chosen.date_time}, {chosen.study}", chosen.source, chosen.start, order))


def select(level: Level, chosen: Plan, filters: list[Fragment]) -> Fragment:
    """The statement that finds places in order."""
    where = all_of([chosen.start, *filters])
    if level is Level.PATIENT:
        study = f"{chosen.date_time}, {chosen.study}"
        patient = _PATIENT if chosen.study == _NO_STUDY else f"{_PATIENT}, {study}"
        return _statement(f"{_PATIENT}, {study}", chosen.source, where, f"GROUP BY {patient} ORDER BY {patient}")
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
    found = [(chosen, Fragment(f"({chosen.date_time}, {chosen.study}) < (?, ?)", last[:2]))]
    if level is Level.SERIES:
        found.insert(0, (inside(Level.STUDY, last[1]), Fragment("(e.position, e.id) > (?, ?)", last[2:4])))
    return found


def patients(chosen: Plan, *, some_lack_id: bool) -> list[Plan]:
    """*chosen* for patients, in parts of which one follows the other: in a walk those without a Patient ID are apart.

    So both are read in the order of the index; what is found in another way is sorted all the same.
    """
    identified = replace(chosen, date_time=_NO_STUDY, study=_NO_STUDY)
    if not some_lack_id:
        return [identified]
    if chosen.start == TRUE:
        return [
            replace(chosen, start=Fragment("s.patient_id = ''")),
            replace(identified, start=Fragment("s.patient_id > ''")),
        ]
    date_time, study = (f"CASE WHEN s.patient_id = '' THEN {column} ELSE 0 END" for column in ("s.date_time", "s.id"))
    return [replace(chosen, date_time=date_time, study=study)]


def behind_patient(parts: list[Plan], last: Place) -> list[tuple[Plan, Fragment]]:
    """As `behind`, for the parts of `patients`."""
    first, rest = parts[0], parts[1:]
    study = f"{first.date_time}, {first.study}"
    if rest and not last[0]:
        position = Fragment(f"(s.issuer_of_patient_id, {study}) > (?, ?, ?)", last[1:])
        return [(first, position), *((part, TRUE) for part in rest)]
    if rest or first.study == _NO_STUDY:
        identified = replace(parts[-1], start=TRUE if rest else first.start)
        return [(identified, Fragment(f"({_PATIENT}) > (?, ?)", last[:2]))]
    return [(first, Fragment(f"({_PATIENT}, {study}) > (?, ?, ?, ?)", last))]
