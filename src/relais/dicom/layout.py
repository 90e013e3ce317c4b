"""Where things lie inside a stored Part 10 file. Knows offsets, not files: dicom.frames computes the frame table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in bytes from the start of the Part 10 file.

    *dataset_offset* is the first byte after the File Meta Information. *pixel_offset* is the first byte of the
    Pixel Data element (its tag), of (7FE0,0008) and (7FE0,0009) likewise, None without one. *frame_table* is
    dicom.frames.FrameTable.pack(), None where frames cannot be cut out as byte ranges (bit-packed frames that
    do not start on a byte, deflated or big endian Data Sets, or an encapsulation that cannot be mapped).
    """

    dataset_offset: int
    pixel_offset: int | None = None
    frame_table: bytes | None = None
