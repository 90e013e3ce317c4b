"""Connections to PostgreSQL, and how long one is waited for. Knows settings and psycopg, no tables."""

import threading
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from relais.db.postgres import failures
from relais.db.postgres.rows import Nothing, Row, adapted, rows
from relais.db.postgres.spelling import spelled
from relais.db.settings import IndexSettings
from relais.db.statements import quoted
from relais.db.transaction import Cursor, Statements

ADAPTED = adapted()
AGAIN_S = 0.1  # between two tries to reach a server that restarts
CONNECT_TIMEOUT_S = 5
IDLE_S = 60  # a transaction of ours that does nothing for so long (its process was stopped) is ended by the server
ASIDE_MS = 500  # at most for a statement that nothing depends on
COMMON = {
    "jit": "off",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",
}


class PostgresConnection:
    """A connection that understands SQLite's SQL."""

    is_remote = True

    __slots__ = ("raw",)

    def __init__(self, raw: "psycopg.Connection[Row]") -> None:
        self.raw = raw

    @property
    def in_transaction(self) -> bool:
        """Whether there is a transaction that may be committed, or go back to a savepoint."""
        return self.raw.info.transaction_status in (
            psycopg.pq.TransactionStatus.INTRANS,
            psycopg.pq.TransactionStatus.INERROR,
        )

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        """Run one statement."""
        text = spelled(sql)
        if not text:
            return Nothing()
        try:
            return self.raw.execute(text, parameters)
        except psycopg.errors.FeatureNotSupported:  # another node has migrated what a prepared statement finds
            self.close()
            raise

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor:
        """Run one statement for each of *parameters*."""
        text = spelled(sql)
        many = list(parameters)
        if not text or not many:
            return Nothing()
        cursor = self.raw.cursor()
        cursor.executemany(text, many)
        return cursor

    def together(self, statements: Statements, /) -> None:
        """Run *statements*, none of which sees what another one does, in one round trip."""
        text = _together(tuple(sql for sql, _ in statements))
        self.raw.execute(text, [param for _, params in statements for param in params])

    def enter(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]], /) -> None:
        """Put *rows* into *table*, without a statement for each."""
        command = f"COPY {table}({quoted(columns)}) FROM STDIN"
        with self.raw.cursor() as cursor, cursor.copy(command.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def tell(self, commands: str) -> None:
        """Run *commands* of our own, without parameters, in one go."""
        self.raw.execute(commands.encode())

    def tell_briefly(self, commands: bytes) -> None:
        """The same for what never waits for anybody: psycopg's own way takes longer than the server does."""
        result = self.raw.pgconn.exec_(commands)
        if self.raw.closed:  # of which psycopg would make another kind of error than it does itself
            raise psycopg.OperationalError(result.error_message.decode("utf-8", "replace"))
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)

    def close(self) -> None:
        """Close the connection; a broken one too."""
        self.raw.close()


@lru_cache(maxsize=256)
def _together(statements: tuple[str, ...]) -> str:
    """*statements* as one that runs them all."""
    parts = (f"part{number} AS ({spelled(sql)})" for number, sql in enumerate(statements))
    return f"WITH {', '.join(parts)} SELECT 1"


class Server:
    """The server of one index: opens connections, and waits for it while it restarts.

    Waiting is bounded: by *busy_timeout_s* from the moment when it was first missed. After that every call fails at
    once, until the server is there again.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._missed_at: float | None = None
        self._mutex = threading.Lock()

    def writer(self) -> PostgresConnection:
        """A connection that writes. It waits for the locks of others as long as the settings say."""
        wait_ms = max(1, int(self._settings.busy_timeout_s * 1000))
        return self._connect({"lock_timeout": f"{wait_ms}", "synchronous_commit": "on"})

    def reader(self) -> PostgresConnection:
        """A connection whose transactions see one commit and cannot write."""
        return self._connect(
            {
                "default_transaction_isolation": "repeatable read",
                "default_transaction_read_only": "on",
                "statement_timeout": f"{max(1, int(self._settings.read_timeout_s * 1000))}",
            }
        )

    def aside(self) -> PostgresConnection:
        """A connection for small commits that a crash of the server may undo, and that wait for nobody for long."""
        return self._connect(
            {"synchronous_commit": "off", "lock_timeout": f"{ASIDE_MS}", "statement_timeout": f"{ASIDE_MS}"}
        )

    def _connect(self, options: dict[str, str]) -> PostgresConnection:
        while True:
            try:
                connection = _connected(self._settings.url, COMMON | options)
            except psycopg.OperationalError as exc:
                if failures.is_refusal(exc) or not self._may_wait():
                    raise
                time.sleep(AGAIN_S)
                continue
            self._missed_at = None
            return connection

    def _may_wait(self) -> bool:
        with self._mutex:
            if self._missed_at is None:
                self._missed_at = time.monotonic()
            return time.monotonic() - self._missed_at < self._settings.busy_timeout_s


def _connected(url: str, options: dict[str, str]) -> PostgresConnection:
    """A connection with *options*, besides those that *url* gives."""
    given = conninfo_to_dict(url)
    said = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in options.items())
    named: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": IDLE_S * 1000} | given
    named["options"] = f"{given.get('options') or ''} {said}".strip()
    known = make_conninfo("", **({"application_name": "relais"} | named))
    return PostgresConnection(psycopg.connect(known, autocommit=True, row_factory=rows, context=ADAPTED))
