"""SQLite as the engine of an index: one file, one writer at a time, readers beside it. Knows one process."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from relais import private
from relais.db import connect, failures, reserve
from relais.db.checkpoint import Checkpoints
from relais.db.engine import Words
from relais.db.lock import WritersLock
from relais.db.migrate import migrate
from relais.db.readers import Readers
from relais.db.settings import IndexSettings
from relais.db.transaction import Connection, Params, Row

LEAST_PATIENCE_S = 1.0  # what somebody outside holds for a moment only refuses nobody


class SqliteWriter:
    """The connection that writes, behind the lock that writers of several processes queue on."""

    words: Words = failures
    savepoints_are_dear = False

    def __init__(self, settings: IndexSettings) -> None:
        """Open the file, made or migrated as needed, one process at a time."""
        private.make_folder(settings.path.parent)
        self._settings = settings
        self._lock = WritersLock(settings.path)
        self._has_reserved = False
        self._patience_s = settings.busy_timeout_s
        self._checkpoints = Checkpoints(settings)
        self.connection = connect.writer(settings)
        try:
            with self._lock:
                migrate(self.connection, settings.path)
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether SQLite has not given the transaction up."""
        return self.connection.in_transaction

    @contextmanager
    def held(self, since: float) -> Iterator[None]:
        """Hold the lock; before the first transaction the log gets its size."""
        with self._lock:
            self._be_patient(time.monotonic() - since)
            if not self._has_reserved:
                connect.reserve_log(self.connection, self._settings)
                self._has_reserved = True
            yield

    def _be_patient(self, waited_s: float) -> None:
        """Wait for somebody outside as long as the settings say, in all: with those who came before, too.

        What is left counts in whole seconds, and so is nearly always the same.
        """
        most = self._settings.busy_timeout_s
        patience_s = min(most, max(LEAST_PATIENCE_S, float(math.ceil(most - waited_s))))
        if patience_s != self._patience_s:
            self.connection.execute(f"PRAGMA busy_timeout={int(patience_s * 1000)}")
            self._patience_s = patience_s

    def begin(self) -> None:
        """Begin, as the only one who writes."""
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit durably. Raises what a failed commit means."""
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as exc:
            raise failures.of_committing(exc) from exc
        self._checkpoints.note()

    def roll_back(self) -> None:
        """End the transaction, if there is one."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of file and lock; what is still in the log is safe there."""
        self._checkpoints.close()
        self.connection.close()
        self._lock.close()


class SqliteEngine:
    """The writer and the readers of one process."""

    def __init__(self, settings: IndexSettings) -> None:
        self._index = settings.path
        try:
            self.writer = _writer(settings)
        except (sqlite3.Error, OSError, UnicodeDecodeError) as exc:
            raise failures.of_opening(exc, is_full=reserve.is_full(self._index.parent)) from exc
        self._readers = Readers(settings)

    def snapshot(self, timeout_s: float | None) -> AbstractContextManager[Connection]:
        """A connection inside a read transaction."""
        return self._readers.snapshot(timeout_s)

    def first(self, sql: str, params: Params) -> Row | None:
        """The first row of one statement."""
        return self._readers.first(sql, params)

    def aside(self, _sql: str, _params: Params) -> bool:
        """Every statement waits its turn: a file has one writer."""
        return False

    def alone(self) -> AbstractContextManager[None]:
        """Nothing to do: the node's folder, in which the file lies, is locked by who serves it."""
        return nullcontext()

    def close(self) -> None:
        """Close readers and writer. What SQLite removes with the last of them leaves room for the reserve."""
        self._readers.close()
        self.writer.close()
        reserve.keep(self._index)


def _writer(settings: IndexSettings) -> SqliteWriter:
    """The writer; on a full disk at the cost of the reserve."""
    try:
        writer = SqliteWriter(settings)
    except (sqlite3.Error, OSError) as exc:
        if not failures.found_no_room(exc):
            raise
        reserve.give_up(settings.path)  # nobody, or another one at this moment, has it now
        return SqliteWriter(settings)
    reserve.keep(settings.path)
    return writer
