"""Where each frame lies, so that it can be read without its neighbours. Knows offsets, not pixels.

1. Native frames lie one after the other (PS3.3 C.7.6.3.1): arithmetic, if they begin on a byte.
2. As many fragments as frames: one each. A single frame: all fragments.
3. More fragments than frames: the Extended or the Basic Offset Table says where frames begin (PS3.3 C.7.6.3.1.8,
   PS3.5 A.4), if every offset is that of a fragment; else the markers do with which JPEG codestreams begin, if there
   are as many as frames. Anything else has no table.
4. Video is one bitstream for all frames (PS3.5 8.2.5): its table has one "frame", all of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from struct import calcsize, pack, unpack, unpack_from

from relais.dicom import uids
from relais.dicom.elements import EXTENDED_OFFSETS, UNDEFINED, ReadAt
from relais.dicom.json_model import JsonDataset, values
from relais.dicom.scan import Fragments, Scan
from relais.errors import NotFound

MARKED_FRAGMENTS = 100_000  # of an instance whose frames are found by their markers; with more it has no table

_SAMPLES_PER_PIXEL, _PHOTOMETRIC_INTERPRETATION, _NUMBER_OF_FRAMES = 0x00280002, 0x00280004, 0x00280008
_ROWS, _COLUMNS, _BITS_ALLOCATED = 0x00280010, 0x00280011, 0x00280100

_NATIVE, _FRAGMENTED, _WHOLE = b"N", b"F", b"W"  # frames by arithmetic, of several fragments, of one fragment each


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The frames of one instance as byte ranges of its Part 10 file.

    Native: *count* frames of *size* bytes from *first* on. Encapsulated: *size* is 0, the value of the first fragment
    is at *first*, *lengths* are those of all fragments, and *shares* says how many each frame has; None: one each.
    """

    count: int
    first: int
    size: int = 0
    lengths: tuple[int, ...] = ()
    shares: tuple[int, ...] | None = None

    def pieces(self, number: int) -> tuple[tuple[int, int], ...]:
        """The (offset, length) of each piece of frame *number*, counted from 1. Raises NotFound if there is none."""
        if not 1 <= number <= self.count:
            raise NotFound(f"The instance has {self.count} frames.")
        if self.size:
            return ((self.first + (number - 1) * self.size, self.size),)
        before = number - 1 if self.shares is None else sum(self.shares[: number - 1])
        share = 1 if self.shares is None else self.shares[number - 1]
        offset = self.first + sum(self.lengths[:before]) + before * 8
        return tuple(self._fragments(offset, self.lengths[before : before + share]))

    def pack(self) -> bytes:
        """The table as few bytes: seven or so for a native image, four for each fragment."""
        if self.size:
            return _NATIVE + _numbers(self.count, self.first, self.size)
        start = (_WHOLE if self.shares is None else _FRAGMENTED) + _numbers(self.count, self.first, len(self.lengths))
        counts = (*(self.shares or ()), *self.lengths)
        return start + pack(f"<{len(counts)}I", *counts)

    @classmethod
    def unpack(cls, packed: bytes) -> "FrameTable":
        """The table that `pack` made."""
        (count, first, third), at = _read_numbers(packed)
        if packed[:1] == _NATIVE:
            return cls(count, first, size=third)
        shares = None
        if packed[:1] == _FRAGMENTED:
            shares = unpack_from(f"<{count}I", packed, at)
            at += 4 * count
        return cls(count, first, lengths=unpack_from(f"<{third}I", packed, at), shares=shares)

    @staticmethod
    def _fragments(offset: int, lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
        for length in lengths:
            yield offset, length
            offset += length + 8


def frame_table(found: Scan, read_at: ReadAt, attributes: JsonDataset, transfer_syntax_uid: str) -> FrameTable | None:
    """The table of the Data Set that *found* describes; None if it has no frames or they cannot be told apart."""
    count = _number(attributes, _NUMBER_OF_FRAMES, default=1)
    if found.pixel is None or count is None or count < 0:
        return None
    count = count or 1  # Seen: 0 in instances with one frame
    if not uids.is_encapsulated(transfer_syntax_uid):
        return None if uids.is_big_endian(transfer_syntax_uid) else _native(found, attributes, count)
    if found.fragments is None or len(found.fragments.offsets) < 2:
        return None
    if transfer_syntax_uid in uids.VIDEO:
        count = 1
    first, lengths = found.fragments.offsets[1], tuple(found.fragments.lengths[1:])
    if count == len(lengths):
        return FrameTable(count, first, lengths=lengths)
    shares = _shares(found, read_at, count, transfer_syntax_uid)
    return FrameTable(count, first, lengths=lengths, shares=shares) if shares else None


def _native(found: Scan, attributes: JsonDataset, count: int) -> FrameTable | None:
    """PS3.5 8.1.1. Seen: Pixel Data of full size though the Photometric Interpretation says 4:2:2."""
    pixel = found.pixel
    assert pixel is not None
    bits = _bits(attributes)
    if pixel.length == UNDEFINED or not bits:
        return None
    if pixel.length < bits // 8 * count:
        bits = _least_bits(attributes)
    if bits % 8 and count > 1:
        return None
    size = (bits + 7) // 8
    return FrameTable(count, pixel.value_offset, size=size) if size * count <= pixel.length else None


def lacks_pixels(found: Scan, attributes: JsonDataset, transfer_syntax_uid: str) -> bool:
    """Whether there is less Pixel Data than its attributes say: fewer bytes, or fewer fragments than frames."""
    count = _number(attributes, _NUMBER_OF_FRAMES, default=1)
    if found.pixel is None or count is None or count < 0:
        return False
    if uids.is_encapsulated(transfer_syntax_uid):
        expected = 1 if transfer_syntax_uid in uids.VIDEO else count or 1
        return found.fragments is not None and len(found.fragments.offsets) - 1 < expected
    return found.pixel.length < (_least_bits(attributes) * (count or 1) + 7) // 8


def native_length(attributes: JsonDataset, length: int) -> int | None:
    """How many of *length* bytes of native Pixel Data are its frames; None where the attributes do not tell."""
    count, bits = _number(attributes, _NUMBER_OF_FRAMES, default=1), _bits(attributes)
    if count is None or count < 0 or not bits:
        return None
    if length * 8 < bits * (count or 1):
        bits = _least_bits(attributes)
    return min((bits * (count or 1) + 7) // 8, length)


def _bits(attributes: JsonDataset) -> int:
    """Of a native frame (PS3.5 8.1.1); 0 where that is not told."""
    samples = _number(attributes, _SAMPLES_PER_PIXEL, default=1)
    numbers = [samples, *(_number(attributes, tag) for tag in (_ROWS, _COLUMNS, _BITS_ALLOCATED))]
    if not all(number and number > 0 for number in numbers):
        return 0
    return prod(number or 0 for number in numbers)


def _least_bits(attributes: JsonDataset) -> int:
    """The same with two chrominance samples for two pixels, where that is so (PS3.3 C.7.6.3.1.2)."""
    bits = _bits(attributes)
    return bits // 3 * 2 if _is_subsampled(attributes) else bits


def _is_subsampled(attributes: JsonDataset) -> bool:
    return _number(attributes, _SAMPLES_PER_PIXEL) == 3 and values(attributes, _PHOTOMETRIC_INTERPRETATION)[:1] in (
        ["YBR_FULL_422"],
        ["YBR_PARTIAL_422"],
    )


def _shares(found: Scan, read_at: ReadAt, count: int, transfer_syntax_uid: str) -> tuple[int, ...] | None:
    """How many fragments each frame has, where some have several."""
    fragments = found.fragments
    assert fragments is not None
    starts = [offset - 8 for offset in fragments.offsets[1:]]
    if count == 1:
        return (len(starts),)
    if count > len(starts):
        return None
    places = {start: index for index, start in enumerate(starts)}
    for offsets in (_extended_offsets(found, read_at, count), _basic_offsets(fragments, read_at, count)):
        indexes = [places.get(starts[0] + offset) for offset in offsets]
        if shares := _between(indexes, len(starts)):
            return shares
    marked = list(_marked(fragments, read_at, transfer_syntax_uid)) if len(starts) <= MARKED_FRAGMENTS else []
    return _between(marked, len(starts)) if len(marked) == count else None


def _between(indexes: Sequence[int | None], end: int) -> tuple[int, ...] | None:
    """The number of fragments from each index to the next; None unless they begin with 0 and rise."""
    known = [index for index in indexes if index is not None]
    if not known or len(known) < len(indexes) or known[0] != 0:
        return None
    shares = tuple(after - before for before, after in pairwise((*known, end)))
    return shares if min(shares) > 0 else None


def _extended_offsets(found: Scan, read_at: ReadAt, count: int) -> tuple[int, ...]:
    element = found.elements.get(EXTENDED_OFFSETS)
    return _offsets(read_at, element.value_offset, element.length, "Q", count) if element else ()


def _basic_offsets(fragments: Fragments, read_at: ReadAt, count: int) -> tuple[int, ...]:
    return _offsets(read_at, fragments.offsets[0], fragments.lengths[0], "I", count)


def _offsets(read_at: ReadAt, at: int, length: int, code: str, count: int) -> tuple[int, ...]:
    """The *count* offsets at *at*; () if there are not as many."""
    if length != count * calcsize(f"<{code}"):
        return ()
    return unpack(f"<{count}{code}", read_at(at, length))


def _marked(fragments: Fragments, read_at: ReadAt, transfer_syntax_uid: str) -> Iterator[int]:
    """The fragments that begin as a codestream does."""
    if transfer_syntax_uid in uids.JPEG_FAMILY:
        marker = b"\xff\xd8"  # SOI (ISO/IEC 10918-1 table B.1)
    elif transfer_syntax_uid in uids.JPEG_2000_FAMILY:
        marker = b"\xff\x4f\xff\x51"  # SOC, SIZ (ISO/IEC 15444-1 A.4, A.5)
    else:
        return
    for index, offset in enumerate(fragments.offsets[1:]):
        if read_at(offset, len(marker)) == marker:
            yield index


def _number(attributes: JsonDataset, tag: int, default: int | None = None) -> int | None:
    """A whole number; *default* if the attribute is absent or empty, None if it is something else."""
    found = values(attributes, tag)
    if not found:
        return default
    return found[0] if isinstance(found[0], int) else None


def _numbers(*numbers: int) -> bytes:
    """Unsigned numbers, seven bits a byte, the last byte of each below 128 (LEB128)."""
    packed = bytearray()
    for number in numbers:
        rest = number
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


def _read_numbers(packed: bytes) -> tuple[tuple[int, int, int], int]:
    """The three numbers behind the first byte, and where they end."""
    numbers, at = [0, 0, 0], 1
    for index in range(3):
        shift = 0
        while True:
            byte = packed[at]
            at += 1
            numbers[index] |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
    return (numbers[0], numbers[1], numbers[2]), at
