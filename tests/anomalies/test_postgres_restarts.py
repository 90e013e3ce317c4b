"""PostgreSQL stops, is killed or ends connections while the node writes: nothing acknowledged is lost."""

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from fixtures.indexed import a_dataset, facts
from fixtures.postgres import PostgresServer
from fixtures.waiting import eventually
from relais.db.database import Database, Transaction
from relais.db.postgres import failures
from relais.db.settings import IndexSettings
from relais.dicom.refs import StudyRef
from relais.errors import Internal, NodeError, OutOfResources, Unavailable
from relais.index import composite, lookup, statistics

pytestmark = pytest.mark.own_index


@pytest.fixture
def db(server: PostgresServer) -> Iterator[Database]:
    name = f"t_{time.monotonic_ns()}"
    db = Database(IndexSettings(url=server.create(name), busy_timeout_s=20))
    yield db
    db.close()


class Writers:
    """Threads that register instances of study 1 until they are told to stop, and note what was acknowledged."""

    def __init__(self, db: Database, threads: int = 4) -> None:
        self._db = db
        self.acknowledged: list[str] = []
        self.refused: list[BaseException] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _write(self, series: int) -> None:
        number = 0
        while not self._is_over.is_set():
            number += 1
            one = facts(a_dataset(1, series, number))
            try:
                self._db.write(lambda tx, one=one: composite.register(tx, one))
                self.acknowledged.append(one.ref.sop_instance_uid)
            except NodeError as exc:
                self.refused.append(exc)

    def wait_for(self, more: int) -> None:
        """Until *more* were acknowledged from now on."""
        wanted, deadline = len(self.acknowledged) + more, time.monotonic() + 180
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.refused[-3:]
            time.sleep(0.005)

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in self._threads)


def _check(db: Database, writers: Writers) -> None:
    held = {row.ref.sop_instance_uid for row in lookup.instances(db, StudyRef("1.2.1"))}
    assert set(writers.acknowledged) <= held
    assert len(held) <= len(writers.acknowledged) + len(writers.refused)  # an unknown outcome may have been one
    assert statistics.recount(db) == []
    assert not any(isinstance(exc, OutOfResources | Internal) for exc in writers.refused), writers.refused


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_server_that_restarts_in_the_middle_of_commits_loses_nothing(
    server: PostgresServer, db: Database, way: str
) -> None:
    writers = Writers(db)
    for _ in range(3):
        writers.wait_for(50)
        getattr(server, way)()
        server.start()
    writers.wait_for(50)
    writers.stop()
    _check(db, writers)


def test_a_connection_that_is_ended_between_two_statements_is_made_again_for_the_same_work(
    server: PostgresServer, db: Database
) -> None:
    """Nothing was committed, so the work simply runs again."""
    runs: list[int] = []

    def work(tx: Transaction) -> None:
        runs.append(1)
        composite.register(tx, facts(a_dataset(1, 1, 1)))
        if len(runs) == 1:
            pid = tx.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"]
            server.tell(f"SELECT pg_terminate_backend({pid}, 60000)")
            tx.execute("SELECT 1")

    db.write(work)
    assert len(runs) == 2
    assert statistics.statistics(db).instances == 1


def test_a_question_on_a_connection_that_a_restart_has_ended_is_asked_again_on_a_new_one(
    server: PostgresServer, db: Database
) -> None:
    def pid() -> int:
        found = db.first("SELECT pg_backend_pid()", ())
        assert found is not None
        return int(found[0])

    former = pid()
    assert pid() == former  # it is kept for the next one
    server.tell(f"SELECT pg_terminate_backend({former}, 60000)")
    assert pid() != former
    server.stop()
    server.start()
    with db.read() as connection:
        assert connection.execute("SELECT pg_backend_pid()").fetchone()[0] != former
    pid()


def test_a_connection_that_is_lost_before_its_transaction_begins_is_told_as_one(
    server: PostgresServer, db: Database
) -> None:
    engine = db._process().engine
    connection = engine._readers._server.reader()
    pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
    server.tell(f"SELECT pg_terminate_backend({pid}, 60000)")
    with pytest.raises(psycopg.OperationalError) as caught:
        connection.tell_briefly(b"BEGIN")
    assert isinstance(failures.of_reading(caught.value), Unavailable)
    assert connection.raw.closed
    connection.close()


