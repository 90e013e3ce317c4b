"""A folder of small files that can be made again, held under a size. Safe between threads and processes."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import ClassVar

from relais import private

NOTE = "note"
SHARE = 32
"""Each process measures the folder when it has added so small a part of the bound, and room is made for two of them."""
READ_BYTES = 64 * 1024  # at a time: nearly all images that are kept are smaller
KEPT_SHARE = 0.75  # of the bound, after a measurement that found more than the bound


class Cache:
    """Files under *folder*, at most about *limit_bytes* of them. An empty folder name or a limit of 0 keeps nothing."""

    _room: ClassVar[dict[Path, int]] = {}  # by folder: bytes that this process may add before it measures again

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self._folder = Path(folder) if folder and limit_bytes else None
        self._limit_bytes = limit_bytes

    def get_or_make(self, owner: str, name: str, make: Callable[[], bytes]) -> bytes:
        """What is kept of *owner* under *name*, or else what *make* gives, kept or not."""
        if self._folder is None:
            return make()
        path = f"{self._folder}/{_place(owner, hashlib.sha256(name.encode()).hexdigest())}"
        try:
            return _read(path)
        except OSError:
            content = make()
        self._keep(Path(path), content)
        return content

    def forget(self, owner: str) -> None:
        """Remove all that is kept of *owner*."""
        if self._folder is not None:
            for path in self._folder.glob(_place(owner, "*")):
                path.unlink(missing_ok=True)

    def note(self, text: str) -> None:
        """Remember *text* beside the files; on a full disk what was noted before."""
        if self._folder is not None:
            with suppress(OSError):
                _write(self._folder / f"{NOTE}.new", text.encode())
                (self._folder / f"{NOTE}.new").replace(self._folder / NOTE)

    def noted(self) -> str:
        """What was noted last, "" if nothing was."""
        try:
            return (self._folder / NOTE).read_text() if self._folder else ""
        except OSError:
            return ""

    def _keep(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{token_hex(4)}")
        try:
            _write(temporary, content)
            temporary.replace(path)
            self._make_room(len(content))
        except OSError:
            with suppress(OSError):
                temporary.unlink()

    def _make_room(self, added_bytes: int) -> None:
        assert self._folder is not None
        room = self._room.get(self._folder, 0) - added_bytes
        if room <= 0:
            _evict(self._folder, self._limit_bytes - 2 * self._limit_bytes // SHARE, self._limit_bytes * KEPT_SHARE)
            room = self._limit_bytes // SHARE
        self._room[self._folder] = room


def _evict(folder: Path, most_bytes: int, kept_bytes: float) -> None:
    """Remove the oldest files if there are more than *most_bytes*, until *kept_bytes* are left."""
    files = sorted(_files(folder))
    total = sum(size for _, size, _ in files)
    for _, size, name in files if total > most_bytes else ():
        Path(name).unlink(missing_ok=True)
        total -= size
        if total <= kept_bytes:
            return


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Time, size and path of each; several times sooner than by Path, of which a folder in use has many thousands."""
    for inner in os.scandir(folder):
        if len(inner.name) == 2 and inner.is_dir():
            for entry in os.scandir(inner):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    yield status.st_mtime, status.st_size, entry.path


def _place(owner: str, name: str) -> str:
    """Files of one owner lie in one of 256 folders, and begin alike."""
    digest = hashlib.sha256(owner.encode()).hexdigest()
    return f"{digest[:2]}/{digest[:32]}.{name}"


def _read(path: str) -> bytes:
    """All of a file, in a third of the time that a Path takes: it is renamed to its name when it is whole."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = [os.read(fd, READ_BYTES)]
        while len(pieces[-1]) == READ_BYTES:
            pieces.append(os.read(fd, READ_BYTES))
    finally:
        os.close(fd)
    return b"".join(pieces)


def _write(path: Path, content: bytes) -> None:
    """Into a folder that is nearly always there."""
    try:
        file = private.opened(path, os.O_TRUNC)
    except FileNotFoundError:
        private.make_folder(path.parent)
        file = private.opened(path, os.O_TRUNC)
    with file:
        file.write(content)
