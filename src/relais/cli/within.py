"""A piece of a file as a file of its own. Knows offsets, not what lies there."""

from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Within(RawIOBase):
    """The *length* bytes of the file *path* from *start* on, to be read: several at a time do not know each other."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._start, self._length, self._at = start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        base = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        room = memoryview(buffer)[: max(0, self._length - self._at)]
        self._file.seek(self._start + self._at)
        read = self._file.readinto(room) or 0
        self._at += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()
