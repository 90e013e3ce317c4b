"""Connections to PostgreSQL, and how long one is waited for. Knows settings and psycopg, no tables.

The server keeps limits of its own. Ours (see db.postgres.watch) lie MARGIN_S above them, for a server that hangs.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from relais.db.postgres import failures
from relais.db.postgres.rows import Nothing, Row, adapted, rows
from relais.db.postgres.spelling import spelled
from relais.db.postgres.watch import NEVER, Line, Watch
from relais.db.settings import IndexSettings
from relais.db.statements import quoted
from relais.db.transaction import Cursor, Statements

P = ParamSpec("P")
T = TypeVar("T")

ADAPTED = adapted()
AGAIN_S = 0.1  # between two tries to reach a server that restarts
CONNECT_TIMEOUT_S = 5
IDLE_S = 60  # a transaction of ours that does nothing for so long (its process was stopped) is ended by the server
LEAST_WRITER_IDLE_S = 3.0  # one that writes, too, but no sooner: a process may be short of processor time
ASIDE_MS = 500  # at most for a statement that nothing depends on
MARGIN_S = 5.0  # more than the server is given by its own limits
# For a connection on which nothing happens: the system finds out within a minute that the other machine is gone.
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
COMMON = {
    "jit": "off",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",
}


class PostgresConnection:
    """A connection that understands SQLite's SQL.

    No answer is waited for longer than *limit_s*, NEVER for one who knows that it takes long, and none to what never
    waits for anybody longer than *brief_s*: then the connection is gone, and Overdue is raised.
    """

    is_remote = True

    __slots__ = ("_line", "_watch", "brief_s", "limit_s", "raw")

    def __init__(self, raw: "psycopg.Connection[Row]", watch: Watch, brief_s: float) -> None:
        self.raw = raw
        self.brief_s = brief_s
        self.limit_s = NEVER
        self._watch = watch
        self._line: Line = watch.add(raw.pgconn.socket)

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
            return self._answer(self.limit_s, self.raw.execute, text, parameters)
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
        self._answer(self.limit_s, cursor.executemany, text, many)
        return cursor

    def together(self, statements: Statements, /) -> None:
        """Run *statements*, none of which sees what another one does, in one round trip."""
        text = _together(tuple(sql for sql, _ in statements))
        self._answer(self.limit_s, self.raw.execute, text, [param for _, params in statements for param in params])

    def enter(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]], /) -> None:
        """Put *rows* into *table*, without a statement for each."""
        command = f"COPY {table}({quoted(columns)}) FROM STDIN".encode()

        def enter() -> None:
            with self.raw.cursor() as cursor, cursor.copy(command) as copy:
                for row in rows:
                    copy.write_row(row)

        self._answer(self.limit_s, enter)

    def tell(self, commands: str) -> str | None:
        """Run *commands* of our own, without parameters, in one go. Returns the server's word for what it did."""
        return self._answer(self.limit_s, self.raw.execute, commands.encode()).statusmessage

    def tell_turn(self, commands: str) -> None:
        """The same for what waits for the other writers: no longer than the server lets it wait for a lock."""
        self._answer(self.brief_s, self.raw.execute, commands.encode())

    def tell_briefly(self, commands: bytes) -> None:
        """The same for what never waits for anybody: psycopg's own way takes longer than the server does."""
        result = self._answer(self.brief_s, self.raw.pgconn.exec_, commands)
        if self.raw.closed:  # of which psycopg would make another kind of error than it does itself
            kind = failures.Overdue if self._line.is_cut else psycopg.OperationalError
            raise kind(result.error_message.decode("utf-8", "replace"))
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)

    def close(self) -> None:
        """Close the connection; a broken one too."""
        self._watch.remove(self._line)
        self.raw.close()

    def _answer(self, limit_s: float, ask: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What *ask* gives, waited for no longer than *limit_s*."""
        line = self._line
        line.due = time.monotonic() + limit_s
        try:
            return ask(*args, **named)
        except psycopg.Error as exc:
            if line.is_cut:
                raise failures.Overdue(str(exc)) from exc
            raise
        finally:
            line.due = NEVER


@lru_cache(maxsize=256)
def _together(statements: tuple[str, ...]) -> str:
    """*statements* as one that runs them all."""
    parts = (f"part{number} AS ({spelled(sql)})" for number, sql in enumerate(statements))
    return f"WITH {', '.join(parts)} SELECT 1"


class Server:
    """The server of one index: opens connections, and waits for it while it restarts.

    Waiting is bounded: by *busy_timeout_s* from the moment when it was first missed. After that every call fails at
    once, until the server is there again. So it is after a wait that was ended because the server hangs.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._missed_at: float | None = None
        self._mutex = threading.Lock()
        self._watch = Watch(self._miss)
        self.turn_s = settings.busy_timeout_s + MARGIN_S  # for what waits for a lock at most
        self.read_s = settings.read_timeout_s + MARGIN_S
        self.work_s = max(settings.busy_timeout_s, settings.read_timeout_s) + MARGIN_S

    def close(self) -> None:
        """Watch over no connection any more; those who have one close it."""
        self._watch.close()

    def writer(self) -> PostgresConnection:
        """A connection that writes. It waits for the locks of others as long as the settings say.

        It has no limit of ours before it is given one: a migration takes its time. The server ends its transaction
        when it does nothing, its machine being frozen or cut off, before those who wait for their turn give up.
        """
        busy_s = self._settings.busy_timeout_s
        idle_s = min(max(busy_s / 2, LEAST_WRITER_IDLE_S), IDLE_S)
        return self._connect(
            {
                "lock_timeout": f"{_ms(busy_s)}",
                "synchronous_commit": "on",
                "idle_in_transaction_session_timeout": f"{_ms(idle_s)}",
            }
        )

    def reader(self) -> PostgresConnection:
        """A connection whose transactions see one commit and cannot write."""
        limit_ms = _ms(self._settings.read_timeout_s)
        connection = self._connect(
            {
                "default_transaction_isolation": "repeatable read",
                "default_transaction_read_only": "on",
                "statement_timeout": f"{limit_ms}",
                # Who waits for a lock does not ask for too much, so that the statement's limit must not come first.
                "lock_timeout": f"{_ms(min(self._settings.busy_timeout_s, self._settings.read_timeout_s * 0.8))}",
            }
        )
        connection.limit_s = self.read_s
        return connection

    def aside(self) -> PostgresConnection:
        """A connection for small commits that a crash of the server may undo, and that wait for nobody for long."""
        options = {"synchronous_commit": "off", "lock_timeout": f"{ASIDE_MS}", "statement_timeout": f"{ASIDE_MS}"}
        connection = self._connect(options)
        connection.limit_s = ASIDE_MS / 1000 + MARGIN_S
        return connection

    def _connect(self, options: dict[str, str]) -> PostgresConnection:
        while True:
            try:
                raw = _connected(self._settings.url, COMMON | options)
            except psycopg.OperationalError as exc:
                if failures.is_refusal(exc) or not self._may_wait():
                    raise
                time.sleep(AGAIN_S)
                continue
            self._missed_at = None
            return PostgresConnection(raw, self._watch, self.turn_s)

    def _miss(self) -> None:
        """The server has hung for as long as it is waited for."""
        with self._mutex:
            self._missed_at = time.monotonic() - self._settings.busy_timeout_s

    def _may_wait(self) -> bool:
        with self._mutex:
            if self._missed_at is None:
                self._missed_at = time.monotonic()
            return time.monotonic() - self._missed_at < self._settings.busy_timeout_s


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _connected(url: str, options: dict[str, str]) -> "psycopg.Connection[Row]":
    """A connection with *options*, besides those that *url* gives."""
    given = conninfo_to_dict(url)
    said = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in options.items())
    named: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": IDLE_S * 1000,
        **KEEPALIVE,
    } | given
    named["options"] = f"{given.get('options') or ''} {said}".strip()
    known = make_conninfo("", **({"application_name": "relais"} | named))
    return psycopg.connect(known, autocommit=True, row_factory=rows, context=ADAPTED)
