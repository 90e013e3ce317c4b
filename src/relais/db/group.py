"""Group commit: works of many threads share one transaction and one sync. Knows nothing of what the works do.

1. The first thread that comes leads: it takes what waits, runs it in one transaction and wakes everybody.
2. Each work runs in a savepoint, so that a failing one harms only itself; its exception reaches its own caller.
3. When a commit fails, every work of it fails: nothing is tried again and then called durable.
4. A leader hands the lead on after its own commit, so nobody serves others for ever.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from relais.db import failures
from relais.db.lock import WritersLock
from relais.db.transaction import Connection, Transaction
from relais.errors import Internal, NodeError, Unavailable

Work = Callable[[Transaction], Any]


class Item:
    """One work and what became of it."""

    __slots__ = ("error", "leads", "result", "woken", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.leads = False
        self.woken = threading.Event()


class Group:
    """The writers of one process."""

    def __init__(
        self,
        connection: Connection,
        lock: WritersLock,
        limit: int,
        prepare: Callable[[], None] = lambda: None,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        """*prepare* is called once, with the lock held, before the first transaction; *committed* after each."""
        self._committed = committed
        self._prepare: Callable[[], None] | None = prepare
        self._connection = connection
        self._lock = lock
        self._limit = limit
        self._mutex = threading.Lock()
        self._waiting: deque[Item] = deque()
        self._is_led = False
        self._leader: int | None = None  # the thread that runs works now

    def write(self, work: Work) -> Any:
        """Run *work* in a transaction and return its result when that is durable."""
        if self._leader == threading.get_ident():
            raise Internal("a write inside a write would wait for itself")
        item = Item(work)
        with self._mutex:
            self._waiting.append(item)
            item.leads = not self._is_led
            self._is_led = True
        if not item.leads:
            self._wait(item)
        if item.leads:
            self._lead()
        if item.error is not None:
            raise item.error
        return item.result

    def _wait(self, item: Item) -> None:
        """Wait until *item* is done or its turn to lead has come. Who is interrupted while waiting leaves no gap."""
        try:
            item.woken.wait()
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
            self._roll_back()
            _fail(batch, _wrapped(exc, failures.of_writing))
            if not isinstance(exc, sqlite3.Error | OSError | NodeError):
                raise
        finally:
            self._leader = None
            self._hand_on()
            for item in batch:
                item.woken.set()

    def _hand_on(self) -> None:
        """Make the one who has waited longest the next leader."""
        with self._mutex:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()

    def _commit(self, batch: list[Item]) -> None:
        """Run *batch* in one transaction; afterwards each item has its result or its error."""
        pending = batch
        with self._lock.held():
            if self._prepare is not None:
                self._prepare()
                self._prepare = None
            while pending:
                pending = self._attempt(pending)
        self._committed()

    def _attempt(self, batch: list[Item]) -> list[Item]:
        """One transaction. Returns what must run again, because SQLite gave up the whole of it for one work."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        tx = Transaction(connection, time.time())
        for item in batch:
            item.error = None
            self._run(item, tx)
            if not connection.in_transaction:
                return _survivors(batch, item)
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            raise _wrapped(exc, failures.of_committing) from exc
        return []

    def _run(self, item: Item, tx: Transaction) -> None:
        """Run one work in its savepoint."""
        self._connection.execute("SAVEPOINT work")
        try:
            item.result = item.work(tx)
        except Exception as exc:
            item.error = _wrapped(exc, failures.of_writing) if isinstance(exc, sqlite3.Error) else exc
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO work")
        if self._connection.in_transaction:
            self._connection.execute("RELEASE work")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _wrapped(exc: BaseException, words: Callable[[BaseException], NodeError]) -> NodeError:
    """*exc* as an error of the node, caused by it."""
    if isinstance(exc, NodeError):
        return exc
    found = (
        words(exc) if isinstance(exc, sqlite3.Error | OSError) else Unavailable("The index's writer was interrupted.")
    )
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
