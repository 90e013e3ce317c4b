"""System calls that Python has no names for. Knows descriptors; where a call does not exist it is done without."""

import ctypes
import os
from pathlib import Path

_WRITE = 2  # SYNC_FILE_RANGE_WRITE: begin, and do not wait
_TRUSTED = frozenset((0xEF53, 0x58465342, 0x9123683E))  # ext4, XFS, btrfs: syncfs flushes the disk (statfs(2))
_STATFS_BYTES = 256  # more than any architecture needs; the type of the file system comes first
_SYNCFS_TELLS_ERRORS = (5, 8)  # the first such Linux
_READ, _SHARED, _FAILED = 1, 1, ctypes.c_void_p(-1).value  # PROT_READ, MAP_SHARED, MAP_FAILED
_HUGEPAGE, _POPULATE_READ = 14, 22  # MADV_...; the second since Linux 5.14

_libc = ctypes.CDLL(None, use_errno=True)
_sync_file_range = getattr(_libc, "sync_file_range", None)
_syncfs = getattr(_libc, "syncfs", None)
_statfs = getattr(_libc, "statfs", None)
_mmap, _madvise, _munmap = _libc.mmap, _libc.madvise, _libc.munmap
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def begin_writing(fd: int, offset: int = 0, size_bytes: int = 0) -> None:
    """Have the disk begin with that part of a file (0 bytes: all behind *offset*). Promises nothing."""
    if _sync_file_range is not None:
        _sync_file_range(fd, offset, size_bytes, _WRITE)


def gather(fd: int, size_bytes: int) -> None:
    """Have the kernel read the beginning of a file in pieces of memory as large as it has. Promises nothing.

    Otherwise it takes page by page what is not in its cache: dearer to fill, and dearer to read as long as it is there.
    What is there already stays as it is. One page is asked for, and none is touched: a file that has become shorter or
    cannot be read is left to who reads it.
    """
    at = _mmap(None, size_bytes, _READ, _SHARED, fd, 0)
    if at == _FAILED:
        return
    if not _madvise(at, size_bytes, _HUGEPAGE):
        _madvise(at, 1, _POPULATE_READ)
    _munmap(at, size_bytes)


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
