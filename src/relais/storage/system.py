"""System calls that Python has no names for. Knows descriptors; where a call does not exist it is done without."""

import ctypes
import os
from pathlib import Path

_WRITE = 2  # SYNC_FILE_RANGE_WRITE: begin, and do not wait
_TRUSTED = frozenset((0xEF53, 0x58465342, 0x9123683E))  # ext4, XFS, btrfs: syncfs flushes the disk (statfs(2))
_STATFS_BYTES = 256  # more than any architecture needs; the type of the file system comes first
_SYNCFS_TELLS_ERRORS = (5, 8)  # the first such Linux

_libc = ctypes.CDLL(None, use_errno=True)
_sync_file_range = getattr(_libc, "sync_file_range", None)
_syncfs = getattr(_libc, "syncfs", None)
_statfs = getattr(_libc, "statfs", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def begin_writing(fd: int, offset: int = 0, size_bytes: int = 0) -> None:
    """Have the disk begin with that part of a file (0 bytes: all behind *offset*). Promises nothing."""
    if _sync_file_range is not None:
        _sync_file_range(fd, offset, size_bytes, _WRITE)


class FileSystem:
    """The whole file system that a folder is on, to be synced at once.

    What fails to be written from now on, whoever wrote it, is told by the next sync: make one before you write.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._is_trusted = _syncfs is not None and _release() >= _SYNCFS_TELLS_ERRORS and _kind(folder) in _TRUSTED

    def sync(self) -> bool:
        """Put all that was written before on stable storage; False where that cannot be relied on. Raises OSError."""
        if not self._is_trusted or _syncfs is None:
            return False
        if _syncfs(self._fd):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return True

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def _kind(folder: Path) -> int:
    """The magic number of the file system, 0 if it does not tell."""
    room = ctypes.create_string_buffer(_STATFS_BYTES)
    if _statfs is None or _statfs(os.fsencode(folder), room):
        return 0
    return ctypes.c_long.from_buffer(room).value


def _release() -> tuple[int, ...]:
    return version_of(os.uname().release)


def version_of(release: str) -> tuple[int, ...]:
    """The version of a kernel by its *release*, as far as it is one: (6, 1)."""
    return tuple(int(part) for part in release.split("-", maxsplit=1)[0].split(".")[:2] if part.isdecimal())