def test_a_work_that_loses_its_connection_each_time_is_given_up_as_unavailable(
    server: PostgresServer, db: Database
) -> None:
    def work(tx: Transaction) -> None:
        composite.register(tx, facts(a_dataset(1, 1, 1)))
        pid = tx.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"]
        server.tell(f"SELECT pg_terminate_backend({pid}, 60000)")

    with pytest.raises(Unavailable) as caught:
        db.write(work)
    assert not isinstance(caught.value, OutOfResources)
    db.write(lambda tx: composite.register(tx, facts(a_dataset(1, 1, 1))))
    assert statistics.statistics(db).instances == 1
    assert statistics.recount(db) == []


def test_a_commit_whose_outcome_nobody_knows_is_unavailable_and_not_run_again(
    server: PostgresServer, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    writer = db._process().engine.writer
    commit: Callable[[], None] = writer.commit

    def cut() -> None:
        pid = writer.connection.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"]
        server.tell(f"SELECT pg_terminate_backend({pid}, 60000)")
        commit()

    monkeypatch.setattr(writer, "commit", cut)
    with pytest.raises(Unavailable, match="not known"):
        db.write(lambda tx: runs.append(1))
    assert len(runs) == 1
    monkeypatch.undo()
    assert db.write(lambda tx: tx.execute("SELECT 1").fetchone()[0]) == 1


def test_readers_go_on_after_a_restart(server: PostgresServer, db: Database) -> None:
    for _ in range(3):
        assert statistics.statistics(db).instances == 0
    with db.read() as connection:
        connection.execute("SELECT 1")
        server.stop()
        with pytest.raises(Unavailable) as caught, db.read() as other:
            other.execute("SELECT 1")
        assert caught.value.message == failures.AWAY
        server.start()
    assert statistics.statistics(db).instances == 0


def test_a_server_that_stays_away_is_waited_for_once_and_then_every_call_fails_at_once(server: PostgresServer) -> None:
    db = Database(IndexSettings(url=server.create("away"), busy_timeout_s=3))
    server.stop()
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            db.write(lambda tx: None)
        assert time.monotonic() - started >= 3
        started = time.monotonic()
        for _ in range(5):
            with pytest.raises(Unavailable):
                statistics.statistics(db)
            with pytest.raises(Unavailable):
                db.write(lambda tx: None)
        assert time.monotonic() - started < 15  # half of what ten calls would wait
    finally:
        server.start()
    assert db.write(lambda tx: 7) == 7
    assert statistics.statistics(db).instances == 0
    db.close()


def test_late_writes_wait_for_a_server_that_restarts(server: PostgresServer, db: Database) -> None:
    columns = "at, action, protocol, name, address, study_instance_uid, detail"
    note = f"INSERT INTO audit({columns}) VALUES (?, 'x', '', '', '', '', '')"
    assert db.write(lambda tx: 1) == 1
    server.stop()
    db.write_soon(lambda tx: tx.execute(note, (tx.now,)))
    time.sleep(1)
    server.start()
    assert eventually(lambda: is_noted(db))


def is_noted(db: Database) -> bool:
    with db.read() as connection:
        return bool(connection.execute("SELECT count(*) FROM audit").fetchone()[0])


def test_a_node_that_was_stopped_in_a_transaction_is_told_and_others_wait_no_longer_than_they_must(
    server: PostgresServer,
) -> None:
    url = server.create("stopped")
    first, second = Database(IndexSettings(url=url)), Database(IndexSettings(url=url, busy_timeout_s=0.2))
    goes_on, begun = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        goes_on.wait(120)

    thread = threading.Thread(target=first.write, args=(slow,))
    thread.start()
    assert begun.wait(120)
    with pytest.raises(Unavailable, match="locked"):
        second.write(lambda tx: None)
    goes_on.set()
    thread.join()
    assert second.write(lambda tx: 1) == 1
    first.close()
    second.close()
