"""Associations that end early, stall or are too many (PS3.8 9): nothing is left of them, and others go on."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fixtures import upper_layer as ul
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.strangers import (
    PROPOSALS,
    answers,
    at_work,
    beyond_stock,
    echo,
    ending,
    leaves_no_trace,
    store,
)
from fixtures.waiting import eventually
from relais.dimse.services import NodeServices
from relais.peers.wire.messages import Sink

pytestmark = pytest.mark.anywhere("is about PDUs")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("node"), network_timeout_s=5, acse_timeout_s=5) as node:
        yield node


@pytest.mark.parametrize("source", [0, 2], ids=["A-ABORT", "A-P-ABORT"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_an_abort_in_the_middle_of_a_transfer_leaves_no_trace(node: DimseNode, source: int, share: float) -> None:
    """PS3.8 9.3.8"""
    files, threads = set(node.stored_files), at_work()
    with ul.associate(node.port, ul.associate_rq(PROPOSALS)) as connection:
        message = store(max_pdu=1024)
        ends = [at for at in pdu_ends(message) if at <= share * len(message)]
        connection.sendall(message[: ends[-1] if ends else 0] + ul.pdu(7, bytes((0, 0, source, 0))))
        assert ending(connection) is None
    assert leaves_no_trace(node, threads, files)


def pdu_ends(message: bytes) -> list[int]:
    found, at = [], 0
    while at < len(message):
        at += 6 + struct.unpack_from(">I", message, at + 2)[0]
        found.append(at)
    return found


def test_a_connection_that_breaks_anywhere_leaves_no_trace(node: DimseNode) -> None:
    files, threads = set(node.stored_files), at_work()
    message = ul.associate_rq(PROPOSALS) + store(max_pdu=16384)
    for share in (0.001, 0.01, 0.1, 0.3, 0.6, 0.9, 0.999):
        with socket.create_connection(("127.0.0.1", node.port), 120) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(message[: int(len(message) * share)])
            time.sleep(0.02)
    assert leaves_no_trace(node, threads, files)


def test_one_peer_cannot_take_every_association(tmp_path: Path) -> None:
    """PS3.8 9.3.4: local limit exceeded, for its address only"""
    with dimse_node(tmp_path, max_per_peer=2) as node:
        with ul.associate(node.port, ul.associate_rq(PROPOSALS)), ul.associate(node.port, ul.associate_rq(PROPOSALS)):
            with socket.create_connection(("127.0.0.1", node.port), 120) as third:
                third.sendall(ul.associate_rq(PROPOSALS))
                assert ul.read_pdu(third) == (ul.A_ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
            with socket.create_connection(("127.0.0.1", node.port), 120, ("127.0.0.2", 0)) as other:
                other.sendall(ul.associate_rq(PROPOSALS))
                assert ul.read_pdu(other)[0] == ul.A_ASSOCIATE_AC
        assert eventually(lambda: answers(node), 120)


@beyond_stock
def test_two_hundred_silent_connections_change_nothing(tmp_path: Path) -> None:
    """Hardening 3"""
    with dimse_node(tmp_path, acse_timeout_s=120) as node, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port), 120))
        began_at = time.monotonic()
        assert all(answers(node) for _ in range(10))
        assert time.monotonic() - began_at < 60  # less than anybody is waited for


STALLS = {
    "before anything": b"",
    "in the first header": ul.associate_rq(PROPOSALS)[:3],
    "in the A-ASSOCIATE-RQ": ul.associate_rq(PROPOSALS)[:100],
    "in an association": ul.associate_rq(PROPOSALS),
    "in a PDU header": ul.associate_rq(PROPOSALS) + echo()[:4],
    "in a PDV header": ul.associate_rq(PROPOSALS) + echo()[:9],
    "in a command set": ul.associate_rq(PROPOSALS) + echo()[:40],
    "between command set and Data Set": ul.associate_rq(PROPOSALS) + ul.pdv(3, ul.store_rq(1, ul.CT, "1.2.3")),
    "in a Data Set": ul.associate_rq(PROPOSALS) + store()[:-1000],
}


@pytest.mark.parametrize("sent", STALLS.values(), ids=STALLS.keys())
def test_a_peer_that_stalls_is_let_go(tmp_path: Path, sent: bytes) -> None:
    with dimse_node(tmp_path, network_timeout_s=3, acse_timeout_s=3) as node:
        files, threads = set(node.stored_files), at_work()
        with socket.create_connection(("127.0.0.1", node.port), 120) as connection:
            asked = ul.associate_rq(PROPOSALS)
            connection.sendall(sent[: len(asked)])
            if len(sent) >= len(asked):
                ul.read_pdu(connection)  # what follows is sent in an association (PS3.8 table 9-10)
                connection.sendall(sent[len(asked) :])
            began_at = time.monotonic()
            ending(connection)
            assert time.monotonic() - began_at < 120
            assert leaves_no_trace(node, threads, files)


def test_a_data_set_that_begins_while_its_association_ends_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes it is opened after the node has begun to abort, and let go of all the same."""
    begins, may_begin, opened = threading.Event(), threading.Event(), list[Sink]()
    receive = NodeServices.receive

    def late(services: NodeServices, *args: Any) -> Sink:
        begins.set()
        assert may_begin.wait(120)
        opened.append(receive(services, *args))
        return opened[0]

    monkeypatch.setattr(NodeServices, "receive", late)
    with dimse_node(tmp_path) as node:
        files, threads = set(node.stored_files), at_work()
        with ul.associate(node.port, ul.associate_rq(PROPOSALS)) as connection:
            connection.sendall(ul.pdv(3, ul.store_rq(1, ul.CT, "1.2.3")))
            assert begins.wait(120)
            node.server.stop(0)
            may_begin.set()
            assert ending(connection) in {None, ul.A_ABORT}
        assert eventually(lambda: bool(opened), 120)
        assert leaves_no_trace(node, threads, files)


@beyond_stock
def test_a_peer_that_drips_cannot_keep_a_connection_unasked(tmp_path: Path) -> None:
    """The time for an A-ASSOCIATE-RQ is that of the whole PDU (PS3.8 9.1.5)."""
    with (
        dimse_node(tmp_path, acse_timeout_s=0.5) as node,
        socket.create_connection(("127.0.0.1", node.port)) as slow,
        pytest.raises(OSError),  # reset, or broken pipe, before the last byte is sent
    ):
        for byte in ul.associate_rq(PROPOSALS):
            slow.sendall(bytes((byte,)))
            time.sleep(0.1)
