"""Copies of objects as files on this machine, for who needs a file, held under a size. Knows names, not what is inside.

Safe between threads and processes: who uses a file has a name of its own for it, so that nobody removes it under him.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from relais.errors import NotFound, out_of_resources
from relais.storage.layout import random_hex

NO_ROOM = "There is no room for a copy of the object."

KEPT, USED = ".dcm", ".use"  # what may be evicted, and what somebody reads or writes now


class KeptFiles:
    """Files below *folder*, at most about *limit_bytes* of them besides those in use."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes

    @contextmanager
    def file(self, key: str, write: Callable[[BinaryIO], None]) -> Iterator[Path]:
        """The object as a file, made by *write* unless it is there already, for the time of the context."""
        kept, mine = self._path(key), self._mine()
        try:
            try:
                os.link(kept, mine)
                os.utime(kept)
            except FileNotFoundError:
                with out_of_resources(NO_ROOM):
                    self._make(mine, write)
                    self._keep(mine, kept)
            yield mine
        finally:
            mine.unlink(missing_ok=True)

    @contextmanager
    def link(self, path: Path) -> Iterator[Path]:
        """Another name for *path*, for the time of the context. Raises NotFound if there is no such file."""
        mine = self._mine()
        with out_of_resources(NO_ROOM):
            self._folder.mkdir(mode=0o750, exist_ok=True)
        try:
            os.link(path, mine)
        except FileNotFoundError as exc:
            raise NotFound from exc
        try:
            yield mine
        finally:
            mine.unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Remove the copy, if there is one."""
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def sweep(self, older_than_s: float) -> None:
        """Remove what processes left that ended while they used a file."""
        limit = time.time() - older_than_s
        for path in self._folder.glob(f"*{USED}"):
            with suppress(OSError):
                if path.stat().st_ctime <= limit:
                    path.unlink()

    def _path(self, key: str) -> Path:
        return self._folder / f"{sha256(key.encode('ascii')).hexdigest()[:32]}{KEPT}"

    def _mine(self) -> Path:
        return self._folder / f"{random_hex(32)}{USED}"

    def _make(self, path: Path, write: Callable[[BinaryIO], None]) -> None:
        self._folder.mkdir(mode=0o750, exist_ok=True)
        with path.open("xb") as file:
            write(file)

    def _keep(self, mine: Path, kept: Path) -> None:
        if mine.stat().st_size > self._limit_bytes // 2:
            return
        with suppress(FileExistsError):
            os.link(mine, kept)
            self._evict()

    def _evict(self) -> None:
        """Remove what was not used for the longest time until nine tenths of the bound are left."""
        files = []
        for path in self._folder.glob(f"*{KEPT}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        if total > self._limit_bytes:
            for _, size, path in sorted(files):
                path.unlink(missing_ok=True)
                total -= size
                if total <= self._limit_bytes * 0.9:
                    return
