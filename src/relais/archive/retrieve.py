"""Retrieve: what is kept, as it came or in another Transfer Syntax. Knows rows and bytes, not media types or contexts.

`instances` decides and audits, once per request; the functions that take a row follow it and ask nobody.
A damaged object is never passed on as a success: whole instances are checked against their digest while they are read.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from io import SEEK_END
from itertools import chain, islice
from typing import BinaryIO

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive, ahead
from relais.archive.integrity import CHUNK_BYTES, HANDY_BYTES, WHOLE_BYTES, verified_chunks
from relais.db.database import Transaction
from relais.dicom import uids
from relais.dicom.frames import FrameTable
from relais.dicom.json_model import JsonDataset
from relais.dicom.part10 import read_head
from relais.dicom.refs import Ref
from relais.errors import Gone, InvalidRequest, Nearline, NotAcceptable, NotFound, Unavailable
from relais.index import lookup
from relais.index.rows import InstanceRow
from relais.pixels.workers import ENCODABLE, TAG_BYTES, can_transcode
from relais.storage.base import is_far_away

Span = Callable[[BinaryIO], tuple[int, int]]
"""Start and length of what is wanted of a Part 10 file."""

_NATIVE = uids.EXPLICIT_VR_LITTLE_ENDIAN
_FRAME_TARGETS = ENCODABLE | {_NATIVE}


@dataclass(frozen=True, slots=True)
class Body:
    """*length* bytes to be sent, in *chunks*, encoded in *transfer_syntax_uid*. Close *chunks* if not used up."""

    length: int
    chunks: Iterator[bytes]
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: native little endian pixels, or one encapsulated bitstream, as *transfer_syntax_uid* says."""

    data: bytes
    transfer_syntax_uid: str


def instances(archive: Archive, principal: Principal, ref: Ref) -> list[InstanceRow]:
    """The instances of *ref*, in the order of series and instance numbers.

    Raises NotFound when there is none that *principal* may see, Gone when there was and it has been deleted.
    """
    return instances_of(archive, principal, [ref])


def instances_of(
    archive: Archive, principal: Principal, refs: Sequence[Ref], action: Action = Action.RETRIEVE, to: str = ""
) -> list[InstanceRow]:
    """The instances of all *refs*: one decision each, one record of the whole request, which says whom they go *to*.

    Raises NotFound or Gone when there is nothing at all.
    """
    rows = considered(archive, principal, refs, action)
    record_release(archive, principal, rows, action, to)
    return rows


def considered(
    archive: Archive, principal: Principal, refs: Sequence[Ref], action: Action = Action.RETRIEVE
) -> list[InstanceRow]:
    """As `instances_of`, but not recorded: for who may turn out to release nothing of them, and else records that."""
    rows: list[InstanceRow] = []
    for ref in refs:
        archive.policy.decide(principal, action, ref)
        rows.extend(lookup.instances(archive.db, ref))
    if not rows:
        raise Gone if any(lookup.was_deleted(archive.db, ref) for ref in refs) else NotFound
    return rows


def revision(archive: Archive, principal: Principal, ref: Ref) -> int:
    """The last change of *ref*: while it is the same, so is all that was made of its instances.

    Decides as `instances` does, but writes no record: a number releases nothing. Raises NotFound, Gone.
    """
    archive.policy.decide(principal, Action.RETRIEVE, ref)
    found = lookup.revision(archive.db, ref)
    if not found:
        raise Gone if lookup.was_deleted(archive.db, ref) else NotFound
    return found


def record_again(archive: Archive, principal: Principal, ref: Ref, count: int) -> None:
    """Write down that what was made of *count* instances of *ref* is passed on once more, by a door that kept it."""
    record = audit.Record(principal, Action.RETRIEVE, ref.study_instance_uid, {"instances": count, "studies": 1})
    archive.db.write_soon(lambda tx: audit.write(tx, record))


def attributes(archive: Archive, principal: Principal, ref: Ref) -> JsonDataset:
    """What is kept of the attributes of *ref* and of the levels above. Raises NotFound, Gone."""
    archive.policy.decide(principal, Action.RETRIEVE, ref)
    found = lookup.attributes(archive.db, ref)
    if found is None:
        raise Gone if lookup.was_deleted(archive.db, ref) else NotFound
    return found


def shown(archive: Archive, principal: Principal, ref: Ref) -> JsonDataset:
    """As `attributes`, for somebody to look at, which is recorded."""
    found = attributes(archive, principal, ref)
    record = audit.Record(principal, Action.RETRIEVE, ref.study_instance_uid, {"shown": "attributes"})
    archive.db.write_soon(lambda tx: audit.write(tx, record))
    return found


