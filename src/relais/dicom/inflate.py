"""A deflated Data Set (PS3.5 A.5) read as if it were not. Knows streams of bytes, not elements.

Nothing is kept but the piece that is looked at, so a bomb costs time up to MAX_INFLATED_BYTES and no memory.
"""

import zlib

from relais.dicom.elements import ReadAt
from relais.errors import InvalidDataSet

MAX_INFLATED_BYTES = 1024 * 1024 * 1024  # a Data Set that inflates to more is refused
_DEFLATED_BYTES = 64 * 1024  # read at a time
_INFLATED_BYTES = 256 * 1024  # made at a time
_RAW = -zlib.MAX_WBITS


class Inflated:
    """What lies deflated from *start* to *end* of an object, with random access: going back begins from the front.

    Raises InvalidDataSet if that is not a whole deflated stream or inflates beyond MAX_INFLATED_BYTES.
    """

    def __init__(self, read_at: ReadAt, start: int, end: int) -> None:
        self._read_at, self._start, self._end = read_at, start, end
        self._rewind()
        while self._next():
            pass
        self.size_bytes = self._base + len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """As ReadAt: up to *length* bytes of the inflated Data Set."""
        if offset < self._base:
            self._rewind()
        found = bytearray()
        while len(found) < length:
            at = offset + len(found) - self._base
            found += self._data[at : at + length - len(found)]
            if len(found) < length and not self._next():
                break
        return bytes(found)

    def _rewind(self) -> None:
        self._inflater = zlib.decompressobj(_RAW)
        self._deflated, self._position = b"", self._start
        self._base, self._data = 0, b""

    def _next(self) -> bool:
        """Go on to the next piece; False at the end."""
        if self._inflater.eof:
            return False
        if not self._deflated:
            self._deflated = self._read_at(self._position, min(_DEFLATED_BYTES, self._end - self._position))
            self._position += len(self._deflated)
        try:
            piece = self._inflater.decompress(self._deflated, _INFLATED_BYTES)
        except zlib.error as exc:
            raise InvalidDataSet("The deflated Data Set is damaged.") from exc
        if not piece and not self._deflated and not self._inflater.eof:
            raise InvalidDataSet("The deflated Data Set is truncated.")
        self._deflated = self._inflater.unconsumed_tail
        self._base, self._data = self._base + len(self._data), piece
        if self._base + len(piece) > MAX_INFLATED_BYTES:
            raise InvalidDataSet(f"The Data Set inflates to more than {MAX_INFLATED_BYTES} bytes.")
        return True
