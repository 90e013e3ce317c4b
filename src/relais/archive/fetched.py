"""Which instances of a unit have come already, and as which files, in a ledger. Knows short digests, no peer.

What is held under a SOP Instance UID need not be what the peer has under it: it may have been corrected there, or be of
another patient. So an instance that came is remembered with what tells its file from any other.
"""

import time
from base64 import b64encode
from hashlib import blake2b
from types import TracebackType
from typing import Self

from relais.archive.ledger import Ledger

MARK_BYTES, MARK = 6, 8  # of a digest, and its characters: it is compared with others of one unit, not of all the world
RECORD = 3 * MARK
NOTE_S = 10.0  # what a crash takes is had once more: not more than comes in that time


class Fetched:
    """What of *unit* has come and is durable, as it came last. A context manager that notes what is not noted yet.

    A line of the ledger is for as many instances as came since the last one, 24 bytes for each.
    """

    def __init__(self, ledger: Ledger, unit: str) -> None:
        self._ledger, self._unit = ledger, unit
        self._files: dict[str, str] = {}
        self._lines = 0
        while line := ledger.get(self._key()):
            records = (line[at : at + RECORD] for at in range(0, len(line), RECORD))
            self._files.update((record[:MARK], record[MARK:]) for record in records)
            self._lines += 1
        self._new: list[str] = []
        self._noted_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._note()

    def has(self, instance: str) -> bool:
        """Whether *instance* has come, as whatever file."""
        return _mark(instance) in self._files

    def has_file(self, instance: str, file: str) -> bool:
        """Whether *instance* came last as what has *file* among its two names."""
        names = self._files.get(_mark(instance), "")
        return bool(file) and _mark(file) in (names[:MARK], names[MARK:])

    def add(self, instance: str, files: tuple[str, str]) -> None:
        """*instance* has come, as the file of these two names, "" for one that it does not have."""
        name, names = _mark(instance), "".join(map(_mark, files))
        self._files[name] = names
        self._new.append(name + names)
        if time.monotonic() - self._noted_at > NOTE_S:
            self._note()

    def _note(self) -> None:
        if self._new:
            self._ledger.note(self._key(), "".join(self._new))
            self._lines += 1
            self._new.clear()
        self._noted_at = time.monotonic()

    def _key(self) -> str:
        return f"{self._unit}:{self._lines}"


def _mark(name: str) -> str:
    return b64encode(blake2b(name.encode(), digest_size=MARK_BYTES).digest()).decode()
