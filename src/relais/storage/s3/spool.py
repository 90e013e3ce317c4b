"""What is durable on this machine and waits for the object store to take it. Knows files and a bound, no bucket."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from relais.errors import OutOfResources
from relais.storage.base import StoredObject, Upload
from relais.storage.layout import is_key
from relais.storage.local import LocalStore
from relais.storage.spooling import Waiting

MEASURED_FOR_S = 2.0  # other processes of the node use the same spool: it is measured again after so long,
MEASURED_SHARE = 20  # or after so many times what measuring took


class Spool:
    """Objects below *root*, at most about *bound_bytes* of them: some more if several processes fill it at once."""

    def __init__(self, root: Path, bound_bytes: int, *, journal_bytes: int = 0) -> None:
        self.files = LocalStore(root, journal_bytes=journal_bytes)
        self.bound_bytes = bound_bytes
        self.name = f"{socket.gethostname()}:{self.files.root}"
        self._lock = threading.Lock()
        self._used_bytes = 0
        self._until = self._soon = 0.0

    def keep(self, upload: Upload, key: str) -> StoredObject:
        """Make the object durable here. Raises OutOfResources if the bound is reached."""
        size_bytes = upload.size_bytes
        self._reserve(size_bytes)
        return upload.commit(key)

    def has_room(self) -> bool:
        """Whether the bound is not reached."""
        with self._lock:
            return self._measured() < self.bound_bytes

    def holds(self, key: str) -> bool:
        """Whether the object is here."""
        return (self.files.root / key).exists()

    def waiting(self) -> Waiting:
        """How much waits, counted now."""
        objects = size_bytes = 0
        for size in _sizes(self.files.root):
            objects += 1
            size_bytes += size
        return Waiting(objects, size_bytes)

    def _reserve(self, size_bytes: int) -> None:
        with self._lock:
            room = self.bound_bytes - size_bytes
            if self._measured() > room and self._measured(soon=True) > room:
                full = ", and the spool of this node is full" if self.bound_bytes else ""
                raise OutOfResources(f"The object store takes nothing now{full}.")
            self._used_bytes += size_bytes

    def _measured(self, *, soon: bool = False) -> int:
        """What is here, measured a moment ago; a shorter one if *soon*."""
        started = time.monotonic()
        if started >= (self._soon if soon else self._until):
            self._used_bytes = sum(_sizes(self.files.root))
            took = time.monotonic() - started
            self._soon = started + MEASURED_SHARE * took
            self._until = max(self._soon, started + MEASURED_FOR_S)
        return self._used_bytes


def _sizes(root: Path) -> Iterator[int]:
    """The size of every object below *root*."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if is_key(path.relative_to(root).as_posix()):
                with suppress(FileNotFoundError):
                    yield path.stat().st_size