def record_release(
    archive: Archive,
    principal: Principal,
    rows: Sequence[InstanceRow],
    action: Action,
    to: str = "",
    *,
    is_anonymous: bool = False,
) -> None:
    """Write down who got what, by study; *to* whom, if that is not who asked, and whether as that of nobody."""
    studies = sorted({row.ref.study_instance_uid for row in rows})
    detail: dict[str, object] = {"instances": len(rows), "studies": len(studies)} | ({"to": to} if to else {})
    if is_anonymous:
        detail["anonymous"] = True
    records = [audit.Record(principal, action, study, detail) for study in studies]

    def work(tx: Transaction) -> None:
        for record in records:
            audit.write(tx, record)

    archive.db.write_soon(work)


def part10(archive: Archive, row: InstanceRow, transfer_syntax_uid: str | None = None) -> Body:
    """The instance as a Part 10 file; None asks for the Transfer Syntax it is stored in.

    Raises NotAcceptable if it cannot be had in *transfer_syntax_uid*.
    """
    if transfer_syntax_uid in {None, row.transfer_syntax_uid}:
        return Body(row.size_bytes, _read(archive, row, 0), row.transfer_syntax_uid)
    return transcoded(archive, row, str(transfer_syntax_uid), whole)


def part10s(archive: Archive, rows: Sequence[InstanceRow]) -> list[Body]:
    """Each of *rows* as it is stored, to be read in this order, where small ones may be read ahead."""
    bodies = [part10(archive, row) for row in rows]
    if not is_far_away(archive.store):
        return bodies
    small = (body for body in bodies if body.length <= WHOLE_BYTES)
    read = ahead.each(archive, lambda body: b"".join(body.chunks), small, lambda body: body.length)
    return [replace(body, chunks=islice(read, 1)) if body.length <= WHOLE_BYTES else body for body in bodies]


def dataset_chunks(archive: Archive, row: InstanceRow, transfer_syntax_uid: str | None = None) -> Body:
    """The Data Set alone, as DIMSE sends it; otherwise as part10."""
    if transfer_syntax_uid in {None, row.transfer_syntax_uid}:
        offset = row.layout.dataset_offset
        return Body(row.size_bytes - offset, _read(archive, row, offset), row.transfer_syntax_uid)
    return transcoded(archive, row, str(transfer_syntax_uid), without_head)


def dataset_begun(archive: Archive, row: InstanceRow) -> Future[bytes] | None:
    """The Data Set as it is stored, which is being fetched from now on; None where nothing is gained by that.

    Who asks for several before he takes the first has them side by side.
    """
    if not is_far_away(archive.store) or row.size_bytes > WHOLE_BYTES:
        return None
    return archive.store.beside(copy_context().run, _dataset, archive, row)


def _dataset(archive: Archive, row: InstanceRow) -> bytes:
    return b"".join(_read(archive, row, row.layout.dataset_offset))


def _read(archive: Archive, row: InstanceRow, offset: int) -> Iterator[bytes]:
    chunks = verified_chunks(archive, row, offset)
    return _read_far_away(archive, row, chunks) if is_far_away(archive.store) else chunks


