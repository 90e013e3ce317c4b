"""The metadata of instances as DICOM JSON, made once and kept (PS3.18 10.4.1.1.2), and the bulk data it refers to.

Bulk values are named by URIs relative to the instance's own resource, such as `bulkdata/7FE00010`; the door makes them
absolute. Values up to BULK_BYTES are inline. Knows Data Sets, not HTTP.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from struct import unpack
from typing import BinaryIO, NamedTuple

import orjson
from pydicom import Dataset

from relais.archive import Archive, ahead, retrieve
from relais.archive.integrity import CHUNK_BYTES
from relais.archive.retrieve import Body
from relais.archive.stored_dataset import BULK_BYTES, open_dataset, swapped
from relais.db.database import Transaction
from relais.dicom import uids
from relais.dicom.elements import UNDEFINED, reader_of
from relais.dicom.frames import FrameTable
from relais.dicom.json_model import JsonDataset, from_dataset
from relais.dicom.ordinary import ordinary_json
from relais.dicom.scan import scan
from relais.errors import InvalidRequest, NodeError, NotFound, Unavailable
from relais.index import documents as kept
from relais.index.rows import InstanceRow

BULK_PREFIX = "bulkdata/"
BATCH = 100
WINDOW_BYTES = 512 * 1024  # what a store far away gives of an object whose header is read

_PATH = re.compile(r"[0-9A-Fa-f]{8}(/[0-9]{1,9}/[0-9A-Fa-f]{8})*")
log = logging.getLogger(__name__)


def metadata(archive: Archive, rows: Sequence[InstanceRow]) -> Iterator[bytes]:
    """One JSON document per row, in their order. Raises Unavailable if a stored object cannot be read."""
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        documents = dict(kept.get_many(archive.db, batch))
        lacking = [row for row in batch if row.id not in documents]
        new = ahead.each(archive, lambda row: make(archive, row), lacking, _window)
        made = {(row.id, row.revision): document for row, document in zip(lacking, new, strict=True)}
        if made:
            _keep(archive, made)
            documents.update({number: document for (number, _), document in made.items()})
        yield from (documents[row.id] for row in batch)


class Passed(NamedTuple):
    """The last of some instances that had no document, and of how many one could be made."""

    last_id: int
    made: int


def make_missing(archive: Archive, after_id: int = 0, may: Callable[[], bool] = lambda: True) -> Passed | None:
    """Make and keep the documents of the next instances that have none.

    None if there is none, or *may*, asked where there are some, says no. An instance that cannot be read is told to the
    operator and passed over.
    """
    rows = kept.without(archive.db, BATCH, after_id)
    if not rows or not may():
        return None
    made = _made(archive, rows)
    if made:
        _keep(archive, made)
    return Passed(rows[-1].id, len(made))


def readable(archive: Archive, rows: Sequence[InstanceRow]) -> Iterator[tuple[InstanceRow, bytes]]:
    """Those of *rows* that can be read, each with its document, which is made where none is kept but not kept."""
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        found = kept.get_many(archive.db, batch)
        made = _made(archive, [row for row in batch if row.id not in found])
        found.update({number: document for (number, _), document in made.items()})
        yield from ((row, found[row.id]) for row in batch if row.id in found)


def _made(archive: Archive, rows: Sequence[InstanceRow]) -> dict[tuple[int, int], bytes]:
    """The documents of *rows* by id and revision. What cannot be read is told to the operator and passed over."""

    def make_or_tell(row: InstanceRow) -> bytes | None:
        try:
            return make(archive, row)
        except NodeError as error:
            log.error("no metadata sop_instance_uid=%s: %s", row.ref.sop_instance_uid, error.message)
            return None

    found = zip(rows, ahead.each(archive, make_or_tell, rows, _window), strict=True)
    return {(row.id, row.revision): document for row, document in found if document is not None}


def _window(row: InstanceRow) -> int:
    """About how much is read of it at a time."""
    return min(row.size_bytes, WINDOW_BYTES)


def make(archive: Archive, row: InstanceRow) -> bytes:
    """The document of one instance, from its stored Data Set. Raises Unavailable if that cannot be read."""
    with open_dataset(archive, row) as stored:
        is_big_endian = uids.is_big_endian(row.transfer_syntax_uid)
        document = ordinary_json(stored.found, stored.read_at, stored.large, BULK_BYTES, is_big_endian=is_big_endian)
        if document is None:
            document = from_dataset(stored.small, bulk=_bulk_uri)
        for tag, vr in stored.vrs.items():
            document[f"{tag:08X}"] = {"vr": vr, "BulkDataURI": f"{BULK_PREFIX}{tag:08X}"}
    return orjson.dumps(dict(sorted(document.items())))


def bulkdata(archive: Archive, row: InstanceRow, path: str) -> Body:
    """The value that a BulkDataURI of the metadata names, little endian.

    *path* is what follows `bulkdata/`: tags and 0-based Item numbers in turn, as in `00400275/0/00420011`. Pixel Data
    that is encapsulated or big endian is decoded, all frames of it. Raises NotFound, NotAcceptable if it cannot be.
    """
    steps = _steps(path)
    with open_dataset(archive, row) as stored:
        element = stored.large.get(steps[0]) if len(steps) == 1 else None
        if element is None:
            value = _value_at(stored.small, steps)
            return Body(len(value), iter([value]), uids.EXPLICIT_VR_LITTLE_ENDIAN)
        is_big_endian = uids.is_big_endian(row.transfer_syntax_uid)
        if element.length == UNDEFINED or (is_big_endian and element.tag == stored.pixel_tag):
            return retrieve.transcoded(archive, row, uids.EXPLICIT_VR_LITTLE_ENDIAN, _pixel_value)
    return Body(element.length, _chunks(archive, row, element.tag), uids.EXPLICIT_VR_LITTLE_ENDIAN)


def bulk_paths(document: bytes) -> list[str]:
    """What `bulkdata` can be asked for, by a document of `metadata`: the paths of all its BulkDataURIs, in order."""
    return list(_paths(orjson.loads(document)))


def pixel_data(archive: Archive, row: InstanceRow) -> tuple[str, Body]:
    """The path and the value of Pixel Data, Float or Double Float Pixel Data, native, all frames of it.

    Raises NotFound if there is none, NotAcceptable if it cannot be decoded.
    """
    if row.layout.pixel_offset is None:
        raise NotFound("There is no Pixel Data.")
    table = FrameTable.unpack(row.layout.frame_table) if row.layout.frame_table else None
    if table is not None and table.size:
        group, element = unpack("<HH", archive.store.read_range(row.key, row.layout.pixel_offset, 4))
        length = table.size * table.count
        chunks = _range(archive, row, table.first, length)
        return f"{group:04X}{element:04X}", Body(length, chunks, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    with open_dataset(archive, row) as stored:
        assert stored.pixel_tag is not None
        path = f"{stored.pixel_tag:08X}"
    return path, bulkdata(archive, row, path)


def _range(archive: Archive, row: InstanceRow, offset: int, length: int) -> Iterator[bytes]:
    with archive.store.open(row.key) as stream:
        stream.seek(offset)
        while chunk := stream.read(min(CHUNK_BYTES, length)):
            length -= len(chunk)
            yield chunk


def _paths(ds: JsonDataset) -> Iterator[str]:
    for element in ds.values():
        if uri := element.get("BulkDataURI"):
            yield uri.removeprefix(BULK_PREFIX)
        elif element["vr"] == "SQ":
            for item in element.get("Value") or ():
                yield from _paths(item or {})


def _pixel_value(part10: BinaryIO) -> tuple[int, int]:
    """Where the value of Pixel Data is, in an Explicit VR Little Endian file."""
    start, length = retrieve.without_head(part10)
    pixel = scan(reader_of(part10), start, start + length, uids.EXPLICIT_VR_LITTLE_ENDIAN).pixel
    assert pixel is not None
    return pixel.value_offset, pixel.length


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
    if not _PATH.fullmatch(path):
        raise InvalidRequest("A bulk data path is tags and Item numbers in turn.")
    return [int(part, 16 if place % 2 == 0 else 10) for place, part in enumerate(path.split("/"))]


def _value_at(ds: Dataset, steps: list[int]) -> bytes:
    try:
        for tag, item in zip(steps[:-1:2], steps[1::2], strict=True):
            ds = _items_of(ds, tag)[item]
        value = ds[steps[-1]].value
    except Exception as exc:  # pydicom raises what its parts raise; whatever it is, no bulk data can be read there
        raise NotFound("There is no such bulk data.") from exc
    if not isinstance(value, bytes):
        raise NotFound("There is no such bulk data.")
    return value


def _items_of(ds: Dataset, tag: int) -> Sequence[Dataset]:
    """The Items of a sequence, none of anything else: texts and UIDs have an element 0, too."""
    value = ds[tag].value
    return value if ds[tag].VR == "SQ" else ()
