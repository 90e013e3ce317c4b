"""What the journal asks of the files: sync many of them at once, or write one again. Knows files below a root.

Writing is begun for all of them before the first is waited for, so that one commit of the file system carries many.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from posixpath import dirname
from secrets import token_hex

from relais.storage.system import FileSystem, begin_writing

FILE_MODE, FOLDER_MODE = 0o640, 0o750  # less what umask takes away
MANY = 8  # files for which it is cheaper to sync the whole file system


def settle(root: str, keys: Iterable[str], whole: FileSystem | None = None) -> None:
    """Sync the files of *keys*, and every folder between them and *root*. Those that are gone are no error.

    Where they are many, the *whole* file system is synced, once, if that can be relied on. Raises OSError.
    """
    keys = list(keys)
    if whole is not None and len(keys) >= MANY and whole.sync():
        return
    for key in keys:
        with _opened(f"{root}/{key}") as fd:
            if fd is not None:
                begin_writing(fd)
    folders: dict[str, None] = {}
    for key in keys:
        sync(f"{root}/{key}")
        shard, study, series, _ = key.split("/")
        folders |= dict.fromkeys((f"{shard}/{study}/{series}", f"{shard}/{study}", shard, ""))
    for folder in folders:
        sync(f"{root}/{folder}")


def restore(root: Path, temporary: Path, key: str, chunks: Callable[[], Iterator[bytes]]) -> None:
    """Have the file of *key* made of *chunks*, durably, by way of a *temporary* folder. Raises OSError."""
    path = root / key
    fresh = temporary / f"{token_hex(16)}.part"
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb") as file:
            for chunk in chunks():
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        make_folders(str(path.parent))
        fresh.rename(path)
        settle(str(root), [key])
    finally:
        fresh.unlink(missing_ok=True)


def folders_of(series: str) -> tuple[str, str, str]:
    """The folders of a key whose last one is *series*, the highest first."""
    study = dirname(series)
    return dirname(study), study, series


def make_folders(series: str) -> None:
    """See to it that the folders of a key are there, not yet durably. Raises OSError."""
    for folder in folders_of(series):
        Path(folder).mkdir(mode=FOLDER_MODE, exist_ok=True)


def is_made_of(path: Path, chunks: Iterator[bytes]) -> bool:
    """Whether the file at *path* holds *chunks* and nothing else. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
        return all(file.read(len(chunk)) == chunk for chunk in chunks) and not file.read(1)
    return False


def sync(path: str) -> None:
    """Put a file or folder on stable storage; one that is gone is no error. Raises OSError."""
    with _opened(path) as fd:
        if fd is not None:
            os.fsync(fd)


@contextmanager
def _opened(path: str) -> Iterator[int | None]:
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
