"""The writer of one process on PostgreSQL. Knows one connection and the writers' lock, not what is written.

1. Writers of all processes and nodes take turns: each transaction begins by taking an advisory lock, which the server
   gives in the order of asking and takes back when the transaction ends, however it ends. So what a work reads does not
   change under it, no two transactions wait for each other, and revisions become visible in their order.
2. Who has the index open holds a shared lock for as long as its connection lives. Who wants it alone (reindex, restore)
   needs that lock exclusively, and keeps everybody else out while having it.
3. A transaction whose connection is lost before COMMIT was sent is run again; one that is lost during COMMIT is not,
   for nobody knows what became of it.
4. A transaction in which its process does nothing for half the time that others wait for their turn is ended by the
   server, so that a node that hangs or is cut off stops nobody for longer; should the process go on, it is run again.
   Who has the index alone may be slower.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from relais.db.engine import TryAgain, Words
from relais.db.postgres import failures
from relais.db.postgres.connection import AGAIN_S, IDLE_S, Server
from relais.db.postgres.watch import NEVER
from relais.errors import Unavailable

CLOSING_S = 5.0  # the server may need a while to see that a connection was closed
IS_ALONE = "Another program makes the index anew (relais reindex, restore or migrate); wait until it has ended."
IS_OPEN = "The index is open elsewhere ({}): stop every node and command that uses it, then try again."
# The second number is the index's own: several may be in one database, each in a schema of its own.
BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(1380273740, 'totals'::regclass::oid::int)"
SHARED = "SELECT pg_try_advisory_lock_shared(1380273742, 'totals'::regclass::oid::int)"
ALONE = "SELECT pg_try_advisory_lock(1380273742, 'totals'::regclass::oid::int)"
NOT_ALONE = "SELECT pg_advisory_unlock(1380273742, 'totals'::regclass::oid::int)"
SLOW = f"SET idle_in_transaction_session_timeout = '{IDLE_S}s'"
NOT_SLOW = "RESET idle_in_transaction_session_timeout"
OTHERS = """
SELECT string_agg(DISTINCT coalesce(host(client_addr), 'on the server'), ', ')
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND (classid, objid) = (1380273742, 'totals'::regclass::oid) AND pid <> pg_backend_pid()
"""


class PostgresWriter:
    """The connection that writes, opened anew when it was lost.

    No answer to it is waited for without a limit, unless it has the index alone: then nobody waits for what it does.
    """

    words: Words = failures
    savepoints_are_dear = True  # two more round trips

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_alone = False
        self.connection = server.writer()

    @property
    def is_alive(self) -> bool:
        """Whether the connection is still there, and in a transaction."""
        return self.connection.in_transaction

    def enter(self) -> None:
        """Have the migrated index open, by the connection there is now. Raises Unavailable if somebody has it alone."""
        self._limit()
        if not self.connection.execute(ALONE if self._is_alone else SHARED).fetchone()[0]:
            self.connection.close()
            raise Unavailable(IS_ALONE)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the index alone. Raises Unavailable if somebody else has it open."""
        deadline = time.monotonic() + CLOSING_S
        while not self.connection.execute(ALONE).fetchone()[0]:
            others = self.connection.execute(OTHERS).fetchone()[0]
            if others is not None and time.monotonic() > deadline:
                raise Unavailable(IS_OPEN.format(others))
            time.sleep(AGAIN_S)
        self._is_alone = True
        self._limit()
        try:
            yield
        finally:
            self._is_alone = False
            self._limit()
            if not self.connection.raw.closed:
                self.connection.execute(NOT_SLOW)
                self.connection.execute(NOT_ALONE)

    def _limit(self) -> None:
        self.connection.limit_s = NEVER if self._is_alone else self._server.work_s
        if self._is_alone:
            self.connection.execute(SLOW)

    @contextmanager
    def held(self, since: float) -> Iterator[None]:
        """Our turn comes with the transaction; in the server's queue all processes wait at the same time."""
        yield

    def begin(self) -> None:
        """Begin, as the only one who writes; on a new connection if the old one is gone."""
        if self._has_begun():
            return
        self.connection.close()
        self.connection = self._server.writer()
        self.enter()
        self.connection.tell_turn(BEGIN)

    def _has_begun(self) -> bool:
        """Begin on the connection there is. False if it is lost; who has waited for a server that hangs is told."""
        if self.connection.raw.closed:
            return False
        try:
            self.connection.tell_turn(BEGIN)
        except psycopg.OperationalError as exc:
            if isinstance(exc, failures.Overdue) or not self.connection.raw.closed:
                raise
            return False
        return True

    def commit(self) -> None:
        """Commit durably."""
        try:
            done = self.connection.tell("COMMIT")
        except psycopg.Error as exc:
            if self.connection.raw.closed and failures.state(exc) != failures.IDLE:
                raise Unavailable(failures.UNKNOWN) from exc
            if failures.passes(exc):
                raise TryAgain from exc
            raise failures.of_writing(exc) from exc
        if done != "COMMIT":  # the server's word for "no" to a transaction in which something failed
            raise Unavailable(failures.NOT_COMMITTED)

    def roll_back(self) -> None:
        """End the transaction, if there is one; a connection that cannot do even that is closed."""
        try:
            if self.connection.in_transaction:
                self.connection.tell("ROLLBACK")
        except psycopg.Error:
            self.connection.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
