"""What an operator reads, and which error a caller gets, when the index cannot be used. All with a real SQLite."""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import relais
from fixtures.engines import only_sqlite
from fixtures.indexed import a_dataset, an_index, facts
from relais.db import failures, soon
from relais.db.database import Database, Transaction
from relais.db.settings import IndexSettings, for_path
from relais.dicom.attributes import Level
from relais.dicom.query import Query
from relais.errors import Internal, NodeError, OutOfResources, TooBroad, Unavailable
from relais.index import composite, search, statistics

pytestmark = only_sqlite("its file is damaged and locked")


def _fill(db: Database, instance: int) -> None:
    one = facts(a_dataset(1, 1, instance), digest=os.urandom(20_000))
    db.write(lambda tx: composite.register(tx, one))


def _allow_pages(db: Database, pages: int) -> None:
    db.write(lambda tx: tx.execute(f"PRAGMA max_page_count={pages}"))


def test_a_full_disk_refuses_the_write_lets_reads_go_on_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        _fill(db, 0)
        _allow_pages(db, 1)  # SQLite keeps what it has and refuses to grow
        with pytest.raises(OutOfResources):
            for number in range(1, 100):
                _fill(db, number)
        held = statistics.statistics(db).instances
        assert len(search.search(db, Query(Level.IMAGE)).rows) == held
        _allow_pages(db, 100_000)
        _fill(db, 200)
        assert statistics.statistics(db).instances == held + 1
        assert statistics.recount(db) == []


def test_late_writes_wait_while_the_disk_is_full_and_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(soon, "WAIT_S", 0.02)

    def note(tx: Transaction) -> None:
        sql = "INSERT INTO uid(uid) VALUES (?)"
        tx.execute(sql, ("x" * 50_000,))

    db = Database(for_path(tmp_path / "index.sqlite"))
    _allow_pages(db, 1)
    db.write_soon(note)
    with pytest.raises(OutOfResources):
        db.write(note)
    while "late writes wait" not in caplog.text:
        time.sleep(0.01)
    time.sleep(0.2)  # some more attempts, of which nobody has to be told
    assert caplog.text.count("late writes wait") == 1
    _allow_pages(db, 100_000)
    db.close()
    with an_index(tmp_path) as again, again.read() as connection:
        assert connection.execute("SELECT count(*) FROM uid").fetchone()[0] == 1


def test_late_writes_that_find_no_room_until_the_end_are_lost_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with an_index(tmp_path) as db:
        _allow_pages(db, 1)
        db.write_soon(lambda tx: tx.execute("CREATE TABLE more(x)"))
    assert "1 late writes are lost" in caplog.text


def test_a_late_write_that_ends_the_transaction_is_lost_and_does_not_come_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with an_index(tmp_path) as db:
        db.write_soon(lambda tx: tx.execute("ROLLBACK"))
    assert "1 late writes are lost" in caplog.text


