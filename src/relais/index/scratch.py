"""A folder for a while, for copies of an index. Knows folders and their locks, not what lies in them.

A process that is killed leaves its folder behind, and in it patients' names. The lock on the folder goes with the
process: whoever makes the next one beside it removes those that nobody has locked.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".relais-"
FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextmanager
def scratch(room: Path | None = None) -> Iterator[Path]:
    """An empty folder below *room*, or where temporary files go. What killed processes of ours left there goes."""
    room = room or Path(tempfile.gettempdir())
    sweep(room)
    folder, lock = _locked(room)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(lock)


def sweep(room: Path) -> None:
    """Remove what killed processes of ours left below *room*."""
    for left in room.glob(f"{PREFIX}*"):
        with suppress(OSError):  # of somebody else, or going just now
            _remove_left(left)


def _locked(room: Path) -> tuple[Path, int]:
    """A new folder, and what to close when it is done with; another one if it was removed before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=room))
        try:
            lock = os.open(folder, FLAGS)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # where the file system knows no locks nobody sees it as left behind
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_left(folder: Path) -> None:
    """Remove *folder* if it is ours and its process is gone. Raises OSError."""
    lock = os.open(folder, FLAGS)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_uid == os.getuid():
            shutil.rmtree(folder)
    finally:
        os.close(lock)
