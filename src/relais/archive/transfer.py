"""Objects from an archive into another store, each compared with its digests. Knows rows and stores, not why they go.

1. An object that is there already in its full size is left alone: keys are never written twice, and an object is under
   its key only when it is whole. So whatever is interrupted goes on where it was.
2. What is there is asked series by series, not object by object.
3. What is read is compared with the digests of its row before the end of it is given away. That it arrives as it was
   given away is the promise of the store (storage.base): it is not read back.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from threading import BoundedSemaphore

from relais.archive import Archive
from relais.archive.integrity import Lacking, damaged, verified_chunks
from relais.dicom.part10 import read_head
from relais.errors import NodeError, NotFound
from relais.index.rows import InstanceRow, kept_of
from relais.storage.base import ObjectStore, is_far_away
from relais.storage.layout import series_folder

THREADS = 4
FAR_THREADS = 16  # where one of the stores is asked over a network
LARGE_BYTES = 8 * 1024 * 1024  # of objects above it THREADS are on their way at most: they take memory, or disk
BATCH = 256
CHUNK_BYTES = 1024 * 1024

Progress = Callable[[int, int], None]
"""Told how many more objects are in their place, and how many bytes were copied for it."""

_Wanted = tuple[str, InstanceRow | None]  # a key, and its row if it has one


@dataclass(slots=True)
class Copied(Lacking):
    """What became of objects, in numbers; the lists are keys of those that could not be copied."""

    copied: int = 0
    present: int = 0
    size_bytes: int = 0


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
    wanted: Iterable[_Wanted] = chain(((row.key, row) for row in rows), ((key, None) for key in history))
    copy = partial(_outcome, archive, target, BoundedSemaphore(THREADS))
    with ThreadPoolExecutor(_threads(archive.store, target), thread_name_prefix="copy") as pool:
        there = _There(target, pool)
        for batch in _batches(wanted):
            outcomes = pool.map(copy, batch, there.sizes([key for key, _ in batch]))
            for (key, _), outcome in zip(batch, outcomes, strict=True):
                _count(done, key, outcome)
                progress(1, outcome if isinstance(outcome, int) else 0)
    return done


class _There:
    """What *target* has already, asked by *pool*: each series once, as long as one comes after the other."""

    def __init__(self, target: ObjectStore, pool: Executor) -> None:
        self._target, self._pool = target, pool
        self._known: dict[str, dict[str, int]] = {}

    def sizes(self, keys: Sequence[str]) -> list[int | None]:
        """How many bytes it has under each of *keys*, None where there is nothing."""
        folders = list(map(series_folder, keys))
        new = [folder for folder in dict.fromkeys(folders) if folder not in self._known]
        self._known = {folder: self._known[folder] for folder in folders if folder in self._known}
        self._known.update(zip(new, self._pool.map(self._target.sizes, new), strict=True))
        return [self._known[folder].get(key) for folder, key in zip(folders, keys, strict=True)]


def _threads(*stores: ObjectStore) -> int:
    return FAR_THREADS if any(map(is_far_away, stores)) else THREADS


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
    if isinstance(outcome, NodeError):
        done.lacks(key, outcome)
    else:
        done.copied += bool(outcome)
        done.present += not outcome
        done.size_bytes += outcome


def _outcome(
    archive: Archive, target: ObjectStore, large: BoundedSemaphore, wanted: _Wanted, there: int | None
) -> "int | NodeError":
    """How many bytes were copied, or what went wrong. *there* is the size of what *target* has under the key.

    *large* is held by those that are.
    """
    key, row = wanted
    try:
        size_bytes = archive.store.size_bytes(key) if row is None else row.size_bytes
        if there == size_bytes:
            return 0
        if there is not None:
            target.delete(key)  # not ours
        with large if size_bytes > LARGE_BYTES else nullcontext():
            if row is None:
                _copy_history(archive.store, target, key)
            else:
                _copy(archive, target, row)
        return size_bytes
    except NodeError as error:
        return error


def _copy(archive: Archive, target: ObjectStore, row: InstanceRow) -> None:
    chunks, head_bytes = verified_chunks(archive, row, 0, always=True), row.layout.dataset_offset
    first = next(chunks)  # all of a small object, else what is before the Data Set
    with target.begin(first[:head_bytes]) as upload:
        upload.write(memoryview(first)[head_bytes:])
        for chunk in chunks:
            upload.write(chunk)
        stored = upload.commit(row.key)
    found = (stored.size_bytes, kept_of(stored.digest), kept_of(stored.head_digest))
    if found != (row.size_bytes, row.digest, row.head_digest):
        target.delete(row.key)
        raise damaged(row)


def _copy_history(source: ObjectStore, target: ObjectStore, key: str) -> None:
    """The same for an object of which the index knows the key alone."""
    with source.open(key) as stream, target.begin(read_head(stream.read)[1]) as upload:
        while chunk := stream.read(CHUNK_BYTES):
            upload.write(chunk)
        upload.commit(key)


def _batches(wanted: Iterable[_Wanted]) -> Iterator[list[_Wanted]]:
    left = iter(wanted)
    while batch := list(islice(left, BATCH)):
        yield batch
