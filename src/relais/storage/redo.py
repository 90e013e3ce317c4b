"""What the journal asks of the files: sync many of them at once, or write one again. Knows files below a root.

Writing is begun for all of them before the first is waited for, so that one commit of the file system carries many.
"""

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

FILE_MODE, FOLDER_MODE = 0o640, 0o750  # less what umask takes away
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: begin, and do not wait
_begin_writing = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _begin_writing is not None:
    _begin_writing.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def settle(root: Path, paths: Iterable[Path]) -> None:
    """Sync these files, and every folder between them and *root*. Those that are gone are no error. Raises OSError."""
    paths = list(paths)
    for path in paths:
        with _opened(path) as fd:
            if fd is not None and _begin_writing is not None:
                _begin_writing(fd, 0, 0, _WRITE)
    folders: dict[Path, None] = {}
    for path in paths:
        _sync(path)
        folders |= dict.fromkeys(folder for folder in path.parents if folder.is_relative_to(root))
    for folder in folders:
        _sync(folder)


def restore(root: Path, temporary: Path, path: Path, chunks: Callable[[], Iterator[bytes]]) -> None:
    """Have *path* made of *chunks*, durably, by way of a *temporary* folder. Raises OSError."""
    fresh = temporary / f"{token_hex(16)}.part"
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb") as file:
            for chunk in chunks():
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        for folder in (path.parent.parent.parent, path.parent.parent, path.parent):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        fresh.rename(path)
        settle(root, [path])
    finally:
        fresh.unlink(missing_ok=True)


def is_made_of(path: Path, chunks: Iterator[bytes]) -> bool:
    """Whether the file at *path* holds *chunks* and nothing else. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
        return all(file.read(len(chunk)) == chunk for chunk in chunks) and not file.read(1)
    return False


def _sync(path: Path) -> None:
    with _opened(path) as fd:
        if fd is not None:
            os.fsync(fd)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """A file or folder; None if it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
