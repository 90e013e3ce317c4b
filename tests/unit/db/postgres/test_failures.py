"""What PostgreSQL refuses, in sentences for the operator, and what each means for who writes."""

import errno
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg import errors

from fixtures import postgres
from fixtures.engines import POSTGRESQL, index_settings
from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database
from relais.db.postgres import failures
from relais.db.settings import IndexSettings
from relais.errors import Internal, InvalidDataSet, NodeError, OutOfResources, TooBroad, Unavailable
from relais.index import composite


@pytest.mark.parametrize(
    ("of", "exc", "kind"),
    [
        (failures.of_reading, errors.QueryCanceled(), TooBroad),
        (failures.of_reading, errors.DiskFull(), Unavailable),
        (failures.of_writing, errors.DiskFull(), OutOfResources),
        (failures.of_writing, errors.IoError(), OutOfResources),
        (failures.of_writing, OSError(errno.ENOSPC, "full"), OutOfResources),
        (failures.of_writing, OSError(errno.EACCES, "no"), Unavailable),
        (failures.of_writing, errors.AdminShutdown(), Unavailable),
        (failures.of_writing, errors.DeadlockDetected(), Unavailable),
        (failures.of_writing, errors.ReadOnlySqlTransaction(), Unavailable),
        (failures.of_reading, errors.DataCorrupted(), Unavailable),
        (failures.of_reading, errors.TooManyConnections(), Unavailable),
        (failures.of_reading, errors.InsufficientPrivilege(), Unavailable),
        (failures.of_reading, psycopg.OperationalError("connection refused"), Unavailable),
        (failures.of_reading, errors.SyntaxError(), Internal),
        (failures.of_reading, psycopg.ProgrammingError("?"), Internal),
    ],
)
def test_a_failure_says_what_it_is(
    of: Callable[[BaseException], NodeError], exc: BaseException, kind: type[NodeError]
) -> None:
    assert type(of(exc)) is kind


def test_a_full_disk_is_said_to_be_the_servers() -> None:
    for of in (failures.of_reading, failures.of_writing):
        assert "disk of its PostgreSQL server is full" in of(errors.DiskFull()).message
    assert "PostgreSQL" not in failures.of_writing(OSError(errno.ENOSPC, "full")).message


def test_what_was_given_up_for_others_or_with_the_connection_may_be_tried_again() -> None:
    again = (
        errors.DeadlockDetected(),
        errors.SerializationFailure(),
        errors.AdminShutdown(),
        psycopg.OperationalError(),
    )
    assert all(failures.passes(exc) for exc in again)
    never = (errors.DiskFull(), errors.QueryCanceled(), errors.UniqueViolation(), errors.LockNotAvailable(), OSError())
    assert not any(failures.passes(exc) for exc in never)


def test_a_search_that_takes_too_long_is_ended_by_the_server(tmp_path: Path) -> None:
    db = Database(index_settings(tmp_path, POSTGRESQL, read_timeout_s=0.5))
    with pytest.raises(TooBroad, match="takes too long"), db.read() as connection:
        connection.execute("SELECT pg_sleep(20)")
    with db.read(is_long=True) as connection:
        assert connection.execute("SELECT 1 FROM pg_sleep(0.8)").fetchone()[0] == 1
    db.close()


@pytest.mark.parametrize("busy_timeout_s", [0.5, 60])
def test_a_search_that_waits_for_a_lock_of_another_program_is_unavailable_and_not_too_broad(
    tmp_path: Path, busy_timeout_s: float
) -> None:
    settings = index_settings(tmp_path, POSTGRESQL, read_timeout_s=2, busy_timeout_s=busy_timeout_s)
    with closing(Database(settings)) as db, psycopg.connect(settings.url) as foreign:
        foreign.execute("LOCK TABLE instance IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match="locked by another program"), db.read() as connection:
            connection.execute("SELECT count(*) FROM instance")
        with pytest.raises(Unavailable, match="locked by another program"):
            db.first("SELECT count(*) FROM instance", ())
        threading.Timer(3, foreign.rollback).start()
        with db.read(is_long=True) as connection:  # who knows that it is long waits
            assert connection.execute("SELECT count(*) FROM instance").fetchone()[0] == 0


def test_more_readers_than_connections_wait_for_one(tmp_path: Path) -> None:
    db = Database(index_settings(tmp_path, POSTGRESQL, connections=1, busy_timeout_s=0.2))
    outcomes: list[str] = []

    def read() -> None:
        try:
            with db.read() as connection:
                outcomes.append(str(connection.execute("SELECT 1").fetchone()[0]))
        except Unavailable as exc:
            outcomes.append(exc.message)

    with db.read() as connection:
        connection.execute("SELECT 1")
        with db.read() as again:  # who reads already does not wait for itself
            again.execute("SELECT 1")
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    read()
    assert outcomes == ["Too many read the index at once; raise [index] connections, or ask again later.", "1"]
    db.close()


def test_a_value_far_too_long_for_an_index_is_refused_as_a_fault_of_the_data_set(tmp_path: Path) -> None:
    text = "".join(chr(Random(number).randrange(0x4E00, 0x9FFF)) for number in range(1500))
    with an_index(tmp_path, POSTGRESQL) as db:
        odd = facts(a_dataset(1, t00100020={"vr": "LO", "Value": [text]}))
        with pytest.raises(InvalidDataSet, match="too long"):
            db.write(lambda tx: composite.register(tx, odd))
        long = facts(a_dataset(1, t00100020={"vr": "LO", "Value": [text[:640]]}))
        assert db.write(lambda tx: composite.register(tx, long)).revision == 1


def test_a_role_that_does_not_exist_is_refused_at_once() -> None:
    url = postgres.shared().url(postgres.TEMPLATE, "nobody_knows_me")
    with pytest.raises(Unavailable, match="refuses the index's role"):
        Database(IndexSettings(url=url, busy_timeout_s=30))


def test_a_server_that_is_not_there_is_told_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Database(IndexSettings(url=f"postgresql://relais@/relais?host={tmp_path}", busy_timeout_s=0.2))


def test_without_its_driver_the_operator_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "relais.db.postgres.engine", None)
    with pytest.raises(Unavailable, match=r"relais\[postgres\]"):
        Database(IndexSettings(url="postgresql://relais@/relais"))


def test_texts_and_numbers_come_back_as_they_were_written(tmp_path: Path) -> None:
    said = ["", 'it\'s 100 % \\ "so"? :name', "日本語", "\U0010ffff", "\x01\x02\x03"]
    with an_index(tmp_path, POSTGRESQL) as db:
        for number, text in enumerate(said):
            db.write(lambda tx, n=number, t=text: tx.execute("INSERT INTO label(tag, value) VALUES (?, ?)", (n, t)))
        with db.read() as connection:
            rows = connection.execute("SELECT tag, value FROM label ORDER BY tag").fetchall()
            assert [row["value"] for row in rows] == said
            assert (rows[1].keys(), next(iter(rows[1])), dict(rows[1])["tag"]) == (["tag", "value"], 1, 1)
            for number in (0.1, 1e300, -(2**63), 2**62 + 1, 1 / 3):
                found = connection.execute("SELECT CAST(? AS numeric)", (number,)).fetchone()[0]
                assert (found, type(found)) == (number, type(number))
        db.write(lambda tx: tx.execute("INSERT INTO label(tag, value) VALUES (99, ?)", ("a\0b",)))
