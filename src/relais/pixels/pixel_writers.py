"""Frames written one after the other, as the value of Pixel Data: native, or each in a fragment. Knows no codecs."""

from struct import Struct
from typing import BinaryIO

import numpy as np

from relais.errors import TooLarge
from relais.pixels.image import ImagePixel

MAX_BYTES = 0xFFFFFFFE  # of native Pixel Data, and of the offset of a frame: lengths have 32 bits; beyond, TooLarge

_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UINT = Struct("<I")


class NativeWriter:
    """Frames without gaps: those of single bits share bytes (PS3.5 8.1.1)."""

    def __init__(self, out: BinaryIO, pixel: ImagePixel) -> None:
        self._out = out
        self._bits_in_last_byte = pixel.frame_bits % 8 if pixel.bits_allocated == 1 else 0
        self._frame_bits = pixel.frame_bits
        self._waiting = np.empty(0, np.uint8)
        self._start = out.tell()
        self.size_bytes = 0
        self.count = 0

    def write(self, frame: bytes) -> None:
        self.count += 1
        if not self._bits_in_last_byte:
            self._write(frame)
            return
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), count=self._frame_bits, bitorder="little")
        bits = np.concatenate([self._waiting, bits])
        whole = len(bits) - len(bits) % 8
        self._waiting = bits[whole:]
        self._write(np.packbits(bits[:whole], bitorder="little").tobytes())

    def finish(self) -> None:
        """What is left, padding to an even length, and that length, which stands right before the first frame."""
        self._write(np.packbits(self._waiting, bitorder="little").tobytes())
        self._write(b"\0" * (self.size_bytes % 2))
        end = self._out.tell()
        self._out.seek(self._start - _UINT.size)
        self._out.write(_UINT.pack(self.size_bytes))
        self._out.seek(end)

    def _write(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.size_bytes > MAX_BYTES:
            raise TooLarge("The decoded Pixel Data would be longer than its length can say.")
        self._out.write(data)


class FragmentWriter:
    """One fragment for each frame, behind a Basic Offset Table (PS3.5 A.4)."""

    def __init__(self, out: BinaryIO, pixel: ImagePixel) -> None:
        self._out = out
        out.write(_ITEM + _UINT.pack(pixel.number_of_frames * _UINT.size))
        self._table_at = out.tell()
        out.write(bytes(pixel.number_of_frames * _UINT.size))
        self._first_at = out.tell()
        self._offsets: list[int] = []
        self.size_bytes = 0

    @property
    def count(self) -> int:
        return len(self._offsets)

    def write(self, frame: bytes) -> None:
        offset = self._out.tell() - self._first_at
        if offset > MAX_BYTES:
            raise TooLarge("The encoded Pixel Data would be longer than its offset table can say.")
        self._offsets.append(offset)
        frame += b"\0" * (len(frame) % 2)
        self.size_bytes += len(frame)
        self._out.write(_ITEM + _UINT.pack(len(frame)) + frame)

    def finish(self) -> None:
        """The end of the fragments, and the table."""
        self._out.write(_SEQUENCE_END)
        end = self._out.tell()
        self._out.seek(self._table_at)
        self._out.write(b"".join(map(_UINT.pack, self._offsets)))
        self._out.seek(end)
