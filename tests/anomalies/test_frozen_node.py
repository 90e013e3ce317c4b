"""A node that stands still in the midst of a transaction: the others go on, and so does it when it moves again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fixtures.indexed import a_dataset, facts
from fixtures.postgres import PostgresServer
from relais.db.database import Database, Transaction
from relais.db.postgres import connection as connections
from relais.db.postgres import failures
from relais.db.settings import IndexSettings
from relais.errors import Unavailable
from relais.index import composite, statistics

pytestmark = pytest.mark.own_index
TESTS = Path(__file__).parents[1]
BUSY_S = 20.0  # half of it is left to a busy machine
NODE = """
import os, signal, sys
from fixtures.indexed import a_dataset, facts
from relais.db.database import Database
from relais.db.settings import IndexSettings
from relais.index import composite
db, runs = Database(IndexSettings(url=sys.argv[1], busy_timeout_s=float(sys.argv[3]))), []

def stand_still(tx):
    runs.append(1)
    composite.register(tx, facts(a_dataset(1, 1, 1)))
    if len(runs) == 1:
        print("stands still", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    if sys.argv[2] == "works":
        tx.execute("SELECT 1")

db.write(stand_still)
db.close()
print(len(runs), flush=True)
"""


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.create(f"t_{time.monotonic_ns()}")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(connections, "LEAST_WRITER_IDLE_S", 0.5)
    yield


@pytest.mark.parametrize("then", ["works", "commits"])
def test_a_node_that_stands_still_in_a_transaction_stops_nobody_and_goes_on_when_it_can(url: str, then: str) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    Database(IndexSettings(url=url)).close()
    frozen = subprocess.Popen(
        [sys.executable, "-c", NODE, url, then, str(BUSY_S)],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert frozen.stdout and frozen.stdout.readline() == "stands still\n"
        with closing(Database(IndexSettings(url=url, busy_timeout_s=BUSY_S))) as db:
            db.write(lambda tx: composite.register(tx, facts(a_dataset(2, 1, 1))))
            assert statistics.statistics(db).instances == 1
            frozen.send_signal(signal.SIGCONT)
            assert frozen.stdout.readline() == "2\n"
            assert statistics.statistics(db).instances == 2
            assert statistics.recount(db) == []
    finally:
        frozen.kill()
        frozen.wait()
        if frozen.stdout:
            frozen.stdout.close()


def rests(seconds: float) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        tx.execute("UPDATE totals SET revision = revision")
        time.sleep(seconds)
        tx.execute("UPDATE totals SET revision = revision")

    return work


def test_who_has_the_index_alone_may_be_slower_and_then_no_more(url: str) -> None:
    with closing(Database(IndexSettings(url=url, busy_timeout_s=1))) as db:
        with db.alone():
            db.write(rests(1.5))
        with pytest.raises(Unavailable) as caught:
            db.write(rests(1.5))
        assert caught.value.message == failures.IDLED
        db.write(rests(0))
