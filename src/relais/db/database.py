"""The index's database: short reads from a snapshot, durable writes in groups. Knows SQL's carriage, not its tables.

1. Connections belong to the process that opened them; after a fork the child opens its own.
2. Reads are short: an open read keeps the write-ahead log from shrinking, or old rows from being cleared away.
3. `write` returns when the commit is durable; `write_soon` is for records whose maker need not wait.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

from relais.db.engine import Engine
from relais.db.group import Group
from relais.db.settings import IndexSettings
from relais.db.soon import Soon
from relais.db.sqlite import SqliteEngine
from relais.db.transaction import Connection, Cursor, Params, Row, Transaction
from relais.errors import OutOfResources, Unavailable

NO_DRIVER = "An index on PostgreSQL needs psycopg: pip install 'relais[postgres]'."
__all__ = ["Connection", "Cursor", "Database", "Row", "Transaction"]

T = TypeVar("T")


class Database:
    """The index's database, created or migrated as needed.

    Raises Unavailable if the index is damaged, locked, out of reach, or newer than the program.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self._own: _Process | None = None
        self._process()

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run *work* in a transaction and return its result once that survives a power cut.

        *work* may run twice, the first time without effect, so it must not write elsewhere. What it raises undoes its
        own rows only. Raises OutOfResources if nothing can be made durable, Unavailable if the index does not answer.
        """
        own = self._process()
        try:
            result: T = own.group.write(work)
        except Unavailable as exc:
            own.failure = type(exc)
            raise
        own.failure = None
        return result

    @property
    def is_failing(self) -> bool:
        """Whether the last write of this process failed: ask with a small one before much is taken in for the next."""
        return self._process().failure is not None

    @property
    def is_away(self) -> bool:
        """Whether it failed because the index did not answer: the next one may wait as long. A full disk answers."""
        failure = self._process().failure
        return failure is not None and not issubclass(failure, OutOfResources)

    def write_soon(self, work: Callable[[Transaction], object]) -> None:
        """Have *work* committed within a second. A process that is killed before that loses it."""
        self._process().soon.add(work)

    def aside(self, sql: str, params: Params) -> None:
        """Run one small statement that nothing depends on: a crash may lose it. Raises Unavailable.

        On a server it is there for everybody at once and waits for no writer; in a file it comes with the late writes.
        """
        if not self._process().engine.aside(sql, params):
            self.write_soon(lambda tx: tx.execute(sql, params))

    def first(self, sql: str, params: Params) -> Row | None:
        """The first row that one statement finds in one commit, None if it finds none. Raises Unavailable as `read`."""
        engine = self._process().engine
        words = engine.writer.words
        try:
            return engine.first(sql, params)
        except Exception as exc:
            if isinstance(exc, (*words.FOREIGN, UnicodeDecodeError)):
                raise words.of_reading(exc) from exc
            raise

    @contextmanager
    def read(self, *, is_long: bool = False) -> Iterator[Connection]:
        """A connection that sees one commit and cannot write. Leave it soon; do not yield from inside.

        Raises Unavailable after the time limit of the settings, unless the operator knows that it *is_long*.
        """
        engine = self._process().engine
        words = engine.writer.words
        try:
            with engine.snapshot(None if is_long else self._settings.read_timeout_s) as connection:
                yield connection
        except Exception as exc:
            if isinstance(exc, (*words.FOREIGN, UnicodeDecodeError)):
                raise words.of_reading(exc) from exc
            raise

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else open the index. Raises Unavailable if a process here, or on another machine, has it open.

        An index in a file is kept by the lock on the folder of its node.
        """
        with self._process().engine.alone():
            yield

    @property
    def settings(self) -> IndexSettings:
        """What it was made with."""
        return self._settings

    @property
    def is_postgresql(self) -> bool:
        """Whether the index lies on a PostgreSQL server."""
        return self._settings.is_postgresql

    def close(self) -> None:
        """Commit the late writes and close. The next call opens the database again."""
        with self._mutex:
            own, self._own = self._own, None
        if own is not None and own.pid == os.getpid():
            own.close()
        elif own is not None:
            _inherited.append(own)

    def _process(self) -> "_Process":
        """What this process holds open."""
        own = self._own
        if own is not None and own.pid == os.getpid():
            return own
        with self._mutex:
            if self._own is None or self._own.pid != os.getpid():
                if self._own is not None:
                    _inherited.append(self._own)
                self._own = _Process(self._settings)
            return self._own


class _Process:
    """What one process holds open."""

    def __init__(self, settings: IndexSettings) -> None:
        """Raises Unavailable for an index that cannot be used."""
        self.pid = os.getpid()
        self.failure: type[Unavailable] | None = None  # of the last write
        self.engine = open_engine(settings)
        self.group = Group(self.engine.writer, settings.group_limit)
        self.soon = Soon(self.group.write, settings.soon_limit, self.engine.writer.words)

    def close(self) -> None:
        self.soon.close()
        self.engine.close()


# No connection must be used across a fork, not even to close it: the child would release the parent's locks.
_inherited: list[_Process] = []


def require_driver(settings: IndexSettings) -> None:
    """Raise Unavailable if the index that *settings* name needs a driver that is not installed. Loads nothing."""
    if settings.is_postgresql and find_spec("psycopg") is None:
        raise Unavailable(NO_DRIVER)


def open_engine(settings: IndexSettings) -> Engine:
    """The engine that the URL names, for this process."""
    if not settings.is_postgresql:
        return SqliteEngine(settings)
    try:
        from relais.db.postgres.engine import PostgresEngine  # noqa: PLC0415 - its driver is an extra
    except ImportError as exc:
        raise Unavailable(NO_DRIVER) from exc
    return PostgresEngine(settings)
