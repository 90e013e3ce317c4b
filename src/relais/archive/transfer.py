"""Objects from an archive into another store, each compared with its digests. Knows rows and stores, not why they go.

An object that is there already in its full size is left alone: keys are never written twice, and an object is under its
key only when it is whole. So whatever is interrupted goes on where it was.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from relais.archive import Archive
from relais.archive.integrity import Damaged, checked_head, damaged, verified_chunks
from relais.dicom.part10 import read_head
from relais.errors import Elsewhere, Nearline, NodeError, NotFound
from relais.index.rows import InstanceRow, kept_of
from relais.storage.base import ObjectStore

THREADS = 4
BATCH = 256
CHUNK_BYTES = 1024 * 1024

Progress = Callable[[int, int], None]
"""Told how many more objects are in their place, and how many bytes were copied for it."""


@dataclass(slots=True)
class Copied:
    """What became of objects, in numbers; the lists are keys of those that could not be copied.

    *unread* are those in slow storage, or in the spool of another node.
    """

    copied: int = 0
    present: int = 0
    size_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.damaged or self.unread)


def copy_all(
    archive: Archive,
    target: ObjectStore,
    rows: Iterable[InstanceRow],
    history: Iterable[str],
    progress: Progress = lambda objects, size_bytes: None,
) -> Copied:
    """Copy the objects of *rows*, and those under the keys *history*, which have no rows, into *target*.

    Raises OutOfResources or Unavailable if either store fails.
    """
    done = Copied()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="copy") as pool:
        for batch in _batches(rows):
            for row, size in zip(batch, pool.map(lambda row: _outcome(archive, target, row), batch), strict=True):
                _count(done, row.key, size)
                progress(1, size if isinstance(size, int) else 0)
    for key in history:
        size = _copy_history(archive.store, target, key)
        _count(done, key, size)
        progress(1, size if isinstance(size, int) else 0)
    return done


def _is_there(store: ObjectStore, key: str, size_bytes: int) -> bool:
    """Whether *store* has an object of that size under *key*; one of another size is not ours, and goes."""
    try:
        if store.size_bytes(key) == size_bytes:
            return True
    except NotFound:
        return False
    store.delete(key)
    return False


def is_readable(store: ObjectStore, key: str) -> bool:
    """Whether there is an object under *key*, and it can be read to its end."""
    try:
        with store.open(key) as stream:
            while stream.read(CHUNK_BYTES):
                pass
    except NotFound:
        return False
    return True


def _count(done: Copied, key: str, outcome: "int | NodeError") -> None:
    if isinstance(outcome, Damaged):
        done.damaged.append(key)
    elif isinstance(outcome, NotFound):
        done.missing.append(key)
    elif isinstance(outcome, Nearline | Elsewhere):
        done.unread.append(key)
    elif isinstance(outcome, NodeError):
        raise outcome
    else:
        done.copied += bool(outcome)
        done.present += not outcome
        done.size_bytes += outcome


def _outcome(archive: Archive, target: ObjectStore, row: InstanceRow) -> "int | NodeError":
    """How many bytes were copied, or what went wrong."""
    try:
        return _copy(archive, target, row)
    except NodeError as error:
        return error


def _copy(archive: Archive, target: ObjectStore, row: InstanceRow) -> int:
    if _is_there(target, row.key, row.size_bytes):
        return 0
    with target.begin(checked_head(archive, row)) as upload:
        for chunk in verified_chunks(archive, row, row.layout.dataset_offset, always=True):
            upload.write(chunk)
        stored = upload.commit(row.key)
    found = (stored.size_bytes, kept_of(stored.digest), kept_of(stored.head_digest))
    if found != (row.size_bytes, row.digest, row.head_digest):
        target.delete(row.key)
        raise damaged(row)
    return row.size_bytes


def _copy_history(source: ObjectStore, target: ObjectStore, key: str) -> "int | NodeError":
    """The same for an object of which the index knows the key alone."""
    try:
        size = source.size_bytes(key)
        if _is_there(target, key, size):
            return 0
        with source.open(key) as stream, target.begin(read_head(stream.read)[1]) as upload:
            while chunk := stream.read(CHUNK_BYTES):
                upload.write(chunk)
            upload.commit(key)
        return size
    except NodeError as error:
        return error


def _batches(rows: Iterable[InstanceRow]) -> Iterator[list[InstanceRow]]:
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch
