"""PostgreSQL is there and does nothing, as on a machine that is frozen: nobody waits for ever, and nothing is lost."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.indexed import a_dataset, facts
from fixtures.postgres import PostgresServer
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from relais.db.database import Connection, Database, Transaction
from relais.db.postgres import aside, failures, watch
from relais.db.postgres import connection as connections
from relais.db.settings import IndexSettings
from relais.dicom.refs import StudyRef
from relais.errors import NodeError, OutOfResources, Unavailable
from relais.index import composite, lookup, statistics
from relais.index.page_ends import IndexSlots
from relais.node.outgoing import of_file
from relais.peers.base import Sent, Verdict
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers

pytestmark = pytest.mark.own_index
LONG_S = 240.0  # only a wait without an end lasts so long, however busy the machine is
HANGS_S = 4.0  # longer than any limit of `db`


@pytest.fixture
def db(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database whose limits are short."""
    monkeypatch.setattr(connections, "MARGIN_S", 0.5)
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 2)
    monkeypatch.setattr(watch, "EVERY_S", 0.2)
    settings = IndexSettings(url=server.create(f"t_{time.monotonic_ns()}"), busy_timeout_s=1, read_timeout_s=1)
    with closing(Database(settings)) as db:
        statistics.statistics(db)  # a reader is there
        yield db


def register(db: Database, number: int) -> str:
    """The UID of an instance that *db* has taken."""
    one = facts(a_dataset(1, 1, number))
    db.write(lambda tx: composite.register(tx, one))
    return one.ref.sop_instance_uid


def test_a_search_is_given_up_as_unavailable(server: PostgresServer, db: Database) -> None:
    with server.hanging():
        with pytest.raises(Unavailable) as begun, db.read() as connection:
            connection.execute("SELECT 1")
        with pytest.raises(Unavailable) as asked:
            db.first("SELECT 1", ())
    assert begun.value.message == failures.HANGS
    assert asked.value.message == failures.AWAY  # no new connection was made
    assert statistics.statistics(db).instances == 0


def test_a_search_in_which_it_begins_is_given_up_too(server: PostgresServer, db: Database) -> None:
    with pytest.raises(Unavailable) as caught, db.read() as connection:
        connection.execute("SELECT 1")
        with server.hanging():
            connection.execute("SELECT 2")
    assert caught.value.message == failures.HANGS
    db.first("SELECT 1", ())
    with pytest.raises(Unavailable) as caught, server.hanging():
        db.first("SELECT 1", ())
    assert caught.value.message == failures.HANGS


def test_a_write_is_refused_and_not_run_again_and_nothing_of_it_is_there(server: PostgresServer, db: Database) -> None:
    runs: list[int] = []

    def work(tx: Transaction) -> None:
        runs.append(1)
        composite.register(tx, facts(a_dataset(1, 1, 1)))
        with server.hanging():
            composite.register(tx, facts(a_dataset(1, 1, 2)))

    with pytest.raises(Unavailable) as caught:
        db.write(work)
    assert (caught.value.message, runs) == (failures.HANGS, [1])
    assert statistics.statistics(db).instances == 0
    register(db, 1)
    with server.hanging(), pytest.raises(Unavailable) as caught:
        register(db, 3)
    assert caught.value.message == failures.HANGS
    with server.hanging(), pytest.raises(Unavailable):  # on a connection that is not made
        register(db, 3)
    register(db, 3)
    assert statistics.recount(db) == []