def test_a_lock_that_a_stranger_holds_is_unavailable_after_the_time_limit(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    db = Database(IndexSettings(url=f"sqlite:///{path}", busy_timeout_s=0.1))
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked by another program"):
        _fill(db, 1)
    stranger.execute("ROLLBACK")
    stranger.close()
    _fill(db, 1)
    db.close()


def test_who_has_waited_behind_others_of_us_waits_only_for_what_is_left(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        writer = db._process().engine.writer
        for waited_s, left_ms in ((0.0, 10_000), (6.01, 4_000), (60.0, 1_000), (0.0, 10_000)):
            with writer.held(time.monotonic() - waited_s):
                assert writer.connection.execute("PRAGMA busy_timeout").fetchone()[0] == left_ms


def test_a_shorter_time_limit_is_never_made_longer(tmp_path: Path) -> None:
    db = Database(IndexSettings(url=f"sqlite:///{tmp_path / 'index.sqlite'}", busy_timeout_s=0.25))
    writer = db._process().engine.writer
    with writer.held(time.monotonic() - 60):
        assert writer.connection.execute("PRAGMA busy_timeout").fetchone()[0] == 250
    db.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"not a database at all, but long enough to look at" * 100)
    with pytest.raises(Unavailable, match="relais reindex"):
        Database(for_path(tmp_path / "index.sqlite"))


def test_a_damaged_page_is_unavailable_and_says_what_to_do(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        for number in range(50):
            _fill(db, number)
    path = tmp_path / "index.sqlite"
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="relais reindex"):
        Database(for_path(path))


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        Database(for_path(tmp_path / "file" / "index.sqlite"))


def test_a_folder_in_the_place_of_the_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").mkdir()
    with pytest.raises(Unavailable):
        Database(for_path(tmp_path / "index.sqlite"))


A_WRITER_WHOSE_FILES_STOP_GROWING = """
import resource, sys
from pathlib import Path
from fixtures.indexed import a_dataset, facts
from relais.db.database import Database
from relais.db.settings import for_path
from relais.errors import Unavailable, OutOfResources
from relais.index import composite, statistics

db = Database(for_path(Path(sys.argv[1])))
held = 0
def store(number):
    one = facts(a_dataset(1, 1, number), digest=bytes(20000))
    db.write(lambda tx: composite.register(tx, one))
store(0)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
for number in range(1, 100):
    try:
        store(number)
        held = number
    except Unavailable as exc:
        print(type(exc).__name__)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
store(200)
assert statistics.statistics(db).instances == held + 2, (held, statistics.statistics(db))
assert statistics.recount(db) == []
db.close()
"""


def test_a_disk_that_fails_in_a_commit_is_unavailable_and_nobody_is_told_that_it_is_stored(tmp_path: Path) -> None:
    paths = os.pathsep.join(str(path) for path in (Path(relais.__file__).parents[1], Path(__file__).parents[2]))
    done = subprocess.run(
        [sys.executable, "-c", A_WRITER_WHOSE_FILES_STOP_GROWING, str(tmp_path / "index.sqlite")],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Unavailable"]


def test_one_work_that_makes_sqlite_give_up_the_transaction_fails_alone(tmp_path: Path) -> None:
    """A RAISE(ROLLBACK) ends the whole transaction; the neighbours are run again."""
    with an_index(tmp_path) as db:
        db.write(
            lambda tx: tx.execute(
                "CREATE TEMP TRIGGER stop BEFORE INSERT ON uid WHEN new.uid = 'bad' "
                "BEGIN SELECT raise(ROLLBACK, 'no'); END"
            )
        )
        outcomes: dict[str, NodeError | None] = {}
        barrier = threading.Barrier(9)

        def write(uid: str) -> None:
            def work(tx: Transaction) -> None:
                tx.execute("INSERT INTO uid(uid) VALUES (?)", (uid,))
                threading.Event().wait(0.01)

            barrier.wait()
            try:
                db.write(work)
                outcomes[uid] = None
            except NodeError as exc:
                outcomes[uid] = exc

        names = [*(str(number) for number in range(8)), "bad"]
        threads = [threading.Thread(target=write, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [name for name, exc in outcomes.items() if exc is not None] == ["bad"]
        with db.read() as connection:
            found = [row["uid"] for row in connection.execute("SELECT uid FROM uid ORDER BY uid")]
        assert found == [str(number) for number in range(8)]


@pytest.mark.parametrize(
    ("words", "exc", "kind"),
    [
        (failures.of_writing, OSError(errno.ENOSPC, "full"), OutOfResources),
        (failures.of_writing, OSError(errno.EACCES, "no"), Unavailable),
        (failures.of_reading, OSError(errno.ENOSPC, "full"), Unavailable),
        (failures.of_reading, sqlite3.ProgrammingError("?"), Internal),
    ],
)
def test_each_failure_has_its_kind(words: Callable[[BaseException], NodeError], exc: BaseException, kind: type) -> None:
    assert type(words(exc)) is kind


def test_a_read_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n"
    db = Database(IndexSettings(url=f"sqlite:///{tmp_path / 'index.sqlite'}", read_timeout_s=2.0))
    with pytest.raises(TooBroad, match="too long"), db.read() as connection:
        connection.execute(endless).fetchone()
    with db.read(is_long=True) as connection:
        time.sleep(2.2)
        counted = connection.execute(endless.replace("FROM n)", "FROM n LIMIT 400000)")).fetchone()[0]
        assert counted == 400_000 * 400_001 // 2
    assert statistics.statistics(db).instances == 0
    db.close()
