"""Attributes that a search was asked to include though the index does not keep them. Knows documents, not queries' SQL.

Of instances they come from the metadata that is kept of each, so that they are a release: only for who may retrieve,
and recorded by study. Studies and series have none of their own: what their instances say may differ. Bulk data is
never included.
"""

from collections.abc import Iterable, Iterator, Sequence

import orjson

from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive, documents
from relais.archive.retrieve import record_release
from relais.dicom import json_model
from relais.dicom.attributes import Level, by_tag
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query
from relais.errors import NodeError
from relais.index import lookup
from relais.index.rows import InstanceRow

MOST_ROWS = 1000  # of one answer; beyond it nothing is included, which the door must say
SPECIFIC_CHARACTER_SET, INSTANCE_AVAILABILITY, RETRIEVE_URL = 0x00080005, 0x00080056, 0x00081190
ANSWERED = frozenset({SPECIFIC_CHARACTER_SET, INSTANCE_AVAILABILITY, RETRIEVE_URL})  # by the doors, as they do it

_SOP_INSTANCE_UID = "00080018"
_UNIQUE = ("0020000D", "0020000E", _SOP_INSTANCE_UID)
_PRIVATE_BLOCKS = 0x1000  # elements from here on belong to a block that a Private Creator has reserved (PS3.5 7.8.1)


def asked(query: Query) -> tuple[int, ...]:
    """The tags that *query* wants and that the index does not keep."""
    return tuple(sorted(query.return_keys - by_tag().keys() - ANSWERED))


def may_be(archive: Archive, principal: Principal, query: Query) -> bool:
    """Whether *principal* is given what *query* wants and the index does not keep, if it can be had."""
    return query.level is Level.IMAGE and bool(asked(query)) and archive.policy.allows(principal, Action.RETRIEVE)


def add(
    archive: Archive, principal: Principal, rows: Sequence[JsonDataset], tags: Sequence[int]
) -> list[JsonDataset] | None:
    """*rows*, of instances, with those of *tags* that each has; it is recorded that *principal* got them.

    None where that cannot be done.
    """
    if len(rows) > MOST_ROWS:
        return None
    wanted = {json_model.tag_key(tag) for tag in (*tags, *_creators(tags))}
    try:
        instances = _instances(archive, principal, rows)
        found = _documents(archive, instances, wanted)
    except NodeError:  # an object that cannot be read: the search is answered all the same
        return None
    record_release(archive, principal, instances, Action.RETRIEVE)
    return [dict(sorted((found.get(_identity(row), {}) | row).items())) for row in rows]


def _creators(tags: Iterable[int]) -> Iterator[int]:
    """The Private Creators of private *tags*, which go with them (PS3.18 10.6.3.3)."""
    for tag in tags:
        if tag >> 16 & 1 and tag & 0xFFFF >= _PRIVATE_BLOCKS:
            yield tag & 0xFFFF0000 | tag >> 8 & 0xFF


def _instances(archive: Archive, principal: Principal, rows: Sequence[JsonDataset]) -> list[InstanceRow]:
    """The instances of *rows*. Raises NotFound where *principal* may not retrieve one of them."""
    answered = {_identity(row) for row in rows}
    found = lookup.by_sop_uids(archive.db, [row[_SOP_INSTANCE_UID]["Value"][0] for row in rows])
    chosen = [row for row in found if _uids(row) in answered]
    for row in chosen:
        archive.policy.decide(principal, Action.RETRIEVE, row.ref)
    return chosen


def _documents(
    archive: Archive, instances: Sequence[InstanceRow], wanted: set[str]
) -> dict[tuple[str, ...], JsonDataset]:
    """What the metadata of each instance says of *wanted*, by its UIDs."""
    found: dict[tuple[str, ...], JsonDataset] = {}
    for instance, document in zip(instances, documents.metadata(archive, instances), strict=True):
        ds = orjson.loads(document)
        found[_uids(instance)] = {key: ds[key] for key in wanted & ds.keys() if not _has_bulk_data(ds[key])}
    return found


def _uids(row: InstanceRow) -> tuple[str, ...]:
    return row.ref.study_instance_uid, row.ref.series_instance_uid, row.ref.sop_instance_uid


def _has_bulk_data(element: object) -> bool:
    if isinstance(element, dict):
        return "BulkDataURI" in element or any(map(_has_bulk_data, element.values()))
    return isinstance(element, list) and any(map(_has_bulk_data, element))


def _identity(row: JsonDataset) -> tuple[str, ...]:
    return tuple(row[key]["Value"][0] for key in _UNIQUE)
