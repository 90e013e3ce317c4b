"""The log is moved into the database beside the writers, and begun anew when it has grown."""

import sqlite3
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from fixtures.engines import only_sqlite
from fixtures.indexed import an_index
from fixtures.waiting import eventually
from relais.db import checkpoint, connect
from relais.db.checkpoint import Checkpoints, move
from relais.db.database import Database
from relais.db.lock import WritersLock
from relais.db.settings import IndexSettings, for_path

pytestmark = only_sqlite("its log is moved")

NOTE = "INSERT INTO audit(at, action, protocol, name, address, study_instance_uid, detail) VALUES (0,'','','','','',?)"


def _write(db: Database, rows: int) -> None:
    db.write(lambda tx: tx.executemany(NOTE, (("x" * 4000,) for _ in range(rows))))


def _in_database_alone(path: Path) -> int:
    """How many rows are in the database file, its log left aside."""
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM audit").fetchone()[0])
    except sqlite3.OperationalError:  # not even the table
        return 0
    finally:
        connection.close()


def test_what_was_committed_is_moved_soon_without_another_write(tmp_path: Path) -> None:
    with patch.object(checkpoint, "EVERY_S", 0.01), an_index(tmp_path) as db:
        _write(db, 5)
        assert eventually(lambda: _in_database_alone(tmp_path / "index.sqlite") == 5, 120)


def _moving(settings: IndexSettings) -> tuple[sqlite3.Connection, WritersLock]:
    return connect.checkpointer(settings, checkpoint.WAIT_FOR_READERS_MS), WritersLock(settings.path)


def test_a_log_that_has_grown_is_begun_anew_and_a_short_one_goes_on(tmp_path: Path) -> None:
    settings = IndexSettings(url=for_path(tmp_path / "index.sqlite").url, log_mb=0)
    db = Database(settings)
    connection, lock = _moving(settings)

    def pages_after(rows: int) -> int:
        _write(db, rows)
        return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])

    with patch.object(checkpoint, "BEGIN_ANEW_PAGES", 100):
        pages_after(5)
        move(connection, lock)
        assert pages_after(100) > 100
        move(connection, lock)
        assert pages_after(1) < 10
    connection.close()
    lock.close()
    db.close()


def test_a_reader_that_stays_puts_off_the_new_beginning_and_nothing_else(tmp_path: Path) -> None:
    with an_index(tmp_path) as db, patch.object(checkpoint, "BEGIN_ANEW_PAGES", 1):
        connection, lock = _moving(for_path(tmp_path / "index.sqlite"))
        _write(db, 1)
        with db.read() as reader:
            assert reader.execute("SELECT count(*) FROM audit").fetchone()[0] == 1
            _write(db, 5)
            move(connection, lock)
            _write(db, 5)
            assert reader.execute("SELECT count(*) FROM audit").fetchone()[0] == 1
        move(connection, lock)
        connection.close()
        lock.close()
        with db.read() as reader:
            assert reader.execute("SELECT count(*) FROM audit").fetchone()[0] == 11


def test_without_a_second_connection_the_writers_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(for_path(tmp_path / "nowhere" / "index.sqlite"))
    checkpoints.note()
    assert eventually(lambda: "is moved by its writers" in caplog.text, 120)
    checkpoints.close()


def test_a_process_that_closes_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with an_index(tmp_path) as db:
        _write(db, 1)
    assert "checkpoints" not in {thread.name for thread in set(threading.enumerate()) - before}
