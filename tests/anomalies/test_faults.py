"""Every kind of system call under a store fails once, in the serving processes: refused honestly, and all goes on.

strace makes the calls fail, so that SQLite's own are among them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import engines, strace
from fixtures.places import node_environ
from fixtures.served import ONE_BEHIND_EACH_DOOR, Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually
from relais import config
from relais.archive import maintenance
from relais.node import compose

pytestmark = pytest.mark.files("the calls that they need fail")
SYNCS = "fsync,fdatasync,syncfs"
FAULTS = (
    *(("openat", error, number) for number in (1, 2, 3, 4) for error in ("EMFILE", "EROFS")),
    *(("write", error, number) for number in (1, 2, 3) for error in ("ENOSPC", "EIO")),
    *(("pwrite64", error, number) for number in (1, 2, 3, 5, 9, 17) for error in ("ENOSPC", "EIO")),
    *((SYNCS, "EIO", number) for number in (1, 2, 3, 4, 5)),
    *(("rename", error, 1) for error in ("ENOSPC", "EROFS", "EIO")),
    *(("mkdir", error, number) for number in (1, 2) for error in ("ENOSPC", "EROFS")),
    ("unlink", "EROFS", 1),
)
FAULTS_OF_WEB = [fault for fault in FAULTS if fault[0] != "write"]  # with which the HTTP server wakes its threads
REFUSED = {"dimse": {"A700"}, "web": {"507", "503"}}
SHARE = 2 if engines.chosen() == engines.SQLITE else 4  # of the faults, one so many has to be felt: SQLite has files
STORED = {"dimse": "0000", "web": "200"}


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A node whose DIMSE door runs on the engine that the test names."""
    made = Served(tmp_path_factory.mktemp("faults"), RELAIS_DIMSE__ENGINE=request.param, **ONE_BEHIND_EACH_DOOR)
    made.wait_until_ready()
    yield made
    put_away(made)


with_each_engine = pytest.mark.parametrize("node", ["inline", "stock"], indirect=True)


@pytest.mark.parametrize(
    ("node", "door"), [("inline", "dimse"), ("inline", "web"), ("stock", "dimse")], indirect=["node"]
)
def test_every_call_under_a_store_may_fail_once(node: Served, door: str) -> None:
    visitor = Visitor(node.dimse_port, node.web_port)
    pid = node.child("dimse") if door == "dimse" else node.workers()[0]
    assert visitor.store(door) == STORED[door]
    refused = 0
    for calls, error, number in FAULTS if door == "dimse" else FAULTS_OF_WEB:
        visitor.study = Visitor(0, 0).study  # a new study: its folders are to be made
        with strace.failing(pid, calls, error, str(number)):
            status = visitor.store(door)
        assert status in {STORED[door], *REFUSED[door]}, (calls, error, number)
        refused += status != STORED[door]
        assert visitor.store(door) == STORED[door], (calls, error, number)
    assert refused > len(FAULTS) // SHARE
    assert visitor.fetch_all()


@engines.only_sqlite("its files cannot be written")
@with_each_engine
def test_an_index_that_cannot_be_written_refuses_stores_and_is_read(node: Served) -> None:
    visitor = Visitor(node.dimse_port, node.web_port)
    assert visitor.store("dimse") == "0000"
    for calls, error in (("pwrite64,ftruncate", "EROFS"), ("pwrite64", "ENOSPC"), (SYNCS, "EIO")):
        with strace.failing(node.child("dimse"), calls, error, "1+"):
            assert visitor.store("dimse") == "A700"
            assert visitor.store("dimse") == "A700"
            assert visitor.fetch_all()
            assert visitor.echo()
        assert eventually(lambda: visitor.store("dimse") == "0000", 120)


@with_each_engine
def test_after_all_faults_index_and_storage_agree(node: Served) -> None:
    """Runs on its own too; it says most after the others."""
    given = config.load(None, node_environ(node.folder / "data")).config
    with compose.archive_of(given) as archive:
        assert maintenance.sweep(archive, upload_age_s=0).unreadable == 0
        # the node removes what was given up at the same time
        assert eventually(lambda: maintenance.check(archive).is_sound, 120), maintenance.check(archive)


@with_each_engine
def test_the_log_tells_of_faults_without_a_traceback(node: Served) -> None:
    assert "traceback" not in Path(node.errors).read_text()
