"""The journal of one process: small objects are durable here first, in their own files a little later.

1. Two segments take turns. The full one is settled, which means that its objects' own files are synced, and used again.
   Where neither has room the journal says so, and the object is synced by itself: that is slower, not less safe.
2. After a failed write or sync the journal is not used again by this process.
3. A slot is a folder with a lock: processes have one each. Whoever opens the store settles the slots of the dead.

Knows keys and bytes; the store (Keeper) knows where the files are.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from relais.errors import NodeError, OutOfResources
from relais.storage import redo
from relais.storage.base import Buffer, StoredObject
from relais.storage.segment import Record, Segment

SEGMENTS = ("a", "b")
LARGEST_SHARE = 8  # an object larger than this part of a segment is better synced by itself
IDLE_S = 1.0  # after so long without a new object the files are synced: an idle node leaves nothing to be settled
AGAIN_S = 5.0  # after a failure

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """What the journal needs of the store."""

    def settle(self, keys: Iterable[str]) -> None:
        """Sync the files of these objects, and their folders; those deleted meanwhile are no error. Raises OSError."""

    def restore(self, key: str, chunks: Callable[[], Iterator[bytes]], *, is_forced: bool) -> None:
        """See to it that the object is there, durable and made of *chunks*; written anew if *is_forced*."""


@dataclass(slots=True)
class _Turn:
    """A segment, what it holds, and how many are writing to it."""

    segment: Segment
    places: dict[str, int] = field(default_factory=dict)
    writers: int = 0


class Journal:
    """The journal in the first free slot below *folder*. Its segments are made by a thread of its own."""

    def __init__(self, folder: Path, segment_bytes: int, keeper: Keeper) -> None:
        self._folder, self._segment_bytes, self._keeper = folder, segment_bytes, keeper
        self._changed = threading.Condition()
        self._active: _Turn | None = None
        self._free: list[_Turn] = []
        self._full: list[_Turn] = []
        self._used_at = 0.0
        self._is_broken = self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def may_hold(self, size_bytes: int) -> bool:
        """Whether an object of that size is small enough."""
        return size_bytes <= self._segment_bytes // LARGEST_SHARE

    def hold(self, key: str, head_bytes: int, stored: StoredObject, body: Buffer) -> "Held | None":
        """Write the object to the journal, not yet durably; None if there is no room. Raises OutOfResources."""
        turn, place = self._reserve(key, stored.size_bytes)
        if turn is None:
            return None
        try:
            written = turn.segment.write(place, key, head_bytes, stored, body)
        except BaseException as exc:
            self._release(turn, key, is_kept=False)
            if isinstance(exc, OSError):
                raise self._given_up(exc) from exc
            raise
        return Held(self, turn, key, written)

    def forget(self, key: str) -> None:
        """The object of *key* is deleted: it shall not come back."""
        with self._changed:
            for turn in filter(None, (self._active, *self._full)):
                place = turn.places.pop(key, None)
                if place is not None:
                    with suppress(OSError):
                        turn.segment.void(place)

    def close(self) -> None:
        """Settle everything, if that can be done now, and give the slot back."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _reserve(self, key: str, size_bytes: int) -> tuple[_Turn | None, int]:
        if not self.may_hold(size_bytes):
            return None, 0
        with self._changed:
            for _ in SEGMENTS:
                turn = self._active
                if turn is None or self._is_broken:
                    return None, 0
                place = turn.segment.reserve(size_bytes)
                if place is not None:
                    if not turn.places:
                        self._changed.notify_all()  # the idle time begins
                    turn.writers += 1
                    turn.places[key] = place
                    self._used_at = time.monotonic()
                    return turn, place
                self._retire()
        return None, 0

    def _retire(self) -> None:
        """Give the active segment to the thread, and take the other if it is free."""
        if self._active is not None:
            self._full.append(self._active)
        self._active = self._free.pop() if self._free else None
        self._changed.notify_all()

    def _sync(self, turn: _Turn, written: int) -> None:
        try:
            turn.segment.sync(written)
        except OSError as exc:
            raise self._given_up(exc) from exc

    def _release(self, turn: _Turn, key: str, *, is_kept: bool) -> None:
        """One writer less. What is not *is_kept* is let go."""
        if not is_kept:
            self.forget(key)
        with self._changed:
            turn.writers -= 1
            if turn in self._full:
                self._changed.notify_all()

    def _given_up(self, exc: OSError) -> OutOfResources:
        """The journal is not used any more; what to say to whom it has failed."""
        with self._changed:
            if not self._is_broken:
                log.error("the journal is not used any more: %s", exc)
                self._is_broken = True
                self._retire()
        return OutOfResources()

    def _run(self) -> None:
        try:
            with _a_slot(self._folder) as slot:
                for name in SEGMENTS:
                    _settle_file(slot / name, self._keeper)
                turns = [_Turn(_segment(slot / name, self._segment_bytes)) for name in SEGMENTS]
                redo.sync(str(slot))
                with self._changed:
                    self._active, *self._free = turns
                try:
                    self._serve()
                finally:
                    with self._changed:
                        self._active = None
                        self._full.clear()
                    for turn in turns:
                        turn.segment.close()
        except (OSError, NodeError) as exc:
            log.error("there is no journal; every object is synced by itself: %s", exc)

    def _serve(self) -> None:
        """Settle what is full, or has been idle."""
        while (turn := self._next()) is not None:
            if not self._settle(turn, is_again=False):
                while not self._is_closing and not self._settle(turn, is_again=True):
                    with self._changed:
                        self._changed.wait_for(lambda: self._is_closing, AGAIN_S)
            if self._is_closing and turn.places:
                return  # what could not be settled is left to whoever opens the store next

    def _next(self) -> _Turn | None:
        """The next segment to settle; None when closing and all is settled."""
        with self._changed:
            while not self._full:
                turn = self._active
                is_idle = turn is not None and turn.places and time.monotonic() - self._used_at >= IDLE_S
                if is_idle or (self._is_closing and turn is not None and turn.places):
                    self._retire()
                elif self._is_closing:
                    return None
                else:
                    self._changed.wait(IDLE_S if turn is not None and turn.places else None)
            turn = self._full[0]
            self._changed.wait_for(lambda: not turn.writers)
            return turn

    def _settle(self, turn: _Turn, *, is_again: bool) -> bool:
        """Have the files of a segment synced, and use the segment again. After a failure they are written anew."""
        try:
            if is_again:
                _restore(self._keeper, turn.segment, is_forced=True, is_wanted=turn.places.__contains__)
            else:
                self._keeper.settle(list(turn.places))
            with self._changed:
                turn.segment.reset()
                turn.places.clear()
                self._full.remove(turn)
                self._free.append(turn)
                if self._active is None and not self._is_broken:
                    self._active = self._free.pop()
        except (OSError, NodeError) as exc:
            log.error("objects stay in the journal: %s", exc)
            return False
        return True


