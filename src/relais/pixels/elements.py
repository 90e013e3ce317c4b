"""Data Elements read one by one from a seekable stream (PS3.5 7.1). Knows headers and lengths, not values.

No declared length is believed: what is skipped must be there, what is read is read in pieces.
"""

import io
from struct import Struct
from typing import BinaryIO, NamedTuple

from relais.dicom import uids
from relais.errors import InvalidDataSet

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
MAX_NESTING = 128  # sequences within sequences; a Data Set beyond is not transcoded

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

_DELIMITER_GROUP = 0xFFFE
_LITTLE = Struct("<HHI"), Struct("<H"), Struct("<I")
_BIG = Struct(">HHI"), Struct(">H"), Struct(">I")


class Encoding(NamedTuple):
    """How Data Elements are written (PS3.5 A)."""

    is_implicit: bool
    is_big_endian: bool


IMPLICIT = Encoding(is_implicit=True, is_big_endian=False)
EXPLICIT = Encoding(is_implicit=False, is_big_endian=False)


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """That of the Data Set; a deflated one is meant as inflated."""
    return Encoding(uids.is_implicit(transfer_syntax_uid), uids.is_big_endian(transfer_syntax_uid))


class ElementHeader(NamedTuple):
    """What comes before a value. *vr* is empty where the encoding has none."""

    tag: int
    vr: bytes
    length: int

    @property
    def has_undefined_length(self) -> bool:
        return self.length == UNDEFINED


class ElementReader:
    """Reads *stream* from where it stands. *size_bytes* is where the stream ends."""

    def __init__(self, stream: BinaryIO, encoding: Encoding, size_bytes: int | None = None) -> None:
        self.stream = stream
        self.encoding = encoding
        self.size_bytes = _size_of(stream) if size_bytes is None else size_bytes
        self._header, self._short, self._long = _BIG if encoding.is_big_endian else _LITTLE

    def next(self) -> ElementHeader | None:
        """The next header; None at the end, and before what is not an element (zeros behind the last one)."""
        data = self.stream.read(8)
        if len(data) < 8:
            return None
        group, element, length = self._header.unpack(data)
        tag = group << 16 | element
        if tag == 0:
            return None
        if self.encoding.is_implicit or group == _DELIMITER_GROUP:
            return ElementHeader(tag, b"", length)
        return self._explicit(tag, data, length)

    def expect(self) -> ElementHeader:
        """The next header where there must be one. Raises InvalidDataSet."""
        header = self.next()
        if header is None:
            raise InvalidDataSet("The Data Set ends within a sequence.")
        return header

    def nested(self, encoding: Encoding) -> "ElementReader":
        """A reader of the same stream, for content in another encoding."""
        return ElementReader(self.stream, encoding, self.size_bytes)

    def skip(self, header: ElementHeader, depth: int = 0) -> None:
        """Go behind the value of *header*, items and fragments included. Raises InvalidDataSet if it is cut off."""
        if header.has_undefined_length:
            check_nesting(depth)
            inside = self.nested(IMPLICIT) if header.vr == b"UN" else self
            inside._skip_items(depth)
        elif self.stream.seek(header.length, io.SEEK_CUR) > self.size_bytes:
            raise InvalidDataSet(f"The value of {format_tag(header.tag)} is cut off.")

    def _skip_items(self, depth: int) -> None:
        while (item := self.expect()).tag != SEQUENCE_DELIMITER:
            if item.tag != ITEM:
                raise InvalidDataSet(f"{format_tag(item.tag)} stands where an Item should.")
            if not item.has_undefined_length:
                self.skip(item)
                continue
            while (header := self.expect()).tag != ITEM_DELIMITER:
                self.skip(header, depth + 1)

    def _explicit(self, tag: int, data: bytes, length: int) -> ElementHeader:
        vr = data[4:6]
        if vr in SHORT_VRS:
            return ElementHeader(tag, vr, self._short.unpack_from(data, 6)[0])
        if not (vr.isalpha() and vr.isupper()):
            # Seen: single elements without VR in explicit Data Sets; pydicom reads them like this, too.
            return ElementHeader(tag, b"", length)
        if vr not in LONG_VRS and data[6:8] != b"\0\0":
            return ElementHeader(tag, vr, self._short.unpack_from(data, 6)[0])
        more = self.stream.read(4)  # a VR of the future has a 32-bit length (PS3.5 7.1.2)
        if len(more) < 4:
            raise InvalidDataSet("The Data Set ends within an element.")
        return ElementHeader(tag, vr, self._long.unpack(more)[0])


def check_nesting(depth: int) -> None:
    """Raises InvalidDataSet beyond MAX_NESTING."""
    if depth > MAX_NESTING:
        raise InvalidDataSet(f"Sequences are nested more than {MAX_NESTING} deep.")


def format_tag(tag: int) -> str:
    """As the standard writes it: (0010,0020)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _size_of(stream: BinaryIO) -> int:
    here = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(here)
    return size
