"""Moves the write-ahead log into the database, beside the writers. Knows the log, not what is written.

SQLite would have the thread that commits move it, now and then, while its sender waits. Here a thread of its own does:

1. What was committed is moved while others write and read (a PASSIVE checkpoint): nobody waits.
2. When the log has grown, the rest of it is moved with the writers' lock held, so that the next writer begins it anew:
   that rest is small. Readers that still look into the log put it off until later, after WAIT_FOR_READERS_MS at most.
3. If this thread cannot keep up, SQLite's own way limits the log (connect.CHECKPOINT_PAGES).
4. A fork waits for it: a child would for ever find locks of SQLite taken that were taken at that moment.
"""

import logging
import os
import sqlite3
import threading

from relais.db import connect
from relais.db.lock import WritersLock
from relais.db.settings import IndexSettings

EVERY_S = 0.5
BEGIN_ANEW_PAGES = 4000  # 16 MB
WAIT_FOR_READERS_MS = 50

log = logging.getLogger(__name__)
_at_work = threading.Lock()
os.register_at_fork(before=_at_work.acquire, after_in_parent=_at_work.release, after_in_child=_at_work.release)


class Checkpoints:
    """The moving of one process's writes. *note* tells it that there are some."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._has_written = threading.Event()
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self) -> None:
        """Something was committed. The first call starts the thread; called by one thread at a time."""
        if not self._has_written.is_set():
            self._has_written.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop. What is still in the log is safe there."""
        self._is_closing.set()
        self._has_written.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with _at_work:
                connection = connect.checkpointer(self._settings, WAIT_FOR_READERS_MS)
            lock = WritersLock(self._settings.path)
        except (sqlite3.Error, OSError) as exc:  # then SQLite's own way is left
            log.warning("the index's log is moved by its writers: %s", exc)
            return
        try:
            while not self._is_closing.wait(EVERY_S):
                self._has_written.wait()
                self._has_written.clear()
                if not self._is_closing.is_set():
                    with _at_work:
                        move(connection, lock)
        finally:
            with _at_work:
                connection.close()
            lock.close()


def move(connection: sqlite3.Connection, lock: WritersLock) -> None:
    """Move what can be moved; begin the log anew if it is long. What fails is left to the next time."""
    try:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages >= BEGIN_ANEW_PAGES:
            with lock:
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    except sqlite3.Error as exc:
        log.warning("the index's log is not moved now: %s", exc)
