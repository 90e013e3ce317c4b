"""Late writes: records that their maker need not wait for, committed together within a second. Knows no tables.

They wait in bounded memory. Where the disk is full they are tried again each second; once the memory is full too they
are dropped with an error in the log, for reads must go on.
"""

import threading
from collections.abc import Callable
from logging import getLogger

from relais.db.engine import Words
from relais.db.transaction import Transaction
from relais.errors import Internal, Unavailable

log = getLogger(__name__)
Work = Callable[[Transaction], object]
WAIT_S = 0.5  # how long a late write waits for company


class Soon:
    """The late writes of one process."""

    def __init__(self, write: Callable[[Work], object], limit: int, words: Words) -> None:
        self._write = write
        self._words = words
        self._limit = limit
        self._waiting: list[Work] = []
        self._mutex = threading.Lock()
        self._flushing = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, work: Work) -> None:
        """Have *work* committed within a second. Where too many wait, commit them now."""
        with self._mutex:
            self._waiting.append(work)
            is_full = len(self._waiting) > self._limit
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="late-writes", daemon=True)
                self._thread.start()
        if is_full:
            self._make_room()

    def close(self) -> None:
        """Commit what waits and stop."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._make_room()

    def _run(self) -> None:
        why = ""
        while not self._closing.wait(WAIT_S):
            try:
                self.flush()
                why = ""
            except Unavailable as exc:
                if exc.message != why:
                    log.warning("late writes wait: %s", exc)
                why = exc.message

    def flush(self) -> None:
        """Commit what waits. What finds no room goes on waiting; what can never be committed is dropped."""
        with self._flushing:
            self._commit()

    def _make_room(self) -> None:
        """Commit what waits, or drop it: all in one holding, so that no other flush has it in hand."""
        with self._flushing:
            try:
                self._commit()
            except Unavailable as exc:
                with self._mutex:
                    lost = len(self._waiting)
                    self._waiting.clear()
                log.error("%d late writes are lost: %s", lost, exc)

    def _commit(self) -> None:
        """What `flush` does, for who holds it."""
        with self._mutex:
            batch = list(self._waiting)
        try:
            if batch:
                self._write(lambda tx: _run_each(tx, batch, self._words))
        except Internal as exc:
            log.error("%d late writes are lost: %s", len(batch), exc)
        with self._mutex:
            del self._waiting[: len(batch)]


def _run_each(tx: Transaction, batch: list[Work], words: Words) -> None:
    """Run all together or, if one of them fails, each in a savepoint of its own: nearly always one does for all.

    Where the whole transaction is lost, so are they all.
    """
    if len(batch) == 1 or not _ran(tx, batch, words):
        for work in batch:
            _ran(tx, [work], words)


def _ran(tx: Transaction, works: list[Work], words: Words) -> bool:
    """Whether all of *works* were run; else none was, and it is told of one that was alone."""
    tx.execute("SAVEPOINT late")
    try:
        for work in works:
            work(tx)
    except Exception as exc:
        if not tx.is_alive or isinstance(words.of_writing(exc), Unavailable):
            raise
        if len(works) == 1:
            log.exception("a late write failed")
        tx.execute("ROLLBACK TO late")
        tx.execute("RELEASE late")
        return False
    tx.execute("RELEASE late")
    return True
