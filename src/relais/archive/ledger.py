"""What a long work has done already, in a file, so that it goes on where it was. Knows keys and values, no work.

1. A line is a key and a value; the last line of a key counts. Lines are only ever appended, whole.
2. What is noted must be durable elsewhere before: a line that a crash took is work done twice, never work left out.
3. A ledger belongs to one index: one that was made anew begins with empty ones (relais.index.changes.name).
"""

import fcntl
import os
from pathlib import Path
from typing import Self
from urllib.parse import quote

from relais import private
from relais.archive import Archive
from relais.errors import Conflict, OutOfResources, writing
from relais.index import changes


class Ledger:
    """The file of that name below *folder*. A context manager. All of it is held in memory, some 200 bytes a line.

    Raises Conflict if somebody else holds it and either wants it *alone*; OutOfResources if it cannot be written.
    """

    def __init__(self, archive: Archive, folder: Path, name: str, *, alone: bool = True) -> None:
        path = folder / changes.name(archive.db) / quote(name, safe="")
        with writing(path):
            private.make_folder(path.parent)
            self._file = private.opened(path, os.O_APPEND)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as exc:
            self._file.close()
            raise Conflict(f"Somebody is at the same work already ({name}).") from exc
        self._values: dict[str, str] = {}
        self._read(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def get(self, key: str) -> str | None:
        """What was noted of *key*; None if nothing was."""
        return self._values.get(key)

    def keys_with(self, value: str) -> list[str]:
        """The keys of which *value* was noted last."""
        return [key for key, found in self._values.items() if found == value]

    def note(self, key: str, value: str = "") -> None:
        """Note *value* of *key*; in neither may be a tabulator or a new line. From any thread."""
        if self._values.get(key) == value:
            return
        self._values[key] = value
        try:
            os.write(self._file.fileno(), f"{key}\t{value}\n".encode())
        except OSError as exc:
            raise OutOfResources(f"What was done cannot be noted: {exc.strerror}.") from exc

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):  # a line that a crash cut off: no key is like it
            os.write(self._file.fileno(), b"\n")
        for line in content.decode("utf-8", "replace").splitlines():
            key, tab, value = line.partition("\t")
            if tab:
                self._values[key] = value
