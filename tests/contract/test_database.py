"""What every engine of the index promises: SQLite and PostgreSQL."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import relais
from fixtures.engines import ENGINES, index_settings
from fixtures.indexed import a_dataset, an_index, facts
from fixtures.waiting import eventually
from relais.db import soon
from relais.db.database import Database, Transaction
from relais.dicom.refs import StudyRef
from relais.errors import Internal, NodeError, NotFound
from relais.index import composite, lookup, statistics

SOURCES = Path(relais.__file__).parents[1]
TESTS = Path(__file__).parents[1]
NOTE = "INSERT INTO audit(at, action, protocol, name, address, study_instance_uid, detail) VALUES (?,?,'','','','','')"


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def db(tmp_path: Path, engine: str) -> Iterator[Database]:
    with an_index(tmp_path, engine) as db:
        yield db


def _note(text: str) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        tx.execute(NOTE, (tx.now, text))
        return text

    return work


def _notes(db: Database) -> list[str]:
    with db.read() as connection:
        return [row["action"] for row in connection.execute("SELECT action FROM audit ORDER BY id")]


def _writers(url: str, *arguments: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fixtures.writers", url, *map(str, arguments)]
    path = os.pathsep.join((str(SOURCES), str(TESTS)))
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path})


def _threads(count: int, target: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=target, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Writing


def test_a_write_returns_what_its_work_returns_and_is_seen_by_the_next_read(db: Database) -> None:
    assert db.write(_note("one")) == "one"
    assert _notes(db) == ["one"]


def test_rows_that_are_entered_at_once_come_back_as_they_were(db: Database) -> None:
    columns = ("id", "sop_instance_uid", "study_instance_uid", "at", "reason", "instances", "document")
    texts = ("", "\\N", "a\tb\nc\r", "\\.", '"{}", \\x41', "山田 é\U0010ffff")
    rows = [(n, f"1.{n}", text, n / 3, text, n - 2**63, bytes(range(256))[n:]) for n, text in enumerate(texts)]
    db.write(lambda tx: tx.enter("rejection", columns, iter(rows)))
    with db.read() as connection:
        found = connection.execute(f"SELECT {', '.join(columns)} FROM rejection ORDER BY id").fetchall()
    assert [tuple(row) for row in found] == rows


def test_of_rows_that_are_entered_at_once_none_is_there_if_one_is_refused(db: Database) -> None:
    with pytest.raises(NodeError):
        db.write(lambda tx: tx.enter("uid", ("id", "uid"), [(1, "1.2"), (2, "1.3"), (1, "1.4")]))
    with db.read() as connection:
        assert connection.execute("SELECT count(*) FROM uid").fetchone()[0] == 0


def test_a_work_that_raises_leaves_nothing_and_its_caller_gets_the_exception(db: Database) -> None:
    def fails(tx: Transaction) -> None:
        tx.execute(NOTE, (tx.now, "gone"))
        raise NotFound

    with pytest.raises(NotFound):
        db.write(fails)
    assert _notes(db) == []


def test_one_bad_neighbour_fails_alone(db: Database) -> None:
    outcomes: dict[int, BaseException | None] = {}

    def work(tx: Transaction, number: int) -> None:
        tx.execute(NOTE, (tx.now, str(number)))
        time.sleep(0.002)  # so that the others gather behind this one
        if number % 3 == 0:
            raise KeyError(number)
        if number % 3 == 1:
            tx.execute("SELECT nonsense")

    def write(number: int) -> None:
        try:
            db.write(lambda tx: work(tx, number))
            outcomes[number] = None
        except (KeyError, NodeError) as exc:
            outcomes[number] = exc

    _threads(24, write)
    good = [number for number in range(24) if number % 3 == 2]
    assert sorted(map(int, _notes(db))) == good
    assert sorted(number for number, exc in outcomes.items() if exc is None) == good
    assert all(exc.args == (number,) for number, exc in outcomes.items() if isinstance(exc, KeyError))
    assert sum(isinstance(exc, Internal) for exc in outcomes.values()) == 8


def test_writes_that_wait_together_share_a_commit(db: Database) -> None:
    started, moments = threading.Event(), []

    def slow(tx: Transaction) -> None:
        started.set()
        assert eventually(lambda: len(db._process().group._waiting) == 8, 120)

    def write(number: int) -> None:
        if number:
            started.wait()
            moments.append(db.write(lambda tx: tx.now))
        else:
            db.write(slow)

    _threads(9, write)
    assert len(moments) == 8
    assert len(set(moments)) < 8


def test_a_write_inside_a_write_is_refused_instead_of_waiting_for_itself(db: Database) -> None:
    with pytest.raises(Internal):
        db.write(lambda tx: db.write(_note("inner")))
    assert db.write(_note("after")) == "after"


def test_time_stands_still_inside_a_transaction(db: Database) -> None:
    before = time.time()
    first, second = db.write(lambda tx: (tx.now, tx.now))
    assert before <= first == second <= time.time()


def test_a_late_write_is_there_within_a_second(db: Database) -> None:
    """On a machine that has time for it."""
    db.write_soon(_note("late"))
    assert eventually(lambda: _notes(db) == ["late"], 120)
    assert soon.WAIT_S <= 0.5


def test_late_writes_are_drained_on_close_and_a_failing_one_harms_no_other(
    tmp_path: Path, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    with an_index(tmp_path, engine) as db:
        for number in range(5):
            db.write_soon(_note(str(number)))
        db.write_soon(lambda tx: tx.execute("SELECT nonsense"))
        db.write_soon(_note("last"))
    with an_index(tmp_path, engine) as db:
        assert _notes(db) == ["0", "1", "2", "3", "4", "last"]
    assert "a late write failed" in caplog.text


def test_more_late_writes_than_may_wait_are_committed_at_once(tmp_path: Path, engine: str) -> None:
    db = Database(index_settings(tmp_path, engine, soon_limit=3))
    for number in range(4):
        db.write_soon(_note(str(number)))
    assert len(_notes(db)) == 4
    db.close()


# Reading


def test_a_read_sees_one_commit_however_long_it_takes(db: Database) -> None:
    with db.read() as connection:
        before = connection.execute("SELECT count(*) FROM audit").fetchone()[0]
        db.write(_note("meanwhile"))
        assert connection.execute("SELECT count(*) FROM audit").fetchone()[0] == before
    assert _notes(db) == ["meanwhile"]


def test_the_first_row_of_a_statement_is_found_without_a_read_and_none_where_there_is_none(db: Database) -> None:
    db.write(_note("one"))
    db.write(_note("two"))
    sql = "SELECT action FROM audit WHERE action > ? ORDER BY id DESC"
    for _ in range(40):  # more than there are connections kept open
        found = db.first(sql, ("",))
        assert found is not None
        assert (found[0], found["action"]) == ("two", "two")
    db.write(_note("zwei"))
    assert [db.first(sql, ("u",))[0], db.first(sql, ("zz",))] == ["zwei", None]


def test_a_first_row_cannot_be_had_by_writing_and_the_next_one_is_found(db: Database) -> None:
    with pytest.raises(NodeError):
        db.first(NOTE, (0.0, "never"))
    assert _notes(db) == []
    assert db.first("SELECT count(*) FROM audit", ()) is not None


def test_a_read_cannot_write(db: Database) -> None:
    with pytest.raises(NodeError), db.read() as connection:
        connection.execute("DELETE FROM audit")
    assert _notes(db) == []


def test_what_a_reader_raises_passes_through_and_the_next_read_works(db: Database) -> None:
    for _ in range(40):
        with pytest.raises(NotFound), db.read():
            raise NotFound
    assert _notes(db) == []


def test_many_threads_read_while_others_write(db: Database) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(20):
            if number % 2:
                db.write(_note(f"{number}.{turn}"))
            else:
                with db.read() as connection:
                    count, highest = connection.execute("SELECT count(*), coalesce(max(id), 0) FROM audit").fetchone()
                    if count != highest:
                        wrong.append(count)

    _threads(12, work)
    assert wrong == []
    assert len(_notes(db)) == 120


# Processes


def test_threads_and_processes_into_one_study_lose_and_duplicate_nothing(tmp_path: Path, engine: str) -> None:
    url = index_settings(tmp_path, engine).url
    writers = [_writers(url, series, 8, 10) for series in (1, 1, 2, 3)]  # they also open a new index at once
    acknowledged = [line for writer in writers for line in writer.communicate(timeout=400)[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert len(acknowledged) == 320
    with an_index(tmp_path, engine) as db:
        held = lookup.instances(db, StudyRef("1.2.1"))
        assert len(held) == 240  # two processes told of the same 80 instances
        assert {row.ref.sop_instance_uid.encode() for row in held} == set(acknowledged)
        totals = statistics.statistics(db)
        assert (totals.studies, totals.series, totals.instances, totals.revision) == (1, 3, 240, 240)
        assert statistics.recount(db) == []


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, engine: str) -> None:
    url = index_settings(tmp_path, engine).url
    for series in range(1, 4):
        writer = _writers(url, series, 4, 10_000)
        assert writer.stdout is not None
        seen = [writer.stdout.readline() for _ in range(40)]
        writer.send_signal(signal.SIGKILL)
        seen += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        whole = {line.strip().decode() for line in seen if line.endswith(b"\n")}
        with an_index(tmp_path, engine) as db:
            held = {
                row.ref.sop_instance_uid for row in lookup.instances(db, StudyRef("1.2.1").series(f"1.2.1.{series}"))
            }
            assert whole <= held
            assert len(held) <= len(whole) + 4  # what was committed and not yet said
            assert statistics.recount(db) == []


def test_a_child_uses_connections_of_its_own(db: Database) -> None:
    db.write(_note("parent"))
    assert _notes(db) == ["parent"]
    child = os.fork()
    if child == 0:
        try:
            db.write(_note("child"))
            os._exit(0 if _notes(db) == ["parent", "child"] else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    db.write(_note("parent again"))
    assert _notes(db) == ["parent", "child", "parent again"]
    if not db.is_postgresql:
        with db.read() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_closed_database_opens_again_when_it_is_used(tmp_path: Path, engine: str) -> None:
    db = Database(index_settings(tmp_path, engine))
    db.write(lambda tx: composite.register(tx, facts(a_dataset())))
    db.close()
    assert statistics.statistics(db).instances == 1
    db.close()
