"""`relais serve` as it runs: processes killed, ports taken, configurations that are wrong."""

import json
import os
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pynetdicom import AE

from fixtures.builders import a_ct, part10
from fixtures.engines import index_settings, only_sqlite
from fixtures.process import is_gone
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from relais.db import migrate
from relais.db.database import Database
from relais.db.lock import WritersLock
from relais.node.listen import answers
from relais.node.outgoing import of_file
from relais.peers.base import Verdict
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers

LONG_S = 300.0  # for what must come to pass, however busy the machine is
SLOW = 3  # times as long as its start may the end of a node take, on a machine that is slow with that already


@pytest.fixture
def nodes() -> Iterator[list[Served]]:
    """Nodes to be put away after the test."""
    made: list[Served] = []
    yield made
    for node in made:
        put_away(node)


@pytest.fixture
def node(tmp_path: Path, nodes: list[Served]) -> Served:
    """A node that the test may end."""
    nodes.append(made := Served(tmp_path))
    made.wait_until_ready()
    return made


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A node for several tests, which leave it running."""
    made = Served(tmp_path_factory.mktemp("lasting"), RELAIS_DIMSE__WORKERS="1")  # none that goes on when one is killed
    made.wait_until_ready()
    yield made
    put_away(made)


def stored(node: Served, folder: Path) -> str:
    """The SOP Instance UID of an instance that *node* has just acknowledged."""
    ds = a_ct()
    path = folder / "one.dcm"
    path.write_bytes(part10(ds))
    pixels = PixelWorkers(PixelSettings())
    (sent,) = node.peer.store([of_file(path, pixels)])
    pixels.close()
    assert sent.verdict is Verdict.COMPLETED
    return str(ds.SOPInstanceUID)


def found(node: Served, sop_instance_uid: str) -> bool:
    with urllib.request.urlopen(
        f"{node.url}/dicom-web/instances?SOPInstanceUID={sop_instance_uid}", timeout=30
    ) as answer:
        return answer.status == 200 and len(json.load(answer)) == 1


def test_children_that_are_killed_are_started_again_and_the_node_is_ready_again(
    lasting: Served, tmp_path: Path
) -> None:
    uid = stored(lasting, tmp_path)
    assert eventually(lasting.is_ready, LONG_S)
    before = lasting.workers()
    for role in ("dimse", "web"):
        former = lasting.child(role)
        os.kill(former, signal.SIGKILL)
        assert eventually(lambda former=former, role=role: lasting.child(role) != former, LONG_S)
        assert eventually(lasting.is_ready, LONG_S)
    assert eventually(lambda: all(map(is_gone, before)), LONG_S)  # until then the kernel hands them connections
    assert eventually(lasting.is_ready, LONG_S)
    lasting.peer.echo()
    assert found(lasting, uid)
    assert eventually(lambda: len(lasting.workers()) == len(before), LONG_S)
    killed, *others = lasting.workers()
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: is_gone(killed) and len({*lasting.workers()} - {*others}) == 1, LONG_S)
    assert eventually(lasting.is_ready, LONG_S)
    assert all(found(lasting, uid) for _ in range(5))
    with urllib.request.urlopen(f"{lasting.url}/metrics", timeout=120) as answer:
        assert 'relais_stores_total{channel="dimse",outcome="stored"} 1.0' in answer.read().decode()


def test_who_connects_while_the_only_dimse_process_is_down_waits_and_is_served(lasting: Served) -> None:
    killed = lasting.child("dimse")
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: is_gone(killed), LONG_S)  # else it may take the connection with it
    lasting.peer.echo()


def test_sigterm_ends_the_node_within_ten_seconds_with_an_association_open(node: Served) -> None:
    ae = AE("IDLE")
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate("127.0.0.1", node.dimse_port, ae_title="RELAIS")
    assert assoc.is_established
    with socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2]))) as half_open:
        half_open.sendall(b"GET /")
        started = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - started < max(10, SLOW * node.start_s)
    assert eventually(lambda: node.pids() == [], LONG_S)
    assert not answers("127.0.0.1", node.dimse_port)
    assert eventually(lambda: not assoc.is_established, LONG_S)
    assert "level=error" not in node.errors.read_text()


def test_an_interrupt_while_samples_are_looked_at_ends_the_node_and_is_no_failure(
    tmp_path: Path, nodes: list[Served]
) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    os.mkfifo(samples / "endless.dcm")
    with_samples = ["sh", "-c", 'exec "$@" --samples "$0"', str(samples)]
    nodes.append(node := Served(tmp_path, prefix=with_samples))
    with ExitStack() as keep:
        assert eventually(lambda: reader_comes(samples / "endless.dcm", keep), LONG_S)
        os.killpg(node.process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
        assert node.process.wait(LONG_S) == 0
    assert eventually(lambda: node.pids() == [], LONG_S)
    assert node.output.read_text() == ""
    assert "Aborted" not in node.errors.read_text()
    assert "level=error" not in node.errors.read_text()


def reader_comes(pipe: Path, keep: ExitStack) -> bool:
    """Whether somebody has opened *pipe* to read it; then he gets nothing until *keep* is closed."""
    try:
        keep.callback(os.close, os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_a_killed_supervisor_leaves_no_process_and_loses_nothing(
    node: Served, nodes: list[Served], tmp_path: Path
) -> None:
    uid = stored(node, tmp_path)
    node.process.kill()
    node.process.wait()
    assert eventually(lambda: node.pids() == [], LONG_S)
    nodes.append(again := Served(tmp_path, **node.ports))
    again.wait_until_ready()
    assert found(again, uid)
    assert again.stop() == 0


def refusal(folder: Path, **environ: str) -> str:
    """What `relais serve` says when it refuses to start; it must do so soon, and leave nothing."""
    node = Served(folder, **environ)
    try:
        code = node.process.wait(LONG_S)
    finally:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()
    assert code == 1
    assert eventually(lambda: node.pids() == [], LONG_S)
    assert node.output.read_text() == ""
    return node.errors.read_text()


def test_a_bad_configuration_stops_the_start_with_sentences(tmp_path: Path) -> None:
    said = refusal(tmp_path, RELAIS_DIMSE__PORT="many", RELAIS_WEB__HOST="0.0.0.0", RELAIS_WEB__PROT="1")
    assert "RELAIS_DIMSE__PORT: [dimse] port: expected a whole number, not 'many'" in said
    assert "RELAIS_WEB__PROT: [web] has no key prot; did you mean port?" in said
    assert "Traceback" not in said
    assert 'set [access] mode = "enforced"' in refusal(tmp_path, RELAIS_WEB__HOST="0.0.0.0")


@pytest.mark.parametrize("section", ["dimse", "web"])
def test_a_port_in_use_stops_the_start_with_a_sentence(tmp_path: Path, section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refusal(tmp_path, **{f"RELAIS_{section.upper()}__PORT": str(port)})
    assert said == (
        f"Error: The {section} door cannot listen on 127.0.0.1:{port}: another program is using it. "
        f"Set [{section}] host and port, or stop the other one.\n"
    )


def test_a_second_node_on_the_same_data_is_refused(lasting: Served, tmp_path: Path) -> None:
    said = refusal(tmp_path, RELAIS_NODE__DATA_DIR=lasting.environ["RELAIS_NODE__DATA_DIR"])
    assert said.startswith("Error: Another node is serving [node] data_dir ")
    assert eventually(lasting.is_ready, LONG_S)


@only_sqlite("its file is damaged")
def test_an_index_that_cannot_be_read_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "index.sqlite").write_bytes(b"this is no database" * 1000)
    said = refusal(tmp_path)
    assert said == "Error: The index file is not a SQLite database; move it away and run `relais reindex`.\n"


def test_an_index_of_a_newer_version_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    db = Database(index_settings(tmp_path / "data"))
    done = "_sqlite_migrations(migration_set, applied_at, name) VALUES ('relais', '', ?)"
    if db.is_postgresql:
        done = "relais_migration(name) VALUES (?)"
    db.write(lambda tx: tx.execute(f"INSERT INTO {done}", ("9999_future",)))
    db.write(lambda tx: tx.execute("UPDATE compatibility SET oldest = '9999_future'", ()))
    db.close()
    (said,) = (line for line in refusal(tmp_path).splitlines() if "PostgreSQL runs with" not in line)
    assert said == (
        "Error: The index was written by a newer version of Relais (it has migration 9999_future); upgrade this one."
    )


@only_sqlite("its writers' lock is held")
def test_a_node_that_is_ended_while_it_waits_for_the_index_is_no_failure(tmp_path: Path, nodes: list[Served]) -> None:
    (tmp_path / "data").mkdir()
    with WritersLock(tmp_path / "data" / "index.sqlite"):
        nodes.append(node := Served(tmp_path))
        assert eventually(lambda: len(node.pids()) == 2, LONG_S)
        assert node.stop() == 0
        assert node.pids() == []
    assert node.output.read_text() == node.errors.read_text() == ""


@only_sqlite("see tests/unit/db/postgres/test_migrate.py")
def test_an_upgrade_tells_that_the_index_is_migrated(
    tmp_path: Path, nodes: list[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    with monkeypatch.context() as older:
        *_, before, after = texts = migrate.scripts()
        older.setattr(migrate, "scripts", lambda: {name: texts[name] for name in texts if name != after})
        Database(index_settings(tmp_path / "data")).close()
    nodes.append(node := Served(tmp_path))
    node.wait_until_ready()
    lines = node.errors.read_text().splitlines()
    assert lines[0].endswith(f'event="migrating the index" before={before[:4]} after={after[:4]}')
    assert re.search(r'event="index migrated" s=\d+\.\d$', lines[1])
    assert all("event=started" in line for line in lines[2:4])


def test_a_data_directory_that_cannot_be_made_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal(tmp_path, RELAIS_NODE__DATA_DIR=str(tmp_path / "file" / "data"))
    assert said.startswith("Error: [node] data_dir ")
    assert "Traceback" not in said
