"""A few open connections for short reads on PostgreSQL. Knows nothing of what is read.

At most `[index] connections` of one process read at once; who comes then waits for one, as long as for a lock.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg

from relais.db.postgres import failures
from relais.db.postgres.connection import PostgresConnection, Server
from relais.db.postgres.watch import NEVER
from relais.db.settings import IndexSettings
from relais.db.transaction import Connection, Params, Row
from relais.errors import Unavailable

T = TypeVar("T")

BEGIN = b"BEGIN"
BEGIN_LONG = b"BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
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
                if failures.state(exc) == failures.MIGRATED or isinstance(exc, failures.Overdue):
                    self._forget()  # the others have prepared the same, or would wait as long
                raise
            except BaseException:
                self._give_back(connection)
                raise
            self._give_back(connection)

    def first(self, sql: str, params: Params) -> Row | None:
        """The first row of one statement, which is a transaction of its own: three round trips become one."""

        def ask(connection: PostgresConnection) -> Row | None:
            found: Row | None = connection.execute(sql, params).fetchone()
            self._keep(connection)
            return found

        with self._seat():
            return self._on_one(ask)

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
        """A connection in a new transaction."""

        def begin(connection: PostgresConnection) -> PostgresConnection:
            connection.tell_briefly(BEGIN if timeout_s is not None else BEGIN_LONG)
            connection.limit_s = self._server.read_s if timeout_s is not None else NEVER
            return connection

        return self._on_one(begin)

    def _on_one(self, use: Callable[[PostgresConnection], T]) -> T:
        """What *use* gives. Connections that a restart of the server or a migration has spoilt are thrown away."""
        while (idle := self._taken()) is not None:
            try:
                return _closed_by_failure(idle, use)
            except psycopg.Error as exc:
                if isinstance(exc, failures.Overdue):
                    self._forget()  # the others would wait as long
                if not failures.passes(exc):
                    raise
        return _closed_by_failure(self._server.reader(), use)

    def _taken(self) -> PostgresConnection | None:
        with self._mutex:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: PostgresConnection) -> None:
        try:
            connection.tell_briefly(b"ROLLBACK")
            connection.limit_s = self._server.read_s
        except psycopg.Error:
            connection.close()
            return
        self._keep(connection)

    def _keep(self, connection: PostgresConnection) -> None:
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


def _closed_by_failure(connection: PostgresConnection, use: Callable[[PostgresConnection], T]) -> T:
    try:
        return use(connection)
    except BaseException:
        connection.close()
        raise
