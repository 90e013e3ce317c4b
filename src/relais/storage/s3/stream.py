"""An object of the object store as a stream that can be sought, read ahead while it is read in order. Knows ranges."""

import io
import os
from collections.abc import Callable
from concurrent.futures import Future

from relais.errors import InvalidRequest
from relais.storage.s3.threads import Threads

FIRST_BYTES = (
    512 * 1024
)  # asked for at first: most instances are not larger, and who wants the header only wastes little
LARGEST_BYTES = 8 * 1024 * 1024  # asked for at a time, when much is read in order; twice that is in memory

Get = Callable[[int, int], tuple[bytes, int]]
"""(offset, length) -> up to so many bytes, and the size of the whole. Raises InvalidRequest beyond the end."""


class ObjectStream(io.RawIOBase):
    """Reads by *get*, in windows that grow; the next one is fetched by *threads* while one is read.

    The first is fetched at once, so that what is not there cannot be opened.
    """

    def __init__(self, get: Get, threads: Threads) -> None:
        self._get, self._threads = get, threads
        self._at, self._position, self._length = 0, 0, FIRST_BYTES
        self._next: tuple[int, Future[tuple[bytes, int]]] | None = None
        try:
            self._window, self.size_bytes = get(0, FIRST_BYTES)
        except InvalidRequest:  # there is no first byte
            self._window, self.size_bytes = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("There is nothing before the start.")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self.size_bytes:
            return 0
        if not self._at <= self._position < self._at + len(self._window):
            self._move()
        start = self._position - self._at
        piece = memoryview(self._window)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        self._look_ahead()
        return len(piece)

    def close(self) -> None:
        if self._next is not None:
            self._next[1].cancel()
            self._next = None
        self._window = b""
        super().close()

    def _move(self) -> None:
        """Have the window begin at the position."""
        is_in_order = self._position == self._at + len(self._window)
        self._length = min(self._length * 2, LARGEST_BYTES) if is_in_order else FIRST_BYTES
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == self._position:
            self._window = ahead[1].result()[0]
        else:
            self._window, _ = self._get(self._position, self._length)
        self._at = self._position

    def _look_ahead(self) -> None:
        """Ask for the next window once half of this one was read in order."""
        end = self._at + len(self._window)
        is_due = self._position - self._at > len(self._window) // 2 and self._position - self._at >= FIRST_BYTES // 2
        if self._next is None and is_due and end < self.size_bytes:
            self._next = (end, self._threads.submit(self._get, end, min(self._length * 2, LARGEST_BYTES)))
