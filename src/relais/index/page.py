"""The rows of a page as the attributes that were asked for. Knows return keys, not matching.

Always returned are the unique, required and derived attributes of the query's level (SOP Classes in Study only on
request) and the unique and required ones of the levels above it, empty ones without Value, and the conditional ones of
all these levels where they are known; never an attribute of a lower level (PS3.18 10.6.3.3).

Deviation: in a search for studies, one in which no series tells a modality has Modalities in Study, without Value, only
if the request names it: OHIF's whole study list breaks at an empty one.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from relais.db import statements
from relais.db.database import Connection
from relais.dicom.attributes import LEVELS, TABLE, Level, Use, by_tag, levels_above
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.query import Query
from relais.index import answers, columns, instances, packing, short
from relais.index import compile as sql
from relais.index.fragments import Fragment, all_of, fill
from relais.index.mapping import all_rows, blob, named_rows
from relais.index.walk import Place

SQL = statements.load("relais.index.sql", "search.sql")
_READ: dict[Level, tuple[str, Callable[[answers.Columns, JsonDataset], JsonDataset]]] = {
    Level.STUDY: ("studies", answers.study),
    Level.SERIES: ("series", answers.series),
    Level.IMAGE: ("instances", answers.instance),
}
_ON_REQUEST = frozenset({sql.SOP_CLASSES_IN_STUDY})  # it takes a look at other rows, and no answer must have it
_PATIENT_COUNTS = frozenset({answers.PATIENT_STUDIES, answers.PATIENT_SERIES, answers.PATIENT_INSTANCES})


def rows(connection: Connection, query: Query, places: list[Place], filters: list[Fragment]) -> list[JsonDataset]:
    """The attributes of each place; of patients those of a study that satisfies *filters*."""
    wanted = _wanted(query.level, query.return_keys | _ON_REQUEST if query.all_keys else query.return_keys)
    if query.level is Level.PATIENT:
        found = _patients(connection, all_of(filters), places)
    else:
        found = _composites(connection, query.level, places)
        _add_derived(connection, wanted, places, found)
    return [_chosen(ds, query, wanted) for ds in found]


@lru_cache(maxsize=256)
def _wanted(level: Level, return_keys: frozenset[int]) -> dict[str, str]:
    """Tag of what every row holds, sorted, with its VR, or "" for what is left out where it is empty."""
    levels = (*levels_above(level), level)
    searched = [row for row in TABLE if row.level in levels]
    found = {tag_key(row.tag): "" for row in searched if row.use is Use.CONDITIONAL}
    for row in searched:
        is_derived = row.use is Use.DERIVED and row.level is level and row.tag not in _ON_REQUEST
        if row.use in (Use.UNIQUE, Use.REQUIRED) or is_derived or row.tag in return_keys:
            is_left_out = row.tag == sql.MODALITIES_IN_STUDY and row.tag not in return_keys
            found[tag_key(row.tag)] = "" if is_left_out else row.vr
    return dict(sorted(found.items()))


def _chosen(ds: JsonDataset, query: Query, wanted: dict[str, str]) -> JsonDataset:
    found = {tag: ds.get(tag) or {"vr": vr} for tag, vr in wanted.items() if vr or tag in ds}
    if not query.all_keys:
        return found
    lowest = LEVELS.index(query.level)
    rest = {tag: element for tag, element in ds.items() if LEVELS.index(by_tag()[int(tag, 16)].level) <= lowest}
    return dict(sorted((rest | found).items()))


def _composites(connection: Connection, level: Level, places: list[Place]) -> list[JsonDataset]:
    """Studies, series or instances, each with what is known of it and of what it lies in."""
    studies = _rows(connection, Level.STUDY, {place[1] for place in places})
    found = [studies[place[1]] for place in places]
    if level in (Level.SERIES, Level.IMAGE):
        series = _rows(connection, Level.SERIES, {place[3] for place in places})
        found = [ds | series[place[3]] for ds, place in zip(found, places, strict=True)]
    if level is Level.IMAGE:
        said = _instances(connection, places)
        found = [ds | said[place[5]] for ds, place in zip(found, places, strict=True)]
    return found


def _instances(connection: Connection, places: list[Place]) -> Mapping[Any, JsonDataset]:
    """The attributes of instances alone, by id, in rows and in packs."""
    found = _rows(connection, Level.IMAGE, {place[5] for place in places})
    packed = {int(place[5]): int(place[3]) for place in places if place[5] not in found}
    return found | instances.answers_of(connection, sorted(set(packed.values())), packed) if packed else found


def _rows(connection: Connection, level: Level, ids: set[Any]) -> dict[Any, JsonDataset]:
    """The attributes of the rows of *level* that *ids* name, by id."""
    if not ids:
        return {}
    statement, answer = _READ[level]
    found = named_rows(connection, SQL[statement], (json.dumps(list(ids)),))
    unpacked = packing.unpack_many([blob(row["attributes"]) for row in found])
    if level is not Level.IMAGE:
        unpacked = [short.whole(level, row, ds) for row, ds in zip(found, unpacked, strict=True)]
    return {row["id"]: answer(row, ds) for row, ds in zip(found, unpacked, strict=True)}


def _add_derived(connection: Connection, wanted: dict[str, str], places: list[Place], found: list[JsonDataset]) -> None:
    """What takes a look at other rows, where it is wanted."""
    if answers.SOP_CLASSES in wanted:
        classes = defaultdict(list)
        for study, uid in all_rows(connection, SQL["sop_classes"], (json.dumps([place[1] for place in places]),)):
            classes[study].append(uid)
        for place, ds in zip(places, found, strict=True):
            ds.update(answers.sop_classes(classes[place[1]]))
    if _PATIENT_COUNTS & wanted.keys():
        for ds in found:
            said = columns.values(ds, Level.STUDY)
            patient = said["patient_id"], said["issuer_of_patient_id"]
            ds.update(_patient_counts(connection, *patient) if said["patient_id"] else _counts_of_one(ds))


def _patient_counts(connection: Connection, patient_id: str, issuer: str) -> JsonDataset:
    row = connection.execute(SQL["patient_counts"], (patient_id, issuer)).fetchone()
    return answers.patient_counts(row["studies"], int(row["series_count"]), int(row["instances"]))


def _counts_of_one(study: JsonDataset) -> JsonDataset:
    """The same for who has no Patient ID, and so this study only."""
    series, instances_ = (study[tag]["Value"][0] for tag in (answers.STUDY_SERIES, answers.STUDY_INSTANCES))
    return answers.patient_counts(1, series, instances_)


def _patients(connection: Connection, filters: Fragment, places: list[Place]) -> list[JsonDataset]:
    """Patients, each as the newest study says that satisfies *filters*, and what the index holds of each."""
    alone = _rows(connection, Level.STUDY, {place[3] for place in places if place[3]})
    others = iter(_identified(connection, filters, [place for place in places if not place[3]]))
    return [alone[place[3]] | _counts_of_one(alone[place[3]]) if place[3] else next(others) for place in places]


def _identified(connection: Connection, filters: Fragment, places: list[Place]) -> list[JsonDataset]:
    select = fill(SQL["patients"].replace("'filters'", "{}"), filters)
    found = all_rows(connection, select.sql, (*select.params, json.dumps(places))) if places else []
    studies = _rows(connection, Level.STUDY, {row[0] for row in found})
    return [studies[row[0]] | answers.patient_counts(*row[1:]) for row in found]