def _read_far_away(archive: Archive, row: InstanceRow, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _wanted(archive, row):
        yield from chunks


@contextmanager
def _wanted(archive: Archive, row: InstanceRow) -> Iterator[None]:
    """Somebody reads *row* here: if it turns out to lie in slow storage, it is fetched from there for another time."""
    try:
        yield
    except Nearline:
        if is_far_away(archive.store):
            archive.store.bring_back(row.key)
        raise


def can_send(row: InstanceRow, transfer_syntax_uid: str) -> bool:
    """Whether the instance can be had in *transfer_syntax_uid*, stored or uncompressed (compressed: archive.forms)."""
    if transfer_syntax_uid == row.transfer_syntax_uid:
        return True
    return transfer_syntax_uid in uids.TRANSCODE_TARGETS and can_transcode(row.transfer_syntax_uid)


def frame(archive: Archive, row: InstanceRow, number: int, transfer_syntax_uid: str | None = None) -> Frame:
    """Frame *number*, counted from 1; None asks for it as it is stored.

    Raises InvalidRequest if the instance is no image, NotFound beyond the last frame, NotAcceptable if it cannot be had
    in *transfer_syntax_uid*.
    """
    stored, _ = stored_frame(archive, row, number)
    if stored is not None and transfer_syntax_uid in {None, stored.transfer_syntax_uid}:
        return stored
    target = transfer_syntax_uid or uids.EXPLICIT_VR_LITTLE_ENDIAN
    if target not in _FRAME_TARGETS or not can_transcode(row.transfer_syntax_uid):
        raise NotAcceptable
    data = stored.data if stored is not None else None
    made = _encoded(archive, row, number, data, target) if target in ENCODABLE else _decoded(archive, row, number, data)
    return Frame(made, target)


def _decoded(archive: Archive, row: InstanceRow, number: int, data: bytes | None) -> bytes:
    """A frame in native form; *data* is it as it is stored, None where it cannot be cut out."""
    if data is not None:
        return archive.pixels.decode(header(archive, row), row.transfer_syntax_uid, data, frame_number=number)
    with archive.store.as_path(row.key) as path:
        return archive.pixels.decode_file(path, number)


def _encoded(archive: Archive, row: InstanceRow, number: int, data: bytes | None, target_uid: str) -> bytes:
    """The same as a bitstream of *target_uid*."""
    if data is not None:
        return archive.pixels.encode(header(archive, row), row.transfer_syntax_uid, data, target_uid=target_uid)
    with archive.store.as_path(row.key) as path:
        return archive.pixels.encode_file(path, number, target_uid)


def stored_frame(archive: Archive, row: InstanceRow, number: int) -> tuple[Frame | None, FrameTable | None]:
    """Frame *number* as byte ranges of the stored object, and the table; None where it cannot be cut out."""
    if row.layout.pixel_offset is None:
        raise InvalidRequest("This instance has no Pixel Data.")
    if number < 1:
        raise InvalidRequest("Frames are counted from 1.")
    if row.layout.frame_table is None:
        if number > row.number_of_frames:
            raise NotFound(f"The instance has {row.number_of_frames} frames.")
        return None, None
    table = FrameTable.unpack(row.layout.frame_table)
    if number > table.count:
        raise NotFound(f"The instance has {table.count} frames.")
    with _wanted(archive, row):
        data = b"".join(archive.store.read_range(row.key, offset, length) for offset, length in table.pieces(number))
    encapsulated = uids.is_encapsulated(row.transfer_syntax_uid)
    return Frame(data, row.transfer_syntax_uid if encapsulated else uids.EXPLICIT_VR_LITTLE_ENDIAN), table


def large_frame(archive: Archive, row: InstanceRow, number: int, transfer_syntax_uid: str | None) -> Body | None:
    """Frame *number* in chunks, if it is large, lies on this machine and is wanted as it is stored; else None.

    Who is sent one and takes nothing keeps some chunks waiting, and not all of it. The first one is read already.
    """
    if row.size_bytes <= HANDY_BYTES or row.layout.frame_table is None or is_far_away(archive.store):
        return None
    stored_uid = row.transfer_syntax_uid if uids.is_encapsulated(row.transfer_syntax_uid) else _NATIVE
    table = FrameTable.unpack(row.layout.frame_table)
    if transfer_syntax_uid not in {None, stored_uid} or not 1 <= number <= table.count:
        return None
    pieces = table.pieces(number)
    length = sum(size for _, size in pieces)
    if length <= HANDY_BYTES:
        return None
    chunks = _of_pieces(archive, row, pieces)
    return Body(length, chain((next(chunks),), chunks), stored_uid)


def _of_pieces(archive: Archive, row: InstanceRow, pieces: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    with archive.store.open(row.key) as stream:
        for offset, length in pieces:
            yield from in_chunks(stream, offset, length)


def in_chunks(stream: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    """The *length* bytes of *stream* from *offset* on. Raises Unavailable where it ends before them."""
    stream.seek(offset)
    while length:
        chunk = stream.read(min(CHUNK_BYTES, length))
        if not chunk:
            raise Unavailable("What is stored ends too early.")
        length -= len(chunk)
        yield chunk


def frame_count(row: InstanceRow) -> int:
    """How many frames can be asked for: 0 without Pixel Data, 1 of a video, which is one bitstream (PS3.5 8.2.5)."""
    if row.layout.pixel_offset is None:
        return 0
    if row.layout.frame_table is None:
        return row.number_of_frames
    return FrameTable.unpack(row.layout.frame_table).count


def header(archive: Archive, row: InstanceRow) -> bytes:
    """The stored object up to its Pixel Data, whose tag is the end of it: it tells of what kind the pixels are."""
    assert row.layout.pixel_offset is not None
    return archive.store.read_range(row.key, 0, row.layout.pixel_offset + TAG_BYTES)


def transcoded(archive: Archive, row: InstanceRow, transfer_syntax_uid: str, span: Span) -> Body:
    """What *span* finds of the transcoded instance, in a file without a name, which goes once it is read or closed."""
    if not can_send(row, transfer_syntax_uid) and transfer_syntax_uid not in ENCODABLE:
        raise NotAcceptable
    with archive.store.as_path(row.key) as path:
        made = archive.pixels.transcode(path, transfer_syntax_uid)
    with ExitStack() as closing:
        closing.enter_context(made)
        start, length = span(made)
        chunks = begun(in_chunks(made, start, length), closing.pop_all())
    return Body(length, chunks, transfer_syntax_uid)


def whole(part10: BinaryIO) -> tuple[int, int]:
    """All of a Part 10 file."""
    return 0, part10.seek(0, SEEK_END)


def without_head(part10: BinaryIO) -> tuple[int, int]:
    """Its Data Set."""
    read_head(part10.read)
    offset = part10.tell()
    return offset, part10.seek(0, SEEK_END) - offset


def begun(chunks: Iterator[bytes], closing: ExitStack) -> Iterator[bytes]:
    """*chunks*, and *closing* is closed when they are used up or closed, even if nobody took one."""

    def closed_behind() -> Iterator[bytes]:
        with closing:
            yield b""  # from here on closing the iterator closes the rest
            yield from chunks

    found = closed_behind()
    next(found)
    return found
