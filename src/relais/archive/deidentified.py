"""An instance as that of nobody: de-identified for who asks for it so, and never kept. Knows files, not the profile.

UIDs are replaced by a keyed hash: the same one each time, so that instances still belong together, and nobody without
the key can tell from which they come.
"""

import hmac
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from io import SEEK_END
from pathlib import Path
from secrets import token_bytes, token_hex
from struct import Struct
from tempfile import TemporaryFile
from typing import BinaryIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive, retrieve
from relais.archive.retrieve import Body
from relais.archive.stored_dataset import StoredDataset, open_dataset, split
from relais.dicom import deidentify, json_model, uids
from relais.dicom.elements import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA, UNDEFINED, Element, reader_of
from relais.dicom.frames import native_length
from relais.dicom.part10 import FileMeta, encode_head, read_head
from relais.dicom.refs import InstanceRef
from relais.errors import NodeError, NotAcceptable, Unavailable, out_of_resources
from relais.index.rows import InstanceRow

KEY_BYTES = 32
PIXELS = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})
OF_FRAMES = frozenset({0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100})  # what their size is of
LENGTH, PIXEL_HEADER_BYTES = Struct("<I"), 12  # Explicit VR, of OB, OW, OF or OD: it ends with the length (PS3.5 7.1.2)


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A Part 10 file in Explicit VR Little Endian, and the SOP Instance UID that it has now."""

    body: Body
    sop_instance_uid: str


def instance(archive: Archive, principal: Principal, ref: InstanceRef) -> InstanceRow:
    """The instance *ref*, to be released as that of nobody, which is recorded. Decides as `retrieve.instances` does.

    Raises NotFound, Gone, NotAcceptable as `check` does: then nothing is released.
    """
    row = retrieve.considered(archive, principal, [ref])[0]
    check(archive, row)
    retrieve.record_release(archive, principal, [row], Action.RETRIEVE, is_anonymous=True)
    return row


def check(archive: Archive, row: InstanceRow) -> None:
    """Raises NotAcceptable, with the reason, if *row* cannot be de-identified honestly."""
    with open_dataset(archive, row) as stored, _readable():
        reason = deidentify.obstacle(stored.small)
        if stored.found.pixel is not None and not uids.is_encapsulated(row.transfer_syntax_uid):
            _pixel_bytes(stored)
        if not reason and _has_twins(stored, row):
            reason = "An attribute comes twice: one may read the other."
    if not reason and "Rows" in stored.small and not retrieve.can_send(row, uids.EXPLICIT_VR_LITTLE_ENDIAN):
        reason = "Its bitstream cannot be decoded here, and may hold comments."
    if reason:
        raise NotAcceptable(f"This instance cannot be de-identified. {reason}")


def part10(archive: Archive, row: InstanceRow) -> Deidentified:
    """*row*, which was checked, as a de-identified Part 10 file. Raises NotAcceptable, Unavailable."""
    with ExitStack() as stack:
        stream = stack.enter_context(_nameless(retrieve.part10(archive, row, uids.EXPLICIT_VR_LITTLE_ENDIAN).chunks))
        stored = _split(stream, row)
        _require_explicit(stored)
        remap = partial(_new_uid, key_of(archive.settings.deidentify_key_file))
        with _readable():
            deidentify.deidentify(stored.small, remap)
            pieces = list(_pieces(stored))
        length = sum(piece.length if isinstance(piece, _Range) else len(piece) for piece in pieces)
        chunks = retrieve.begun(_chunks(stream, pieces), stack.pop_all())
    body = Body(length, chunks, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    return Deidentified(body, str(stored.small.SOPInstanceUID))


@contextmanager
def _nameless(chunks: Iterator[bytes]) -> Iterator[BinaryIO]:
    """*chunks* in a file without a name: they say who the patient is, and nothing of them is left if we are killed."""
    with ExitStack() as stack:
        with out_of_resources():
            file = stack.enter_context(TemporaryFile())
        for chunk in chunks:
            with out_of_resources():
                file.write(chunk)
        with out_of_resources():
            file.flush()
        yield file


@contextmanager
def _readable() -> Iterator[None]:
    """Values are read when they are looked at: what cannot be read then cannot be judged either."""
    try:
        yield
    except (NodeError, MemoryError):
        raise
    except Exception as exc:  # pydicom raises whatever the bytes made it raise
        raise NotAcceptable("This instance cannot be de-identified. Its attributes cannot be read.") from exc


@dataclass(frozen=True, slots=True)
class _Range:
    """Bytes that leave as they are."""

    offset: int
    length: int


def _split(stream: BinaryIO, row: InstanceRow) -> StoredDataset:
    size_bytes = stream.seek(0, SEEK_END)
    stream.seek(0)
    _, head = read_head(stream.read)
    native = replace(row, transfer_syntax_uid=uids.EXPLICIT_VR_LITTLE_ENDIAN)
    return split(reader_of(stream), len(head), size_bytes, head, native)


def _pieces(stored: StoredDataset) -> Iterator["bytes | _Range"]:
    """Head, and Data Set in the order of its tags."""
    ds = stored.small
    yield encode_head(FileMeta(uids.EXPLICIT_VR_LITTLE_ENDIAN, str(ds.SOPClassUID), str(ds.SOPInstanceUID)))
    start = 0
    for tag, element in sorted(stored.large.items()):
        if tag == stored.pixel_tag or deidentify.keeps(tag, stored.vrs[tag]):
            yield _encoded(ds, start, tag)
            yield from _pixels(stored, element) if tag == stored.pixel_tag else (_range(element),)
            start = tag
    yield _encoded(ds, start, 1 << 32)


def _pixels(stored: StoredDataset, element: Element) -> Iterator["bytes | _Range"]:
    """Pixel Data without what lies behind its last frame: nobody sees that, and it may say anything."""
    length = _pixel_bytes(stored)
    is_odd = length % 2
    start = stored.read_at(element.offset, PIXEL_HEADER_BYTES - LENGTH.size)
    yield start + LENGTH.pack(length + is_odd)
    yield _Range(element.value_offset, length)
    yield b"\0" * is_odd


def _require_explicit(stored: StoredDataset) -> None:
    """Raises NotAcceptable where Pixel Data is not encoded as the Transfer Syntax says: it cannot be cut then."""
    pixel = stored.found.pixel
    if pixel is not None and pixel.value_offset - pixel.offset != PIXEL_HEADER_BYTES:
        raise NotAcceptable("This instance cannot be de-identified. It is not encoded as its Transfer Syntax says.")


def _pixel_bytes(stored: StoredDataset) -> int:
    """How long the frames of native Pixel Data are. Raises NotAcceptable where that cannot be told."""
    pixel, attributes = stored.found.pixel, json_model.from_dataset(stored.small, wanted=OF_FRAMES)
    assert pixel is not None
    length = None if pixel.length == UNDEFINED else native_length(attributes, pixel.length)
    if length is None or len(PIXELS & {*stored.small.keys(), *stored.large}) > 1:
        raise NotAcceptable("This instance cannot be de-identified. Nothing says where its pixels end.")
    return length


def _has_twins(stored: StoredDataset, row: InstanceRow) -> bool:
    """Whether an element of the top level comes twice; of those that do, only the last one was found."""
    start = 0 if uids.is_deflated(row.transfer_syntax_uid) else row.layout.dataset_offset
    return sum(one.end - one.offset for one in stored.found.elements.values()) < stored.found.end - start


def _range(element: Element) -> _Range:
    return _Range(element.offset, element.end - element.offset)


def _encoded(ds: Dataset, start: int, stop: int) -> bytes:
    """The elements from tag *start* to before *stop*."""
    part = Dataset({element.tag: element for element in ds if start <= element.tag < stop})
    part.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding=ds._character_set)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, part)
    return bytes(out.getvalue())


def _chunks(stream: BinaryIO, pieces: "list[bytes | _Range]") -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            yield from retrieve.in_chunks(stream, piece.offset, piece.length)


@lru_cache(maxsize=4)
def key_of(path: str) -> bytes:
    """The secret key in the file *path*, which is made if it is not there; "" stands for one that nobody keeps."""
    if not path:
        return token_bytes(KEY_BYTES)
    file = Path(path)
    if not file.exists():
        _make_key(file)
    key = file.read_bytes()
    if len(key) < KEY_BYTES:
        raise Unavailable("The key of de-identification is too short.")
    return key


def _make_key(file: Path) -> None:
    """Whole or not at all; whoever comes first wins."""
    temporary = file.with_name(f"{file.name}.{token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, token_bytes(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with suppress(FileExistsError):
        os.link(temporary, file)
    temporary.unlink()


def _new_uid(key: bytes, uid: str) -> str:
    """PS3.5 B.2."""
    digest = hmac.digest(key, uid.encode(), "sha256")
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
