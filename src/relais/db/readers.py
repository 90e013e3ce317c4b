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
        connection = self._take()
        if timeout_s is not None:
            deadline = time.monotonic() + timeout_s
            connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def _take(self) -> SqliteConnection:
        with self._mutex:
            if self._idle:
                return self._idle.pop()
        return connect.reader(self._settings)

    def _give_back(self, connection: SqliteConnection) -> None:
        connection.set_progress_handler(None, STEPS)
        connection.execute("ROLLBACK")
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
