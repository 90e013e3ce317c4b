"""Memory does not grow with the size of an instance, nor with the number of associations."""

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from fixtures import upper_layer as ul
from fixtures.giant import Giant, a_giant
from fixtures.object_server import chosen
from fixtures.process import MB, descriptors, forget_peak, peak_bytes, resident_bytes, threads
from fixtures.served import ONE_BEHIND_EACH_DOOR, Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually

MOST_BYTES = 64 * MB  # above the baseline, for one association or request
SETTLES_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("memory"), **ONE_BEHIND_EACH_DOOR)
    made.wait_until_ready()
    assert eventually(lambda: is_settled(made), 120)
    yield made
    put_away(made)


def is_settled(node: Served) -> bool:
    """Whether each process of the node is there, also that in the background, and has loaded what it needs."""
    if not node.has_settled():
        return False
    before = {pid: resident_bytes(pid) for pid in node.pids()}
    time.sleep(1)
    return set(node.pids()) == set(before) and all(resident_bytes(pid) - before[pid] < MB for pid in before)


class Watched:
    """The processes of a node, and how far each rises above where it was."""

    def __init__(self, node: Served) -> None:
        visitor = Visitor(node.dimse_port, node.web_port)
        assert (visitor.store("dimse"), visitor.store("web")) == ("0000", "200")
        assert visitor.fetch_all()
        self.pids = node.pids()
        self.before = {pid: resident_bytes(pid) for pid in self.pids}
        for pid in self.pids:
            forget_peak(pid)

    def rise_bytes(self) -> int:
        return max(peak_bytes(pid) - self.before[pid] for pid in self.pids)


def send(giant: Giant, node: Served, door: str) -> int:
    return giant.c_store(node.dimse_port) if door == "dimse" else giant.stow(node.web_port)


def fetch(giant: Giant, node: Served) -> int:
    """Retrieve it by WADO-RS and count its bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", node.web_port, timeout=300)
    try:
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        connection.request("GET", f"/dicom-web/studies/{giant.study_instance_uid}", headers={"Accept": accept})
        answer, count = connection.getresponse(), 0
        while piece := answer.read(MB):
            count += len(piece)
        return count
    finally:
        connection.close()


def store_and_fetch(node: Served, door: str, megabytes: int) -> None:
    giant = a_giant(megabytes)
    watched = Watched(node)
    assert send(giant, node, door) == (0 if door == "dimse" else 200)
    assert watched.rise_bytes() < MOST_BYTES
    assert fetch(giant, node) > megabytes * MB
    assert watched.rise_bytes() < MOST_BYTES


@pytest.mark.parametrize("door", ["dimse", "web"])
def test_an_instance_of_300_mb_is_stored_and_fetched_in_64_mb(node: Served, door: str) -> None:
    store_and_fetch(node, door, 300)


@pytest.mark.slow
@pytest.mark.parametrize("door", ["dimse", "web"])
def test_an_instance_of_2_gb_is_stored_and_fetched_in_64_mb(node: Served, door: str) -> None:
    store_and_fetch(node, door, 2048)


def test_a_client_that_does_not_read_costs_no_memory(node: Served) -> None:
    giant = a_giant(200)
    assert giant.c_store(node.dimse_port) == 0
    watched = Watched(node)
    with socket.create_connection(("127.0.0.1", node.web_port)) as lazy:
        accept = 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*'
        request = f"GET /dicom-web/studies/{giant.study_instance_uid} HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n\r\n"
        lazy.sendall(request.encode())
        assert lazy.recv(1)
        time.sleep(3)
        assert watched.rise_bytes() < MOST_BYTES


def associate_and_store(node: Served, visitor: Visitor, count: int) -> None:
    for number in range(count):
        if number % 5:
            assert visitor.echo()
        else:
            assert visitor.store("dimse") == "0000"


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_thousand_associations_leave_nothing_behind(node: Served, rounds: int) -> None:
    visitor, pid = Visitor(node.dimse_port, node.web_port), node.child("dimse")
    associate_and_store(node, visitor, 200)
    before = resident_bytes(pid), descriptors(pid), threads(pid)
    associate_and_store(node, visitor, 1000 * rounds)
    assert resident_bytes(pid) - before[0] < 12 * MB
    assert eventually(lambda: descriptors(pid) <= before[1] + 2, SETTLES_WITHIN_S)
    assert eventually(lambda: threads(pid) <= before[2] + 2, SETTLES_WITHIN_S)


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_number_of_associations(node: Served, count: int) -> None:
    visitor, pid = Visitor(node.dimse_port, node.web_port), node.child("dimse")
    for _ in range(300):
        assert visitor.echo()
    before = resident_bytes(pid)
    for _ in range(count):
        assert visitor.echo()
    assert resident_bytes(pid) - before < 3 * MB


def test_what_breaks_off_leaves_nothing_behind(node: Served) -> None:
    """Associations cut in the middle of a Data Set."""
    visitor, pid = Visitor(node.dimse_port, node.web_port), node.child("dimse")
    giant = a_giant(1)
    associate_and_store(node, visitor, 20)
    before = descriptors(pid), threads(pid)
    for _ in range(50):
        request = ul.associate_rq(((ul.CT, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),), called="RELAIS")
        with ul.associate(node.dimse_port, request) as connection:
            connection.sendall(ul.pdv(3, ul.store_rq(1, ul.CT, giant.sop_instance_uid)) + ul.pdv(0, giant.start))
    assert eventually(lambda: descriptors(pid) <= before[0] and threads(pid) <= before[1], SETTLES_WITHIN_S)
    incoming = node.folder / "data" / ("objects" if chosen() == "local" else "spool") / ".incoming"
    assert eventually(lambda: not list(incoming.iterdir()), SETTLES_WITHIN_S)
