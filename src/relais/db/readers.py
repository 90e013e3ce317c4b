"""A few open connections for short reads. Knows nothing of what is read."""

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from relais.db import connect
from relais.db.settings import IndexSettings
from relais.db.transaction import Connection

IDLE = 16  # connections kept open for the next reader; more are closed after use


class Readers:
    """The readers of one process. Any thread may use any of them, one at a time."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self._idle: deque[Connection] = deque()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection inside a read transaction: every statement sees the same commit."""
        connection = self._take()
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

    def _take(self) -> Connection:
        with self._mutex:
            if self._idle:
                return self._idle.pop()
        return connect.reader(self._settings)

    def _give_back(self, connection: Connection) -> None:
        connection.execute("ROLLBACK")
        with self._mutex:
            if len(self._idle) < IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use closes with its last reader."""
        with self._mutex:
            while self._idle:
                self._idle.pop().close()
