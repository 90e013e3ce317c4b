"""The metadata of instances as DICOM JSON, made once and kept (PS3.18 10.4.1.1.2), and the bulk data it refers to.

Bulk values are named by URIs relative to the instance's own resource, such as `bulkdata/7FE00010`; the door makes them
absolute. Values up to BULK_BYTES are inline. Knows Data Sets, not HTTP.
"""

import logging
from collections.abc import Iterator, Sequence
from io import BytesIO

import orjson
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from relais.archive import Archive
from relais.archive.retrieve import CHUNK_BYTES, Body
from relais.db.database import Transaction
from relais.dicom import uids
from relais.dicom.elements import UNDEFINED, Element
from relais.dicom.json_model import from_dataset
from relais.dicom.scan import scan
from relais.errors import InvalidRequest, NodeError, NotAcceptable, NotFound, Unavailable
from relais.index import documents as kept
from relais.index.rows import InstanceRow

BULK_BYTES = 1024
BULK_PREFIX = "bulkdata/"
BATCH = 100
WORD_BYTES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}

log = logging.getLogger(__name__)


def metadata(archive: Archive, rows: Sequence[InstanceRow]) -> Iterator[bytes]:
    """One JSON document per row, in their order. Raises Unavailable if a stored object cannot be read."""
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        documents = dict(kept.get_many(archive.db, [row.id for row in batch]))
        made = {row.id: make(archive, row) for row in batch if row.id not in documents}
        if made:
            _keep(archive, made)
            documents.update(made)
        yield from (documents[row.id] for row in batch)


def make_missing(archive: Archive, after_id: int = 0) -> int | None:
    """Make and keep the documents of the next instances that have none, and return the last id; None if there is none.

    An instance that cannot be read is told to the operator and passed over.
    """
    rows = kept.without(archive.db, BATCH, after_id)
    made: dict[int, bytes] = {}
    for row in rows:
        try:
            made[row.id] = make(archive, row)
        except NodeError as error:
            log.error("no metadata sop_instance_uid=%s: %s", row.ref.sop_instance_uid, error.message)
    if made:
        _keep(archive, made)
    return rows[-1].id if rows else None


def make(archive: Archive, row: InstanceRow) -> bytes:
    """The document of one instance, from its stored Data Set. Raises Unavailable if that cannot be read."""
    ds, pixel = _without_pixels(archive, row)
    document = from_dataset(ds, bulk=_bulk_uri)
    if pixel:
        key = f"{pixel.tag:08X}"
        document[key] = {"vr": pixel.vr or "OW", "BulkDataURI": BULK_PREFIX + key}
    return orjson.dumps(dict(sorted(document.items())))


def bulkdata(archive: Archive, row: InstanceRow, path: str) -> Body:
    """The value that a BulkDataURI of the metadata names, little endian.

    *path* is what follows `bulkdata/`: tags and 0-based Item numbers in turn, as in `00400275/0/00420011`. Raises
    NotFound, NotAcceptable for encapsulated Pixel Data (ask for its frames).
    """
    steps = _steps(path)
    ds, pixel = _without_pixels(archive, row)
    if pixel and steps == [pixel.tag]:
        if pixel.length == UNDEFINED or uids.is_big_endian(row.transfer_syntax_uid):
            raise NotAcceptable("This Pixel Data can be had as frames only.")
        chunks = _range_chunks(archive, row, pixel.value_offset, pixel.length)
        return Body(pixel.length, chunks, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    value = _value_at(ds, steps)
    return Body(len(value), iter([value]), uids.EXPLICIT_VR_LITTLE_ENDIAN)


def _keep(archive: Archive, made: dict[int, bytes]) -> None:
    def work(tx: Transaction) -> None:
        kept.put_many(tx, made)

    archive.db.write_soon(work)


def _bulk_uri(path: str, size_bytes: int) -> str | None:
    return BULK_PREFIX + path if size_bytes > BULK_BYTES else None


def _without_pixels(archive: Archive, row: InstanceRow) -> tuple[Dataset, Element | None]:
    """The stored Data Set but for its Pixel Data, which is never read, and where that lies."""
    with archive.store.open(row.key) as stream:

        def read_at(offset: int, length: int) -> bytes:
            stream.seek(offset)
            return stream.read(length)

        if row.layout.pixel_offset is None or uids.is_deflated(row.transfer_syntax_uid):
            return _read(stream.read(), row), None
        found = scan(read_at, row.layout.dataset_offset, row.size_bytes, row.transfer_syntax_uid)
        pixel = found.pixel
        assert pixel is not None
        later = [element.offset for element in found.elements.values() if element.offset > pixel.offset]
        tail = read_at(min(later), found.end - min(later)) if later else b""
        return _read(read_at(0, pixel.offset) + tail, row), pixel


def _read(part10: bytes, row: InstanceRow) -> Dataset:
    try:
        ds = dcmread(BytesIO(part10))
        if uids.is_big_endian(row.transfer_syntax_uid):
            ds.walk(_to_little_endian)
    except (InvalidDicomError, ValueError, TypeError, KeyError, EOFError, NotImplementedError, RecursionError) as exc:
        raise Unavailable("The stored Data Set cannot be read.") from exc
    return ds


def _to_little_endian(ds: Dataset, element: object) -> None:
    vr, value = getattr(element, "VR", ""), getattr(element, "value", None)
    size = WORD_BYTES.get(vr)
    if size and isinstance(value, bytes):
        swapped = bytearray(len(value))
        for place in range(size):
            swapped[place::size] = value[size - 1 - place :: size]
        element.value = bytes(swapped)  # type: ignore[attr-defined]


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


def _range_chunks(archive: Archive, row: InstanceRow, offset: int, length: int) -> Iterator[bytes]:
    end = offset + length
    while offset < end:
        chunk = archive.store.read_range(row.key, offset, min(CHUNK_BYTES, end - offset))
        offset += len(chunk)
        yield chunk