class Held:
    """An object in the journal, which stays there until it is released."""

    __slots__ = ("_journal", "_key", "_turn", "_written")

    def __init__(self, journal: Journal, turn: _Turn, key: str, written: int) -> None:
        self._journal, self._turn, self._key, self._written = journal, turn, key, written

    def sync(self) -> None:
        """Make the object durable in the journal. Raises OutOfResources."""
        self._journal._sync(self._turn, self._written)

    def release(self, *, is_kept: bool) -> None:
        """Once: the object has its own file, which is synced later; or it is not to be kept, and is let go."""
        self._journal._release(self._turn, self._key, is_kept=is_kept)


def settle_the_dead(folder: Path, keeper: Keeper) -> None:
    """Restore what processes that ended without closing have left in the journal.

    Raises OSError if the folder cannot be read. What cannot be restored stays, and the log tells of it.
    """
    try:
        slots = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    for slot in slots:
        try:
            with _locked(slot) as is_ours:
                for name in SEGMENTS if is_ours else ():
                    _settle_file(slot / name, keeper)
        except (OSError, NodeError) as exc:
            log.error("the journal %s cannot be settled now: %s", slot.name, exc)


def _settle_file(path: Path, keeper: Keeper) -> None:
    try:
        segment = Segment.open(path)
    except FileNotFoundError:
        return
    if segment is None:
        return
    try:
        if segment.is_used:
            _restore(keeper, segment)
            segment.reset()
    finally:
        segment.close()


def _restore(
    keeper: Keeper,
    segment: Segment,
    *,
    is_forced: bool = False,
    is_wanted: Callable[[str], bool] = lambda key: True,
) -> None:
    for record in segment.records():
        if is_wanted(record.key):
            keeper.restore(record.key, _chunks_of(segment, record), is_forced=is_forced)


def _chunks_of(segment: Segment, record: Record) -> Callable[[], Iterator[bytes]]:
    return lambda: segment.chunks(record)


@contextmanager
def _a_slot(folder: Path) -> Iterator[Path]:
    """The first slot that nobody has, for the time of the context."""
    folder.mkdir(mode=0o750, exist_ok=True)
    number = 0
    while True:
        slot = folder / f"{number:02d}"
        slot.mkdir(mode=0o750, exist_ok=True)
        with _locked(slot) as is_ours:
            if is_ours:
                redo.sync(str(folder))
                yield slot
                return
        number += 1


@contextmanager
def _locked(slot: Path) -> Iterator[bool]:
    """Whether nobody else has the slot, now and until the context ends."""
    fd = os.open(slot / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def _segment(path: Path, size_bytes: int) -> Segment:
    """The empty segment at *path*, made if there is none of that size."""
    with suppress(FileNotFoundError):
        segment = Segment.open(path)
        if segment is not None and segment.size_bytes == size_bytes:
            return segment
        if segment is not None:
            segment.close()
    return Segment.create(path, size_bytes)