def test_a_commit_in_which_it_begins_is_of_unknown_outcome_and_not_run_again(
    server: PostgresServer, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = db._process().engine.writer
    commit = writer.commit

    def hang() -> None:
        with server.hanging():
            commit()

    monkeypatch.setattr(writer, "commit", hang)
    with pytest.raises(Unavailable, match="not known"):
        register(db, 1)
    monkeypatch.setattr(writer, "commit", commit)
    register(db, 2)
    assert statistics.recount(db) == []


def test_of_many_who_write_meanwhile_all_are_told_and_nothing_acknowledged_is_lost(
    server: PostgresServer, db: Database
) -> None:
    acknowledged: list[str] = []
    refused: list[NodeError] = []
    is_over = threading.Event()

    def write(start: int) -> None:
        number = start
        while not is_over.is_set():
            number += 1
            try:
                acknowledged.append(register(db, number))
            except NodeError as exc:
                refused.append(exc)

    threads = [threading.Thread(target=write, args=(start,)) for start in range(0, 4_000_000, 1_000_000)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        enough = len(acknowledged) + 20
        assert eventually(lambda enough=enough: len(acknowledged) > enough, LONG_S)
        before = len(refused)
        with server.hanging():
            assert eventually(lambda before=before: len(refused) >= before + len(threads), LONG_S)
    enough = len(acknowledged) + 20
    assert eventually(lambda: len(acknowledged) > enough, LONG_S)
    is_over.set()
    for thread in threads:
        thread.join(LONG_S)
    held = {row.ref.sop_instance_uid for row in lookup.instances(db, StudyRef("1.2.1"))}
    assert set(acknowledged) <= held
    assert len(held) <= len(acknowledged) + len(refused)
    assert not any(isinstance(exc, OutOfResources) or type(exc) is not Unavailable for exc in refused), refused
    assert statistics.recount(db) == []


def hangs_for_long(server: PostgresServer, ask: Connection | Transaction) -> None:
    """Ask while the *server* hangs for longer than any limit."""
    with ExitStack() as keep:
        keep.enter_context(server.hanging())
        resumed = threading.Timer(HANGS_S, keep.pop_all().close)
        resumed.start()
        ask.execute("SELECT count(*) FROM instance")
        resumed.join()


def test_a_long_read_goes_on_afterwards(server: PostgresServer, db: Database) -> None:
    with db.read(is_long=True) as connection:
        hangs_for_long(server, connection)
    with db.read() as again:
        assert again.limit_s < LONG_S  # type: ignore[attr-defined]


def test_what_is_written_by_who_has_the_index_alone_goes_on_afterwards(server: PostgresServer, db: Database) -> None:
    with db.alone():
        db.write(lambda tx: hangs_for_long(server, tx))
    assert db._process().engine.writer.connection.limit_s < LONG_S  # type: ignore[attr-defined]


def test_small_commits_beside_the_writers_are_given_up(server: PostgresServer, db: Database) -> None:
    slots = IndexSlots(db)
    slots.write({1: b"one"})
    told: list[str] = []

    def write() -> None:
        try:
            slots.write({1: b"two"})
        except Unavailable as exc:
            told.append(exc.message)

    threads = [threading.Thread(target=write) for _ in range(3)]
    with server.hanging():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG_S)
    assert len(told) == 3
    assert aside.AWAY in told
    assert slots.read(1) in (b"one", b"two")  # who hangs may have it


def test_a_wait_that_ended_while_all_of_this_process_stood_still_is_not_overdue() -> None:
    here, there = socket.socketpair()
    looked_after = watch.Watch(lambda: None)
    with here, there:
        line = looked_after.add(here.fileno())
        line.due = time.monotonic() - 100
        before = looked_after._look({})
        assert not line.is_cut
        line.due = time.monotonic() - 50  # another wait
        assert looked_after._look(before)[line] != before[line]
        assert not line.is_cut
        looked_after._look({line: line.due})
        assert line.is_cut
        assert there.recv(1) == b""
        looked_after.remove(line)
    looked_after.close()


# A node


def got(url: str, within_s: float = LONG_S) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=within_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def sent(node: Served, folder: Path) -> tuple[str, Sent]:
    """One new instance, and what became of it."""
    ds = a_ct()
    path = folder / "one.dcm"
    path.write_bytes(part10(ds))
    pixels = PixelWorkers(PixelSettings())
    (outcome,) = node.peer.store([of_file(path, pixels)])
    pixels.close()
    return str(ds.SOPInstanceUID), outcome


def test_a_node_refuses_what_it_cannot_do_and_lives_and_goes_on_afterwards(
    server: PostgresServer, tmp_path: Path
) -> None:
    limits = {"RELAIS_INDEX__BUSY_TIMEOUT_S": "1", "RELAIS_INDEX__READ_TIMEOUT_S": "1"}
    few = {"RELAIS_WEB__WORKERS": "1", "RELAIS_WEB__THREADS": "4", "RELAIS_INDEX__URL": server.create("node")}
    node = Served(tmp_path, **limits, **few)
    try:
        node.wait_until_ready()
        first, outcome = sent(node, tmp_path)
        assert outcome.verdict is Verdict.COMPLETED
        with server.hanging():
            assert eventually(lambda: got(f"{node.url}/health/ready")[0] == 503, LONG_S, every_s=0.3)
            asking = [threading.Thread(target=got, args=(f"{node.url}/health/ready",)) for _ in range(12)]
            for thread in asking:
                thread.start()
            assert got(f"{node.url}/health/live")[0] == 200
            for thread in asking:
                thread.join(LONG_S)
            status, body = got(f"{node.url}/health/ready")
            assert (status, json.loads(body)["parts"]) == (503, {"dimse": True, "index": False, "storage": True})
            assert got(f"{node.url}/dicom-web/studies?limit=1")[0] == 503
            refused, outcome = sent(node, tmp_path)
            assert (outcome.verdict, outcome.status) == (Verdict.FAILED, 0xA700)
        assert eventually(node.is_ready, LONG_S)
        second, outcome = sent(node, tmp_path)
        assert outcome.verdict is Verdict.COMPLETED
        _, body = got(f"{node.url}/dicom-web/instances")
        held = {row["00080018"]["Value"][0] for row in json.loads(body)}
        assert {first, second} <= held <= {first, second, refused}
        assert "hangs" in node.errors.read_text()
    finally:
        put_away(node)
