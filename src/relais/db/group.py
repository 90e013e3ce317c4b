"""Group commit: works of many threads share one transaction and one sync. Knows nothing of what the works do.

1. The first thread that comes leads: it takes what waits, runs it in one transaction and wakes everybody.
2. Each work runs in a savepoint, so that a failing one harms only itself; its exception reaches its own caller. Where
   savepoints are dear, works that came together are first run without: if one fails, all of them run again.
3. When a commit fails, every work of it fails: nothing is tried again and then called durable.
4. A leader hands the lead on after its own commit, so nobody serves others for ever.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from relais.db.engine import TryAgain, Writer
from relais.db.transaction import Transaction
from relais.errors import Internal, NodeError, Unavailable

TRIES = 5  # of a transaction that the engine gives up for no fault of its works
Work = Callable[[Transaction], Any]


class Item:
    """One work and what became of it."""

    __slots__ = ("_asleep", "error", "leads", "result", "since", "work")

    def __init__(self, work: Work, *, leads: bool) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.leads = leads
        self.since = time.monotonic()
        self._asleep: threading.Lock | None = None  # taken while its thread waits: an Event costs three of them
        if not leads:
            self._asleep = threading.Lock()
            self._asleep.acquire()

    def wait(self) -> None:
        """Wait for `wake`, if this work does not lead from the beginning."""
        if self._asleep is not None:
            self._asleep.acquire()

    def wake(self) -> None:
        """Have the thread that waits go on: it leads now, or its work is done."""
        if self._asleep is not None:
            self._asleep.release()


class Group:
    """The writers of one process."""

    def __init__(self, writer: Writer, limit: int) -> None:
        self._writer = writer
        self._limit = limit
        self._mutex = threading.Lock()
        self._waiting: deque[Item] = deque()
        self._is_led = False
        self._leader: int | None = None  # the thread that runs works now

    def write(self, work: Work) -> Any:
        """Run *work* in a transaction and return its result when that is durable."""
        if self._leader == threading.get_ident():
            raise Internal("a write inside a write would wait for itself")
        with self._mutex:
            item = Item(work, leads=not self._is_led)
            self._waiting.append(item)
            self._is_led = True
        self._wait(item)
        if item.leads:
            self._lead()
        if item.error is not None:
            raise item.error
        return item.result

    def _wait(self, item: Item) -> None:
        """Wait until *item* is done or its turn to lead has come. Who is interrupted while waiting leaves no gap.

        Also if it leads by now: whoever handed the lead on has woken it, and each waking goes with one waiting.
        """
        try:
            item.wait()
        except BaseException:
            with self._mutex:
                if item in self._waiting:
                    self._waiting.remove(item)
            if item.leads:
                self._hand_on()
            raise

    def _lead(self) -> None:
        """Commit what waits, the leader's own work first among it; then hand on the lead."""
        batch: list[Item] = []
        self._leader = threading.get_ident()
        try:
            with self._mutex:
                batch.extend(self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting))))
            self._commit(batch)
        except BaseException as exc:
            self._writer.roll_back()
            _fail(batch, self._wrapped(exc))
            if not isinstance(exc, (*self._writer.words.FOREIGN, OSError, TryAgain, NodeError)):
                raise
        finally:
            self._leader = None
            self._hand_on()
            for item in batch:
                item.wake()

    def _hand_on(self) -> None:
        """Make the one who has waited longest the next leader."""
        with self._mutex:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].wake()

    def _commit(self, batch: list[Item]) -> None:
        """Run *batch* in one transaction; afterwards each item has its result or its error."""
        pending, tries = batch, 0
        may_hope = self._writer.savepoints_are_dear and len(batch) > 1
        with self._writer.held(batch[0].since):
            while pending:
                try:
                    pending = self._all_or_nothing(pending) if may_hope else self._attempt(pending)
                    may_hope = False
                except TryAgain:
                    self._writer.roll_back()
                    tries += 1
                    if tries == TRIES:
                        raise

    def _all_or_nothing(self, batch: list[Item]) -> list[Item]:
        """One transaction without savepoints. Returns *batch*, of which then nothing is there, if a work fails."""
        self._writer.begin()
        tx = Transaction(self._writer.connection, time.time())
        try:
            for item in batch:
                item.result = item.work(tx)
        except Exception as exc:
            if self._writer.words.passes(exc):
                raise TryAgain from exc
            self._writer.roll_back()
            return batch
        self._writer.commit()
        return []

    def _attempt(self, batch: list[Item]) -> list[Item]:
        """One transaction. Returns what must run again, because the engine gave up the whole of it for one work."""
        self._writer.begin()
        tx = Transaction(self._writer.connection, time.time())
        if len(batch) == 1:
            return self._run_alone(batch[0], tx)
        for item in batch:
            item.error = None
            self._run(item, tx)
            if not self._writer.is_alive:
                return _survivors(batch, item)
        self._writer.commit()
        return []

    def _run_alone(self, item: Item, tx: Transaction) -> list[Item]:
        """Run the only work of a transaction, which needs no savepoint, and commit."""
        try:
            item.result = item.work(tx)
        except Exception as exc:
            if self._writer.words.passes(exc):
                raise TryAgain from exc
            self._writer.roll_back()
            item.error = self._wrapped(exc) if isinstance(exc, self._writer.words.FOREIGN) else exc
            return []
        item.error = None
        self._writer.commit()
        return []

    def _run(self, item: Item, tx: Transaction) -> None:
        """Run one work in its savepoint."""
        words = self._writer.words
        tx.execute("SAVEPOINT work")
        try:
            item.result = item.work(tx)
        except Exception as exc:
            if words.passes(exc):
                raise TryAgain from exc
            item.error = self._wrapped(exc) if isinstance(exc, words.FOREIGN) else exc
            if self._writer.is_alive:
                tx.execute("ROLLBACK TO work")
        if self._writer.is_alive:
            tx.execute("RELEASE work")

    def _wrapped(self, exc: BaseException) -> NodeError:
        """*exc* as an error of the node, caused by it."""
        if isinstance(exc, NodeError):
            return exc
        if isinstance(exc, TryAgain) and exc.__cause__ is not None:
            exc = exc.__cause__
        words = self._writer.words
        is_known = isinstance(exc, (*words.FOREIGN, OSError))
        found = words.of_writing(exc) if is_known else Unavailable("The index's writer was interrupted.")
        found.__cause__ = exc
        return found


def _survivors(batch: list[Item], culprit: Item) -> list[Item]:
    """Who may run again without *culprit*: nobody when the disk is full, for it is full for all."""
    others = [item for item in batch if item is not culprit]
    if isinstance(culprit.error, Unavailable):
        _fail(others, culprit.error)
        return []
    return others


def _fail(batch: list[Item], error: NodeError) -> None:
    """No item of *batch* became durable."""
    for item in batch:
        item.error = item.error or error
