"""Video as it is stored: one stream, as its Transfer Syntax has it (PS3.5 8.2.5 to 8.2.8). Knows bytes, no codec."""

from collections.abc import Iterator

from relais.archive import Archive
from relais.archive.integrity import CHUNK_BYTES
from relais.archive.retrieve import Body
from relais.dicom import uids
from relais.dicom.frames import FrameTable
from relais.index.rows import InstanceRow

MPEG, MP4, H265, TRANSPORT_STREAM = "video/mpeg", "video/mp4", "video/H265", "video/mp2t"

_BEGINNINGS = (
    (b"\0\0\1\xba", MPEG),  # a pack header (ISO/IEC 13818-1 2.5.3.3): a program stream
    (b"\0\0\1\xb3", MPEG),  # a sequence header (ISO/IEC 13818-2 6.2.2.1): an elementary stream
    (b"\0\0\1\x40", H265),  # a video parameter set (ITU-T H.265 B.2)
    (b"\0\0\0\1\x40", H265),
)
_PACKET_BYTES, _SYNC = 188, 0x47  # ISO/IEC 13818-1 2.4.3.2


def is_video(row: InstanceRow) -> bool:
    """Whether the instance holds one stream for all its frames."""
    return row.transfer_syntax_uid in uids.VIDEO and row.layout.frame_table is not None


def media_type_of(archive: Archive, row: InstanceRow) -> str:
    """By how the stream of *row*, which is_video, begins; "" where that is like nothing that has a media type."""
    offset, length = _pieces(row)[0]
    return _media_type(archive.store.read_range(row.key, offset, min(length, 2 * _PACKET_BYTES)))


def stream(archive: Archive, row: InstanceRow) -> Body:
    """The stream of *row*, which is_video."""
    pieces = _pieces(row)
    return Body(sum(length for _, length in pieces), _chunks(archive, row, pieces), row.transfer_syntax_uid)


def _pieces(row: InstanceRow) -> tuple[tuple[int, int], ...]:
    assert row.layout.frame_table is not None
    return FrameTable.unpack(row.layout.frame_table).pieces(1)


def _media_type(start: bytes) -> str:
    if start[4:8] == b"ftyp":  # ISO/IEC 14496-12 4.3
        return MP4
    if [start[at : at + 1] for at in (0, _PACKET_BYTES)] == [bytes((_SYNC,))] * 2:
        return TRANSPORT_STREAM
    return next((media_type for beginning, media_type in _BEGINNINGS if start.startswith(beginning)), "")


def _chunks(archive: Archive, row: InstanceRow, pieces: tuple[tuple[int, int], ...]) -> Iterator[bytes]:
    for offset, length in pieces:
        for at in range(offset, offset + length, CHUNK_BYTES):
            yield archive.store.read_range(row.key, at, min(CHUNK_BYTES, offset + length - at))
