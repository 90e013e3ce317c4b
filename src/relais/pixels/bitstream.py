"""What a compressed frame says of itself before it is decoded: size, components, precision. Knows markers, no pixels.

A frame whose own size is not that of its Data Set is refused before a decoder takes memory for it.
"""

from dataclasses import dataclass
from struct import Struct, error

from relais.errors import InvalidDataSet

_SEGMENT = Struct(">BBH")
_START_OF_FRAME = Struct(">BHHB")
_SIZE = Struct(">HHIIIIIIIIH")

_SOI = b"\xff\xd8"
_STUFFING = 0xFF
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM, RSTn: markers without a segment
_SOF_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # ISO/IEC 10918-1 B.1.1.3, 14495-1 C.1.1
_SOS, _APP14 = 0xDA, 0xEE

_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC, SIZ (ISO/IEC 15444-1 A.4.1, A.5.1)


@dataclass(frozen=True, slots=True)
class Bitstream:
    """One compressed frame. *has_colour_transform* is None where the bitstream does not tell."""

    rows: int
    columns: int
    components: int
    precision: int
    has_colour_transform: bool | None = None


def read_jpeg(data: bytes) -> Bitstream:
    """The frame header of a JPEG or JPEG-LS bitstream. Raises InvalidDataSet without one."""
    if not data.startswith(_SOI):
        raise InvalidDataSet("A frame does not begin like a JPEG bitstream.")
    found: Bitstream | None = None
    adobe: bool | None = None
    for marker, start, end in _segments(data):
        if marker in _SOF_MARKERS and found is None:
            found = _start_of_frame(data, start, end)
            if data[start + 6 : end : 3] == b"RGB":  # component identifiers
                adobe = False
        elif marker == _APP14 and data[start : start + 5] == b"Adobe" and end - start >= 12:
            adobe = data[start + 11] != 0  # ISO/IEC 10918-6 6.5.3
    if found is None:
        raise InvalidDataSet("A frame has no JPEG frame header.")
    return Bitstream(found.rows, found.columns, found.components, found.precision, adobe)


def find_codestream(data: bytes) -> bytes:
    """The JPEG 2000 codestream in *data*.

    Seen: frames wrapped in a whole JP2 file, which PS3.5 8.2.4 forbids; the boxes are left away.
    """
    if data.startswith(_CODESTREAM):
        return data
    start = data.find(_CODESTREAM) if data.startswith(b"\x00\x00\x00\x0cjP  ") else -1
    if start < 0:
        raise InvalidDataSet("A frame does not begin like a JPEG 2000 codestream.")
    return data[start:]


def read_jpeg_2000(codestream: bytes) -> Bitstream:
    """The image and tile size of a JPEG 2000 codestream (ISO/IEC 15444-1 A.5.1). Raises InvalidDataSet."""
    try:
        _, _, right, bottom, left, top, _, _, _, _, components = _SIZE.unpack_from(codestream, 4)
        precision = (codestream[4 + _SIZE.size] & 0x7F) + 1
    except (error, IndexError) as exc:
        raise InvalidDataSet("A JPEG 2000 codestream is too short.") from exc
    return Bitstream(rows=bottom - top, columns=right - left, components=components, precision=precision)


def _segments(data: bytes) -> "list[tuple[int, int, int]]":
    """Marker, start and end of every segment before the first scan."""
    found: list[tuple[int, int, int]] = []
    position = 2
    while position + _SEGMENT.size <= len(data):
        prefix, marker, length = _SEGMENT.unpack_from(data, position)
        if prefix != _STUFFING:
            break
        if marker == _STUFFING:
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker == _SOS or length < 2:
            break
        found.append((marker, position + 4, position + 2 + length))
        position += 2 + length
    return found


def _start_of_frame(data: bytes, start: int, end: int) -> Bitstream:
    if end > len(data) or end - start < _START_OF_FRAME.size:
        raise InvalidDataSet("A JPEG frame header is too short.")
    precision, rows, columns, components = _START_OF_FRAME.unpack_from(data, start)
    return Bitstream(rows, columns, components, precision)
