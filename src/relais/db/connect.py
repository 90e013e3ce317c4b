"""SQLite connections with the settings that durability and speed need. Knows pragmas, not tables."""

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from relais import private
from relais.db.settings import IndexSettings
from relais.db.statements import quoted
from relais.db.transaction import Statements

PAGE_SIZE = 4096  # a commit writes whole pages: half the bytes of 8192 for each instance (docs/decisions/0003)
CHECKPOINT_PAGES = 64_000  # 256 MB of write-ahead log; then the committing thread moves it (see db.checkpoint)
JOURNAL_SIZE_LIMIT = 256 * 1024 * 1024  # the log is cut back to this after a checkpoint

log = logging.getLogger(__name__)


class SqliteConnection(sqlite3.Connection):
    """A connection that also takes several statements."""

    is_remote = False  # and whoever has the file open is a process of this program

    def together(self, statements: Statements, /) -> None:
        """Run each."""
        run = self.cursor().execute
        for sql, params in statements:
            run(sql, params)

    def enter(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]], /) -> None:
        """Put *rows* into *table*."""
        marks = ", ".join("?" * len(columns))
        self.executemany(f"INSERT INTO {table}({quoted(columns)}) VALUES ({marks})", rows)  # noqa: S608 - our own names


def writer(settings: IndexSettings) -> SqliteConnection:
    """The connection that writes: what it commits survives a power cut."""
    private.make_file(settings.path)  # SQLite gives its mode to what it makes beside it, -wal and -shm
    connection = _connect(settings, "rwc", settings.cache_mb)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={JOURNAL_SIZE_LIMIT}")
    return connection


def reader(settings: IndexSettings) -> SqliteConnection:
    """A connection that cannot write."""
    connection = _connect(settings, "rw", settings.reader_cache_mb)
    connection.execute("PRAGMA query_only=ON")
    return connection


def checkpointer(settings: IndexSettings, wait_ms: int) -> SqliteConnection:
    """A connection that moves the log into the database, and waits *wait_ms* for readers of it."""
    connection = _connect(settings, "rw", 1)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={wait_ms}")
    return connection


def reserve_log(connection: sqlite3.Connection, settings: IndexSettings) -> None:
    """Give the write-ahead log its size in advance, in zeros: commits then overwrite blocks that the file has.

    Syncing a file that grows costs a commit of the file system besides. SQLite reads zeros as the end of the log, and
    writes nothing while we hold the lock that BEGIN IMMEDIATE takes. Where there is no room the log grows as it must.
    """
    if not settings.log_mb:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        with Path(f"{settings.path}-wal").open("r+b", buffering=0) as wal:
            before = wal.seek(0, os.SEEK_END)
            try:
                while (missing := settings.log_mb * 1024 * 1024 - wal.tell()) > 0:
                    wal.write(bytes(min(missing, 1024 * 1024)))
                os.fsync(wal.fileno())
            except OSError as exc:
                wal.truncate(before)
                log.warning("the index's log grows as it must: %s", exc)
    except OSError as exc:
        log.warning("the index's log grows as it must: %s", exc)
    finally:
        connection.execute("ROLLBACK")


def prepare_file(connection: sqlite3.Connection) -> None:
    """Set what is fixed at the birth of the file."""
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode=WAL")


def _connect(settings: IndexSettings, mode: str, cache_mb: int) -> SqliteConnection:
    uri = f"{Path(settings.path).absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=settings.busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        factory=SqliteConnection,
    )
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA cache_size={-1024 * cache_mb}")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA foreign_keys=OFF")  # rows are removed from the bottom up, in index.composite only
    return connection
