"""The lock that writers of several processes queue on. Knows a file, not a database.

SQLite's own waiting is a poll: a busy process gets in again before a sleeping one looks. A blocking flock wakes the
sleeper, so that all processes get their turn (docs/decisions/0003).
"""

import fcntl
import os
from pathlib import Path


class WritersLock:
    """The writers' lock of one index. One per process: an inherited one must not be used after a fork.

    A context manager: whoever enters it waits for the lock as long as it takes. It is free again when its holder dies.
    """

    def __init__(self, index: Path) -> None:
        path = index.with_name(index.name + ".lock")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *exc_info: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)
