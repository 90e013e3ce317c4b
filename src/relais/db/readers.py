"""A few open connections for short reads. Knows nothing of what is read."""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from relais.db import connect
from relais.db.connect import SqliteConnection
from relais.db.settings import IndexSettings
from relais.db.transaction import Params, Row

STEPS = 100_000  # of SQLite's machine, a few milliseconds, between two looks at the clock
IDLE = 16  # connections kept open for the next reader; more are closed after use


class Readers:
    """The readers of one process. Any thread may use any of them, one at a time."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self._idle: deque[SqliteConnection] = deque()
        self._is_closed = False

    @contextmanager
    def snapshot(self, timeout_s: float | None) -> Iterator[SqliteConnection]:
        """A connection inside a read transaction: every statement sees the same commit.

        A statement that runs *timeout_s* after the beginning is interrupted.
        """
        connection = self._take(timeout_s)
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._end(connection)
            raise
        self._end(connection)

    def first(self, sql: str, params: Params) -> Row | None:
        """The first row of one statement, which needs no transaction to see one commit; None if it finds none.

        Beginning and ending one would take longer than finding a row, and among busy threads Python waits for its lock
        behind each.
        """
        connection = self._take(self._settings.read_timeout_s)
        try:
            found = connection.execute(sql, params).fetchall()
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return found[0] if found else None

    def _take(self, timeout_s: float | None) -> SqliteConnection:
        with self._mutex:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = connect.reader(self._settings)
        if timeout_s is not None:
            deadline = time.monotonic() + timeout_s
            connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
        return connection

    def _end(self, connection: SqliteConnection) -> None:
        connection.execute("ROLLBACK")
        self._give_back(connection)

    def _give_back(self, connection: SqliteConnection) -> None:
        connection.set_progress_handler(None, STEPS)
        with self._mutex:
            if len(self._idle) < IDLE and not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed after its use."""
        with self._mutex:
            self._is_closed = True
            while self._idle:
                self._idle.pop().close()
