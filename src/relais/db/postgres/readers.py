"""A few open connections for short reads on PostgreSQL. Knows nothing of what is read.

At most `[index] connections` of one process read at once; who comes then waits for one, as long as for a lock.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from relais.db.postgres import failures
from relais.db.postgres.connection import PostgresConnection, Server
from relais.db.settings import IndexSettings
from relais.db.transaction import Connection
from relais.errors import Unavailable

NONE_FREE = "Too many read the index at once; raise [index] connections, or ask again later."


class Readers:
    """The readers of one process. Any thread may use any of them, one at a time."""

    def __init__(self, server: Server, settings: IndexSettings) -> None:
        self._server = server
        self._wait_s = settings.busy_timeout_s
        self._free = threading.BoundedSemaphore(settings.connections)
        self._mine = threading.local()  # a thread that reads already does not wait for another connection
        self._mutex = threading.Lock()
        self._idle: deque[PostgresConnection] = deque()
        self._is_closed = False

    @contextmanager
    def snapshot(self, timeout_s: float | None) -> Iterator[Connection]:
        """A connection inside a transaction: every statement sees the same commit. None for *timeout_s*: no limit."""
        with self._seat():
            connection = self._begun(timeout_s)
            try:
                yield connection
            except psycopg.Error as exc:
                connection.close()
                if failures.state(exc) == failures.MIGRATED:
                    self._forget()  # the others have prepared the same
                raise
            except BaseException:
                self._give_back(connection)
                raise
            self._give_back(connection)

    @contextmanager
    def _seat(self) -> Iterator[None]:
        is_first = not getattr(self._mine, "depth", 0)
        if is_first and not self._free.acquire(timeout=self._wait_s):
            raise Unavailable(NONE_FREE)
        self._mine.depth = getattr(self._mine, "depth", 0) + 1
        try:
            yield
        finally:
            self._mine.depth -= 1
            if is_first:
                self._free.release()

    def _begun(self, timeout_s: float | None) -> PostgresConnection:
        """A connection in a new transaction. Those that a restart of the server has ended are thrown away."""
        begin = "BEGIN" if timeout_s is not None else "BEGIN; SET LOCAL statement_timeout = 0"
        while (connection := self._taken()) is not None:
            try:
                connection.tell(begin)
                return connection
            except psycopg.Error:
                connection.close()
        connection = self._server.reader()
        connection.tell(begin)
        return connection

    def _taken(self) -> PostgresConnection | None:
        with self._mutex:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: PostgresConnection) -> None:
        try:
            connection.tell("ROLLBACK")
        except psycopg.Error:
            connection.close()
            return
        with self._mutex:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed after its use."""
        with self._mutex:
            self._is_closed = True
        self._forget()

    def _forget(self) -> None:
        with self._mutex:
            while self._idle:
                self._idle.pop().close()
