"""A stored Data Set as metadata and bulk data: what is large is never read whole. Knows bytes, not JSON or HTTP."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.errors import InvalidDicomError

from relais.archive import Archive
from relais.dicom import uids
from relais.dicom.elements import UNDEFINED, Element, ReadAt, Source, reader_of
from relais.dicom.inflate import Inflated
from relais.dicom.part10 import FileMeta, encode_head
from relais.dicom.scan import Scan, has_at_most, scan
from relais.dicom.unknown import with_sequences
from relais.errors import Unavailable
from relais.index.rows import InstanceRow

BULK_BYTES = 1024
"""Binary values beyond it are bulk data; up to it they stand in the metadata."""

MAX_METADATA_BYTES, MAX_METADATA_PARTS = 64 * 1024 * 1024, 1_000_000
"""Of a Data Set without its bulk data: with more bytes, or more Data Elements and Items, no metadata is made of it."""

FREE_METADATA_BYTES, FREE_METADATA_PARTS = 16 * 1024 * 1024, 150_000
"""Any object may have as much, which takes some 100 MB, however small it is stored: deflated, that can be a few KB."""

BYTES_OF_A_PART = 32
"""More than what is free is a matter of the object's size: a byte for each of its bytes, a part for as many as this."""

BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
WORD_BYTES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
UNREADABLE = (
    InvalidDicomError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OSError,
    NotImplementedError,
    RecursionError,
)


@dataclass(frozen=True)
class StoredDataset:
    """*large* are the top-level elements that are bulk data, Pixel Data always among them; *vrs* are theirs.

    *read_at* reads the (inflated) object, and `small` can be had, as long as the context of `open_dataset` lasts.
    """

    found: Scan
    large: dict[int, Element]
    vrs: dict[int, str]
    read_at: ReadAt
    read_small: Callable[[], Dataset]

    @cached_property
    def small(self) -> Dataset:
        """The Data Set without *large*. Raises Unavailable if it cannot be read."""
        return self.read_small()

    @property
    def pixel_tag(self) -> int | None:
        return self.found.pixel.tag if self.found.pixel else None


@contextmanager
def open_dataset(archive: Archive, row: InstanceRow) -> Iterator[StoredDataset]:
    """The Data Set of *row*. Raises NotFound if the object is gone, Unavailable if it cannot be read."""
    with archive.store.open(row.key) as stream:
        read_at = Source(reader_of(stream), 0).read_at
        start, end, head = row.layout.dataset_offset, row.size_bytes, read_at(0, row.layout.dataset_offset)
        source: ReadAt = read_at
        if uids.is_deflated(row.transfer_syntax_uid):
            inflated = Inflated(read_at, start, end)
            source, start, end = inflated.read_at, 0, inflated.size_bytes
            meta = FileMeta(uids.EXPLICIT_VR_LITTLE_ENDIAN, row.sop_class_uid, row.ref.sop_instance_uid)
            head = encode_head(meta)
        yield split(source, start, end, head, row)


def split(read_at: ReadAt, start: int, end: int, head: bytes, row: InstanceRow) -> StoredDataset:
    """The Data Set that lies from *start* to *end* behind *head*, in the Transfer Syntax of *row*."""
    found = scan(read_at, start, end, row.transfer_syntax_uid)
    pixel_tag = found.pixel.tag if found.pixel else None
    long = (one for one in found.elements.values() if one.length > BULK_BYTES or one.tag == pixel_tag)
    vrs = {element.tag: _vr(element) for element in long}
    large = {
        tag: found.elements[tag]
        for tag, vr in vrs.items()
        if tag == pixel_tag or (vr in BULK_VRS and found.elements[tag].length != UNDEFINED)
    }

    def read_small() -> Dataset:
        encoded = _without(read_at, start, found.end, large, row.size_bytes)
        _check_parts(encoded, row)
        return _read(head + encoded, row)

    return StoredDataset(found, large, {tag: vrs[tag] for tag in large}, read_at, read_small)


def _vr(element: Element) -> str:
    """As encoded, or else by PS3.6; OW where that leaves a choice, as in Implicit VR (PS3.5 A.1)."""
    if element.vr is not None and element.vr != "UN":
        return element.vr
    try:
        named = dictionary_VR(element.tag)
    except KeyError:
        return "UN"
    return "OW" if "OW" in named else named.split(" or ", maxsplit=1)[0]


def _without(read_at: ReadAt, start: int, end: int, large: dict[int, Element], size_bytes: int) -> bytes:
    """The encoded Data Set from *start* to *end* without the elements *large*, of an object of *size_bytes*."""
    ordered = sorted(large.values(), key=lambda element: element.offset)
    most = min(FREE_METADATA_BYTES + size_bytes, MAX_METADATA_BYTES)
    if end - start - sum(element.end - element.offset for element in ordered) > most:
        raise Unavailable(f"The Data Set has more than {most} bytes besides its bulk data.")
    pieces = []
    for element in ordered:
        pieces.append(read_at(start, element.offset - start))
        start = element.end
    return b"".join([*pieces, read_at(start, end - start)])


def _check_parts(encoded: bytes, row: InstanceRow) -> None:
    most = min(FREE_METADATA_PARTS + row.size_bytes // BYTES_OF_A_PART, MAX_METADATA_PARTS)
    if not has_at_most(most, lambda at, length: encoded[at : at + length], 0, len(encoded), row.transfer_syntax_uid):
        raise Unavailable(f"The Data Set has more than {most} Data Elements and Items besides its bulk data.")


def _read(part10: bytes, row: InstanceRow) -> Dataset:
    try:
        ds = with_sequences(dcmread(BytesIO(part10)))
        if uids.is_big_endian(row.transfer_syntax_uid):
            ds.walk(_to_little_endian)
    except UNREADABLE as exc:
        raise Unavailable("The stored Data Set cannot be read.") from exc
    return ds


def _to_little_endian(ds: Dataset, element: object) -> None:
    vr, value = getattr(element, "VR", ""), getattr(element, "value", None)
    if isinstance(value, bytes):
        element.value = swapped(value, vr)  # type: ignore[attr-defined]


def swapped(value: bytes, vr: str) -> bytes:
    """A big endian value as a little endian one."""
    size = WORD_BYTES.get(vr, 1)
    turned = bytearray(len(value))
    for place in range(size):
        turned[place::size] = value[size - 1 - place :: size]
    return bytes(turned)
