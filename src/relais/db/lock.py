"""The lock that writers of several processes queue on. Knows a file, not a database.

SQLite's own waiting is a poll: a busy process gets in again before a sleeping one looks. A blocking flock wakes the
sleeper. Two files are locked in turn, so that whoever just left cannot overtake the one who waits at the inner door.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WritersLock:
    """The writers' lock of one index. One per process: an inherited one must not be used after a fork."""

    def __init__(self, index: Path) -> None:
        self._outer = _open(index.with_name(index.name + ".queue"))
        self._inner = _open(index.with_name(index.name + ".lock"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; wait for it as long as it takes."""
        fcntl.flock(self._outer, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._inner, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._outer, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._inner, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the files back."""
        os.close(self._outer)
        os.close(self._inner)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
