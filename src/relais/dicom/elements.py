"""Data Elements as they are encoded (PS3.5 7): where one begins, how long it is, what it may hold. Knows no values.

Nothing read here is believed: a length says how far to look, never how much to allocate.
"""

from collections.abc import Callable
from struct import Struct
from typing import BinaryIO, NamedTuple

from pydicom.datadict import DicomDictionary, keyword_for_tag  # type: ignore[attr-defined]

from relais.errors import InvalidDataSet

ReadAt = Callable[[int, int], bytes]  # (offset, length) -> bytes; fewer only where the object ends


def reader_of(stream: BinaryIO) -> ReadAt:
    """*stream*, which can be sought, as ReadAt. Both move in it: who uses one as well as the other must know where."""

    def read_at(offset: int, length: int) -> bytes:
        stream.seek(offset)
        return stream.read(length)

    return read_at


UNDEFINED = 0xFFFFFFFF  # Undefined Length (PS3.5 7.1.1)
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD  # PS3.5 7.5
PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00010, 0x7FE00008, 0x7FE00009
EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002

# PS3.5 tables 7.1-1 and 7.1-2: with a 16-bit length, and with two reserved bytes and a 32-bit length.
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
VR_NAMES = {vr: vr.decode() for vr in SHORT_VRS | LONG_VRS}
NESTING_VRS = frozenset({b"SQ", b"UN"})  # what may hold Items
SEQUENCE_TAGS = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")

WINDOW_BYTES = 64 * 1024  # read at a time where elements follow closely
JUMP_BYTES = 4 * 1024  # read where a value has been jumped over


class Element(NamedTuple):
    """One Data Element: where it is, where its value is, how long that is (or UNDEFINED), and what is behind it.

    *vr* is as encoded, "UN" for one that we do not know, None in Implicit VR.
    """

    tag: int
    vr: str | None
    offset: int
    value_offset: int
    length: int
    end: int


class Header(NamedTuple):
    """The start of a Data Element, an Item or a delimiter."""

    tag: int
    vr: bytes | None
    value_at: int
    length: int


class Malformed(InvalidDataSet):
    """This is not how Data Elements are encoded."""


class Source:
    """An object whose beginning, from *start* on, is read once: all that matters lies there, in most objects."""

    def __init__(self, read_at: ReadAt, start: int) -> None:
        self._read_at, self._start = read_at, start
        self.head = read_at(start, WINDOW_BYTES)

    def read_at(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at + length <= len(self.head):
            return self.head[at : at + length]
        return self._read_at(offset, length)


class Window:
    """The part of an object that is looked at. A jump over a large value costs one small read."""

    __slots__ = ("_ahead", "_read_at", "base", "data", "end")

    def __init__(self, read_at: ReadAt, end: int) -> None:
        self._read_at, self._ahead = read_at, WINDOW_BYTES
        self.base, self.data, self.end = 0, b"", end

    def index(self, position: int, need: int) -> int:
        """Where *position* is in *data*, which then holds *need* more bytes unless the object ends before."""
        index = position - self.base
        if index >= 0 and index + need <= len(self.data):
            return index
        self._ahead = JUMP_BYTES if index > len(self.data) > 0 else min(self._ahead * 2, WINDOW_BYTES)
        self.data = self._read_at(position, min(max(self._ahead, need), self.end - position))
        self.base = position
        return 0


class Encoding:
    """How the elements of one Data Set are encoded: byte order, and VR or none."""

    __slots__ = ("implicit", "length", "plain", "short")

    def __init__(self, *, implicit: bool, big_endian: bool = False) -> None:
        self.implicit = implicit
        order = ">" if big_endian else "<"
        self.short = Struct(f"{order}HH2sH")
        self.plain = Struct(f"{order}HHI")
        self.length = Struct(f"{order}I")


def name(tag: int) -> str:
    """A tag for a person: `Rows (0028,0010)`."""
    keyword = keyword_for_tag(tag)
    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return f"{keyword} {number}" if keyword else number


def read_element(window: Window, encoding: Encoding, position: int, limit: int, *, implicit: bool) -> Header:
    """The header at *position* of whatever must end before *limit*. Raises Malformed if it does not fit."""
    if position + 8 > limit:
        raise Malformed("The Data Set ends within the header of a Data Element.")
    at = window.index(position, 12)
    if len(window.data) - at < 8:
        raise Malformed("The Data Set ends within the header of a Data Element.")
    group, number, vr, short_length = encoding.short.unpack_from(window.data, at)
    tag = group << 16 | number
    if implicit or group == 0xFFFE:
        return Header(tag, None, position + 8, encoding.length.unpack_from(window.data, at + 4)[0])
    if vr in SHORT_VRS:
        return Header(tag, vr, position + 8, short_length)
    if vr not in LONG_VRS:
        return _of_unknown_vr(window, encoding, position, limit)
    if position + 12 > limit or len(window.data) - at < 12:
        raise Malformed(f"The Data Set ends within the header of {name(tag)}.")
    return Header(tag, vr, position + 12, encoding.length.unpack_from(window.data, at + 8)[0])


def _of_unknown_vr(window: Window, encoding: Encoding, position: int, limit: int) -> Header:
    """An element whose VR is none that we know: take the reading after which another element follows.

    A VR of a later edition has a 32-bit length (PS3.5 7.1.2). Seen: VRs of two blanks or question marks with a 16-bit
    length, and elements without VR among others that have one.
    """
    at = window.index(position, 12)
    group, number, vr, short_length = encoding.short.unpack_from(window.data, at)
    tag = group << 16 | number
    readings = [Header(tag, b"UN", position + 8, short_length)]
    if b"AA" <= vr <= b"ZZ":
        if short_length == 0 and len(window.data) - at >= 12:
            length = encoding.length.unpack_from(window.data, at + 8)[0]
            readings.insert(0, Header(tag, b"UN", position + 12, length))
    else:
        readings.insert(0, Header(tag, None, position + 8, encoding.length.unpack_from(window.data, at + 4)[0]))
    for reading in readings:
        if _is_followed(window, encoding, reading, limit):
            return reading
    raise Malformed(f"{name(tag)} has no VR.")


def _is_followed(window: Window, encoding: Encoding, header: Header, limit: int) -> bool:
    """Whether something that may come next comes after an element, or nothing."""
    undefined = header.length == UNDEFINED
    end = header.value_at + (0 if undefined else header.length)
    if end + 8 > limit:
        return end == limit
    at = window.index(end, 8)
    if len(window.data) - at < 8:
        return False
    group, number, _, _ = encoding.short.unpack_from(window.data, at)
    tag = group << 16 | number
    return tag in {ITEM, SEQUENCE_END} if undefined else tag > header.tag
