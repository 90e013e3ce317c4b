"""One connection of a process for small commits beside the writers' turns. Knows no tables.

What it writes nobody waits for and nothing depends on: it is not synced, and where it fails the caller goes on. Nor
does one who comes wait for long behind another one whom the server lets wait.
"""

import threading
import time

import psycopg

from relais.db.postgres.connection import ASIDE_MS, PostgresConnection, Server
from relais.db.transaction import Params
from relais.errors import Unavailable

PAUSE_S = 10.0  # after a failure, before the server is asked for a connection again
AWAY = "Small commits beside the writers' turns failed a moment ago."
BUSY = "Another small commit beside the writers' turns takes too long."


class Aside:
    """The connection, opened when it is first needed. Any thread may use it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._mutex = threading.Lock()
        self._connection: PostgresConnection | None = None
        self._failed_at = float("-inf")

    def run(self, sql: str, params: Params) -> None:
        """Run one statement. Raises Unavailable if that fails, and at once within PAUSE_S of such a failure.

        Also if another thread's takes longer than ASIDE_MS.
        """
        if not self._mutex.acquire(timeout=ASIDE_MS / 1000):
            raise Unavailable(BUSY)
        try:
            self._run(sql, params)
        finally:
            self._mutex.release()

    def _run(self, sql: str, params: Params) -> None:
        if time.monotonic() - self._failed_at < PAUSE_S:
            raise Unavailable(AWAY)
        try:
            if self._connection is None:
                self._connection = self._server.aside()
            self._connection.execute(sql, params)
        except psycopg.Error as exc:
            self._failed_at = time.monotonic()
            self._close()
            raise Unavailable(AWAY) from exc

    def close(self) -> None:
        """Close the connection."""
        with self._mutex:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
