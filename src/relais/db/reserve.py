"""A little room beside the index, kept for the day when its disk is full. Knows one file.

Opening an index that nobody has open needs room even to read: SQLite makes its -shm then, which goes when the last one
closes it. Where there is none left the reserve is given up for it, so that a node that was stopped starts and reads on.
"""

import os
from contextlib import suppress
from pathlib import Path

from relais import private

SUFFIX = ".reserve"
SIZE = 256 * 1024  # -shm takes 32 KB, and what is left a few commits
BLOCK = 4096
LEAST = 64 * 1024  # with less free nothing can be opened: a block here and there may be left


def keep(index: Path) -> None:
    """See to it that the reserve of *index* is there, as far as there is room for it. Nothing depends on it."""
    path = _path(index)
    with suppress(OSError):
        if path.exists() and path.stat().st_size >= SIZE:
            return
        with private.opened(path, os.O_APPEND) as file:
            file.seek(0, os.SEEK_END)
            while (missing := SIZE - file.tell()) > 0:
                file.write(os.urandom(min(missing, BLOCK)))  # zeros take no room where the file system compresses
                file.flush()


def give_up(index: Path) -> None:
    """Free the room for who opens *index*."""
    with suppress(OSError):
        _path(index).unlink()


def is_full(folder: Path) -> bool:
    """Whether the disk under *folder* has no room, or no room for names; False where it does not say."""
    with suppress(OSError):
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize < LEAST or (disk.f_files > 0 and disk.f_favail == 0)
    return False


def _path(index: Path) -> Path:
    return index.with_name(index.name + SUFFIX)
