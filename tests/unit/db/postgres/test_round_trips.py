"""How often a registration waits for the server, and a question.

Registrations bound the pace of all nodes, for they take turns.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fixtures.engines import POSTGRESQL
from fixtures.indexed import a_dataset, an_index, facts
from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import of_origin
from relais.db.database import Database, Transaction
from relais.index import composite, statistics
from relais.index.rows import InstanceFacts

TRANSACTION, INSTANCE = 2, 3  # BEGIN and COMMIT; what there is, rows and counters, the audit


class Trips:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Trips:
    """How often the driver waited for an answer."""
    found, execute = Trips(), psycopg.Cursor.execute

    def counted(cursor: object, *args: object, **more: object) -> object:
        found.count += 1
        return execute(cursor, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    return found


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """An index with a series to which more instances come."""
    with an_index(tmp_path, POSTGRESQL) as db:
        db.write(lambda tx: _register(tx, facts(a_dataset())))
        yield db
        assert statistics.recount(db) == []


def _register(tx: Transaction, arrived: InstanceFacts) -> None:
    """As archive.ingest does."""
    composite.register(tx, arrived)
    audit.write(tx, audit.Record(of_origin(arrived.origin), Action.STORE, arrived.ref.study_instance_uid))


def test_an_instance_of_a_known_series_takes_five_round_trips(db: Database, trips: Trips) -> None:
    db.write(lambda tx: _register(tx, facts(a_dataset(instance=2))))
    assert trips.count == TRANSACTION + INSTANCE


def test_instances_that_come_together_share_begin_and_commit_and_need_no_savepoints(db: Database, trips: Trips) -> None:
    started, goes_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        started.set()
        assert goes_on.wait(30)

    def register(number: int) -> None:
        db.write(lambda tx: _register(tx, facts(a_dataset(instance=number))))

    threads = [threading.Thread(target=db.write, args=(slow,))]
    threads[0].start()
    assert started.wait(30)
    threads += [threading.Thread(target=register, args=(number,)) for number in range(2, 7)]
    for thread in threads[1:]:
        thread.start()
    while len(db._process().group._waiting) < 5:
        assert all(thread.is_alive() for thread in threads)
    goes_on.set()
    for thread in threads:
        thread.join(30)
    assert trips.count == 2 * TRANSACTION + 5 * INSTANCE


def test_a_row_that_one_statement_finds_takes_one_round_trip(db: Database, trips: Trips) -> None:
    assert db.first("SELECT count(*) FROM instance", ()) == (1,)
    assert trips.count == 1
