"""The statement that finds the rows of a search in their order, and where it goes on after a batch. Runs nothing.

A place in the order is a tuple: date_time and id of the study, then position and id of the series, then of the
instance, as far as the level goes down; at PATIENT level Patient ID and issuer.
"""

from relais.dicom.attributes import Level
from relais.index.dialect import as_array, read
from relais.index.fragments import Fragment, all_of, fill
from relais.index.plan import Plan, inside

Place = tuple[str | int | float, ...]

_DOWN = (
    f"CROSS JOIN {read('series', 'e', 'series_study')} ON e.study_fk = s.id",
    f"CROSS JOIN {read('instance', 'i', 'instance_series')} ON i.series_fk = e.id",
)
_UP = "CROSS JOIN study AS s ON s.id = e.study_fk"
_DEPTH = {Level.STUDY: 0, Level.SERIES: 1, Level.IMAGE: 2}


def page(level: Level, chosen: Plan, filters: list[Fragment]) -> Fragment:
    """The statement that finds places in order, as one JSON array; its last two parameters are LIMIT and OFFSET."""
    found = select(level, chosen, filters)
    columns = ("a, b", "a, b, c, d", "a, b, c, d, e, f")[_DEPTH.get(level, 0)]
    return as_array(columns, fill("{} LIMIT ? OFFSET ?", found))


def select(level: Level, chosen: Plan, filters: list[Fragment]) -> Fragment:
    """The statement that finds places in order."""
    where = all_of([chosen.start, *filters])
    if level is Level.PATIENT:
        patient = "s.patient_id, s.issuer_of_patient_id"
        return _statement(patient, chosen.source, where, f"GROUP BY {patient} ORDER BY {patient}")
    columns = [f"{chosen.date_time} DESC", f"{chosen.study} DESC", "e.position", "e.id", "i.position", "i.id"]
    order = columns[: 2 * _DEPTH[level] + 2]
    names = ", ".join(column.removesuffix(" DESC") for column in order)
    return _statement(names, _tables(level, chosen), where, f"ORDER BY {', '.join(order)}")


def _statement(columns: str, tables: str, where: Fragment, order: str) -> Fragment:
    return fill("SELECT {} FROM {} WHERE {} {}", Fragment(columns), Fragment(tables), where, Fragment(order))


def _tables(level: Level, chosen: Plan) -> str:
    """The tables, joined from the one that drives; CROSS JOIN keeps SQLite from choosing another order."""
    if chosen.level is Level.STUDY:
        joins = list(_DOWN[: _DEPTH[level]])
    elif chosen.level is Level.SERIES:
        joins = [_UP, *_DOWN[1 : _DEPTH[level]]]
    else:
        joins = ["CROSS JOIN series AS e ON e.id = i.series_fk", _UP]
    return " ".join([chosen.source, *joins])


def behind(level: Level, chosen: Plan, last: Place) -> list[tuple[Plan, Fragment]]:
    """Where to look for what lies behind *last*, in order: in the rest of its series, of its study, in all others."""
    if level is Level.PATIENT:
        return [(chosen, Fragment("(s.patient_id, s.issuer_of_patient_id) > (?, ?)", last))]
    found = [(chosen, Fragment(f"({chosen.date_time}, {chosen.study}) < (?, ?)", last[:2]))]
    if level is not Level.STUDY:
        found.insert(0, (inside(Level.STUDY, last[1]), Fragment("(e.position, e.id) > (?, ?)", last[2:4])))
    if level is Level.IMAGE:
        found.insert(0, (inside(Level.SERIES, last[3]), Fragment("(i.position, i.id) > (?, ?)", last[4:6])))
    return found
