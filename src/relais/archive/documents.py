"""The metadata of instances as DICOM JSON, made once and kept (PS3.18 10.4.1.1.2), and the bulk data it refers to.

Bulk values are named by URIs relative to the instance's own resource, such as `bulkdata/7FE00010`; the door makes them
absolute. Values up to BULK_BYTES are inline. Knows Data Sets, not HTTP.
"""

import logging
from collections.abc import Iterator, Sequence

import orjson
from pydicom import Dataset

from relais.archive import Archive
from relais.archive.retrieve import CHUNK_BYTES, Body
from relais.archive.stored_dataset import BULK_BYTES, open_dataset, swapped
from relais.db.database import Transaction
from relais.dicom import uids
from relais.dicom.elements import UNDEFINED
from relais.dicom.json_model import from_dataset
from relais.errors import InvalidRequest, NodeError, NotAcceptable, NotFound, Unavailable
from relais.index import documents as kept
from relais.index.rows import InstanceRow

BULK_PREFIX = "bulkdata/"
BATCH = 100

log = logging.getLogger(__name__)


def metadata(archive: Archive, rows: Sequence[InstanceRow]) -> Iterator[bytes]:
    """One JSON document per row, in their order. Raises Unavailable if a stored object cannot be read."""
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        documents = dict(kept.get_many(archive.db, [row.id for row in batch]))
        made = {(row.id, row.revision): make(archive, row) for row in batch if row.id not in documents}
        if made:
            _keep(archive, made)
            documents.update({number: document for (number, _), document in made.items()})
        yield from (documents[row.id] for row in batch)


def make_missing(archive: Archive, after_id: int = 0) -> int | None:
    """Make and keep the documents of the next instances that have none, and return the last id; None if there is none.

    An instance that cannot be read is told to the operator and passed over.
    """
    rows = kept.without(archive.db, BATCH, after_id)
    made: dict[tuple[int, int], bytes] = {}
    for row in rows:
        try:
            made[row.id, row.revision] = make(archive, row)
        except NodeError as error:
            log.error("no metadata sop_instance_uid=%s: %s", row.ref.sop_instance_uid, error.message)
    if made:
        _keep(archive, made)
    return rows[-1].id if rows else None


def make(archive: Archive, row: InstanceRow) -> bytes:
    """The document of one instance, from its stored Data Set. Raises Unavailable if that cannot be read."""
    with open_dataset(archive, row) as stored:
        document = from_dataset(stored.small, bulk=_bulk_uri)
        for tag, vr in stored.vrs.items():
            document[f"{tag:08X}"] = {"vr": vr, "BulkDataURI": f"{BULK_PREFIX}{tag:08X}"}
    return orjson.dumps(dict(sorted(document.items())))


def bulkdata(archive: Archive, row: InstanceRow, path: str) -> Body:
    """The value that a BulkDataURI of the metadata names, little endian.

    *path* is what follows `bulkdata/`: tags and 0-based Item numbers in turn, as in `00400275/0/00420011`. Raises
    NotFound, NotAcceptable for Pixel Data that is encapsulated or big endian (ask for its frames).
    """
    steps = _steps(path)
    with open_dataset(archive, row) as stored:
        element = stored.large.get(steps[0]) if len(steps) == 1 else None
        if element is None:
            value = _value_at(stored.small, steps)
            return Body(len(value), iter([value]), uids.EXPLICIT_VR_LITTLE_ENDIAN)
        is_big_endian = uids.is_big_endian(row.transfer_syntax_uid)
        if element.length == UNDEFINED or (is_big_endian and element.tag == stored.pixel_tag):
            raise NotAcceptable("This Pixel Data can be had as frames only.")
    return Body(element.length, _chunks(archive, row, element.tag), uids.EXPLICIT_VR_LITTLE_ENDIAN)


def _chunks(archive: Archive, row: InstanceRow, tag: int) -> Iterator[bytes]:
    """The value of a large element, piece by piece."""
    with open_dataset(archive, row) as stored:
        element, is_big_endian = stored.large[tag], uids.is_big_endian(row.transfer_syntax_uid)
        offset, end = element.value_offset, element.value_offset + element.length
        while offset < end:
            chunk = stored.read_at(offset, min(CHUNK_BYTES, end - offset))
            if not chunk:
                raise Unavailable("The stored Data Set ends too early.")
            offset += len(chunk)
            yield swapped(chunk, stored.vrs[tag]) if is_big_endian else chunk


def _keep(archive: Archive, made: dict[tuple[int, int], bytes]) -> None:
    def work(tx: Transaction) -> None:
        kept.put_many(tx, made)

    archive.db.write_soon(work)


def _bulk_uri(path: str, size_bytes: int) -> str | None:
    return BULK_PREFIX + path if size_bytes > BULK_BYTES else None


def _steps(path: str) -> list[int]:
    """Tags and Item numbers of *path* in turn."""
    parts = path.split("/")
    try:
        if len(parts) % 2 == 0 or any(len(tag) != 8 for tag in parts[::2]):
            raise ValueError(path)
        return [int(part, 16 if place % 2 == 0 else 10) for place, part in enumerate(parts)]
    except ValueError as exc:
        raise InvalidRequest("A bulk data path is tags and Item numbers in turn.") from exc


def _value_at(ds: Dataset, steps: list[int]) -> bytes:
    try:
        for tag, item in zip(steps[:-1:2], steps[1::2], strict=True):
            ds = ds[tag].value[item]
        value = ds[steps[-1]].value
    except (KeyError, IndexError, TypeError) as exc:
        raise NotFound("There is no such bulk data.") from exc
    if not isinstance(value, bytes):
        raise NotFound("There is no such bulk data.")
    return value
