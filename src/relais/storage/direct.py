"""New files written past the kernel's cache of files (O_DIRECT). Knows descriptors and memory, no objects.

Giving a page of that cache to a new file costs more than copying what goes into it, most of all in a virtual machine
(docs/decisions/0019-direct.md).
"""

import errno
import fcntl
import os

BLOCK = 4096  # a multiple of what disks and file systems ask for
_DIRECT = getattr(os, "O_DIRECT", 0)
_REFUSALS = frozenset((errno.EINVAL, errno.EOPNOTSUPP))  # of a file system that knows nothing of it, or wants more


class Direct:
    """Writes the blocks of new files directly, until a file system refuses that. Safe to use from many threads."""

    def __init__(self, least_bytes: int) -> None:
        """*least_bytes*: smaller files are left to the cache; 0 leaves it all files."""
        self._least_bytes = least_bytes
        self._is_possible = bool(_DIRECT and least_bytes)

    def write(self, fd: int, data: memoryview) -> int:
        """Write what can be written so of *data* to an empty file; how many bytes that were, maybe none.

        *data* begins where a page of memory begins. Nothing is durable before a sync. Raises OSError.
        """
        if not self._is_possible or len(data) < self._least_bytes:
            return 0
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, _DIRECT)
            try:
                return os.write(fd, data[: len(data) // BLOCK * BLOCK])
            finally:
                fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        except OSError as exc:
            if exc.errno not in _REFUSALS:
                raise
            self._is_possible = False
            return 0
