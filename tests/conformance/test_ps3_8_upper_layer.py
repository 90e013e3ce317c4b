"""The upper layer (PS3.8 9) over real sockets, in bytes that no client would send. Others must notice nothing of it."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures import upper_layer as ul
from fixtures.builders import a_ct, dataset_bytes
from fixtures.dimse_node import ENGINE, DimseNode, dimse_node
from fixtures.fuzz import for_a_while
from fixtures.waiting import eventually
from relais.dimse.services import NodeServices
from relais.peers.wire.messages import Sink

pytestmark = pytest.mark.anywhere("is about PDUs")

STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PROPOSALS = (
    (ul.CT, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),
    (ul.VERIFICATION, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),
    (STUDY_FIND, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),
)
STORE, ECHO, FIND = 1, 3, 5  # their presentation context IDs
SUCCESS = 0x0000

beyond_stock = pytest.mark.skipif(ENGINE == "stock", reason="pynetdicom's own threads cannot do this, or not in time")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("node"), network_timeout_s=5, acse_timeout_s=5) as node:
        yield node


@pytest.fixture
def assoc(node: DimseNode) -> Iterator[socket.socket]:
    with ul.associate(node.port, ul.associate_rq(PROPOSALS)) as connection:
        yield connection


def echo(message_id: int = 1) -> bytes:
    return ul.pdv(3, ul.echo_rq(message_id), ECHO)


def store(message_id: int = 1, max_pdu: int = 131072) -> bytes:
    ds = a_ct()
    request = ul.store_rq(message_id, ds.SOPClassUID, ds.SOPInstanceUID)
    return ul.pdv(3, request) + b"".join(ul.fragments(dataset_bytes(ds), max_pdu))


def statuses(connection: socket.socket, count: int) -> list[int]:
    """Of the next *count* responses."""
    found = []
    for _ in range(count):
        kind, body = ul.read_pdu(connection)
        assert kind == ul.P_DATA_TF
        found.append(ul.status_of(body))
    return found


def ending(connection: socket.socket) -> int | None:
    """How the peer ended: with that kind of PDU, or None if it just closed."""
    kind = None
    try:
        while True:
            kind, _ = ul.read_pdu(connection)
    except ConnectionError:
        return kind


def answers(node: DimseNode) -> bool:
    """Whether the node is as well as ever."""
    try:
        connection = ul.associate(node.port, ul.associate_rq(PROPOSALS))
    except ConnectionError:  # rejected
        return False
    with connection:
        connection.sendall(echo())
        found = statuses(connection, 1)
        ul.release(connection)
    return found == [SUCCESS]


def at_work() -> set[threading.Thread]:
    """The threads besides the archive's own, which begin with the first store.

    Themselves, not their number: of another test's some may be about to end, in whose place others would go unnoticed.
    """
    own = {"late-writes", "checkpoints", "journal", "helper"}
    return {thread for thread in threading.enumerate() if thread.name not in own}


def leaves_no_trace(node: DimseNode, threads: set[threading.Thread], files: set[Path]) -> bool:
    """Whether, before long, there are no more threads and files than there were; another test's may have gone."""
    return eventually(lambda: at_work() <= threads and set(node.stored_files) <= files, 120)


def test_a_message_may_come_one_byte_at_a_time(assoc: socket.socket) -> None:
    for byte in echo():
        assoc.sendall(bytes((byte,)))
    assert statuses(assoc, 1) == [SUCCESS]


def test_command_set_and_data_set_may_share_a_pdu(assoc: socket.socket) -> None:
    """PS3.8 9.3.5.1: a PDU has one or more PDVs"""
    message = store()
    pdvs, at = b"", 0
    while at < len(message):
        length = struct.unpack_from(">I", message, at + 2)[0]
        pdvs += message[at + 6 : at + 6 + length]
        at += 6 + length
    assoc.sendall(ul.pdu(ul.P_DATA_TF, pdvs))
    assert statuses(assoc, 1) == [SUCCESS]


@pytest.mark.parametrize("max_pdu", [8, 9, 100, 4096, 1048576])
def test_fragments_may_have_any_length(assoc: socket.socket, node: DimseNode, max_pdu: int) -> None:
    before = node.instances
    request = ul.store_rq(1, ul.CT, (ds := a_ct()).SOPInstanceUID)
    message = b"".join(
        ul.pdv(control | (2 if is_last else 0), data)
        for control, whole in ((1, request), (0, dataset_bytes(ds)))
        for data, is_last in cut(whole, max_pdu - 6)
    )
    assoc.sendall(message)
    assert statuses(assoc, 1) == [SUCCESS]
    assert node.instances == before + 1


def cut(data: bytes, size: int) -> Iterator[tuple[bytes, bool]]:
    for at in range(0, len(data), size):
        yield data[at : at + size], at + size >= len(data)


def test_the_last_fragment_may_be_empty(assoc: socket.socket) -> None:
    """PS3.8 E.2"""
    request, ds = ul.echo_rq(1), a_ct()
    assoc.sendall(ul.pdv(1, request, ECHO) + ul.pdv(3, b"", ECHO))
    assert statuses(assoc, 1) == [SUCCESS]
    command = ul.store_rq(2, ds.SOPClassUID, ds.SOPInstanceUID)
    assoc.sendall(ul.pdv(3, command) + ul.pdv(0, dataset_bytes(ds)) + ul.pdv(2, b""))
    assert statuses(assoc, 1) == [SUCCESS]


def test_requests_that_do_not_wait_are_answered_one_after_the_other(assoc: socket.socket, node: DimseNode) -> None:
    before = node.instances
    assoc.sendall(echo(1) + store(2) + echo(3) + store(4))
    assert statuses(assoc, 4) == [SUCCESS] * 4
    assert node.instances == before + 2


def test_reserved_bytes_are_not_looked_at(assoc: socket.socket) -> None:
    """PS3.8 9.3.1"""
    message = bytearray(echo())
    message[1] = 0xFF
    message[11] |= 0xFC  # of the message control header only two bits count (PS3.8 E.2)
    assoc.sendall(message)
    assert statuses(assoc, 1) == [SUCCESS]


@beyond_stock
def test_a_release_is_answered_also_when_requests_came_before_it(assoc: socket.socket) -> None:
    """PS3.8 7.2"""
    assoc.sendall(echo(1) + echo(2) + ul.pdu(ul.A_RELEASE_RQ, bytes(4)))
    assert statuses(assoc, 2) == [SUCCESS] * 2
    assert ending(assoc) == ul.A_RELEASE_RP


BAD = {
    "an unknown PDU": ul.pdu(9, bytes(4)),
    "a PDU of four gigabytes": struct.pack(">BxI", 4, 0xFFFFFFFF),
    "a PDU just longer than the limit": struct.pack(">BxI", 4, 1048577),
    "a release of four gigabytes": struct.pack(">BxI", 5, 0xFFFFFFFF),
    "a PDV of four gigabytes": ul.pdu(4, struct.pack(">IBB", 0xFFFFFFFF, ECHO, 3) + bytes(20)),
    "a PDV longer than its PDU": ul.pdu(4, struct.pack(">IBB", 30, ECHO, 3) + bytes(20)),
    "a PDV shorter than its header": ul.pdu(4, struct.pack(">IBB", 1, ECHO, 3) + bytes(20)),
    "a PDU with half a PDV": ul.pdu(4, b"\0\0\0"),
    "bytes after the last PDV": ul.pdu(4, ul.pdv(3, ul.echo_rq(1), ECHO)[6:] + b"\0\0\0"),
    "a context that was not negotiated": ul.pdv(3, ul.echo_rq(1), 7),
    "a message in two contexts": ul.pdv(1, ul.echo_rq(1), ECHO) + ul.pdv(3, b"", STORE),
    "a Data Set without command": ul.pdv(2, bytes(20)),
    "a command within a Data Set": ul.pdv(3, ul.store_rq(1, ul.CT, "1.2.3")) + ul.pdv(3, ul.echo_rq(2)),
    "a command set that is none": ul.pdv(3, bytes(range(50)), ECHO),
    "a command set without Command Field": ul.pdv(3, ul.command(e0110=1, e0800=0x0101), ECHO),
    "a command set without end": ul.pdv(1, bytes(60000), ECHO) * 3,
    "an Identifier without end": ul.pdv(3, ul.command(e0002=STUDY_FIND, e0100=0x20, e0110=1, e0700=0, e0800=1), FIND)
    + ul.pdv(0, bytes(1000000), FIND) * 2,
    "a response to nothing": ul.pdv(3, ul.command(e0100=0x8030, e0120=1, e0800=0x0101, e0900=0), ECHO),
    "a request without Message ID": ul.pdv(3, ul.command(e0002=ul.VERIFICATION, e0100=0x30, e0800=0x0101), ECHO),
    "a second A-ASSOCIATE-RQ": ul.associate_rq(PROPOSALS),
    "an A-ASSOCIATE-AC": ul.pdu(2, bytes(68)),
    "an A-RELEASE-RP that nobody waits for": ul.pdu(6, bytes(4)),
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD.keys())
def test_what_no_peer_may_send_is_answered_with_an_abort(node: DimseNode, assoc: socket.socket, sent: bytes) -> None:
    """PS3.8 9.2, table 9-10: AA-8"""
    assoc.settimeout(120)
    assoc.sendall(sent)
    assert ending(assoc) == ul.A_ABORT
    assert answers(node)


@pytest.mark.parametrize("sent", [echo(), ul.pdu(5, bytes(4)), ul.pdu(9, bytes(4)), struct.pack(">BxI", 1, 0xFFFFFFFF)])
def test_whoever_does_not_begin_with_an_association_is_aborted(node: DimseNode, sent: bytes) -> None:
    """PS3.8 table 9-10: AA-1"""
    with socket.create_connection(("127.0.0.1", node.port), 120) as connection:
        connection.sendall(sent)
        assert ending(connection) == ul.A_ABORT


@beyond_stock
@pytest.mark.parametrize(
    ("called", "calling", "answer"),
    [
        ("RELAIS".ljust(16, "\0"), "CT 1".ljust(16, "\0"), (ul.A_ASSOCIATE_AC, b"")),
        ("", "CT1", (ul.A_ASSOCIATE_RJ, bytes((0, 1, 1, 7)))),
        ("RELAIS", "", (ul.A_ASSOCIATE_RJ, bytes((0, 1, 1, 3)))),
        ("RELAIS", "A\\B", (ul.A_ASSOCIATE_RJ, bytes((0, 1, 1, 3)))),
    ],
    ids=["padded with nulls", "nobody is called", "nobody calls", "a backslash"],
)
def test_who_calls_nobody_or_is_nobody_is_told_so(
    node: DimseNode, called: str, calling: str, answer: tuple[int, bytes]
) -> None:
    """PS3.8 9.3.2, table 9-21"""
    with socket.create_connection(("127.0.0.1", node.port), 120) as connection:
        connection.sendall(ul.associate_rq(PROPOSALS, called, calling))
        kind, body = ul.read_pdu(connection)
    assert (kind, body[: len(answer[1])]) == answer


@beyond_stock
def test_the_log_says_from_where_came_what_is_no_pdu(node: DimseNode, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 120) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert ending(connection) == ul.A_ABORT
    assert 'event="invalid PDU" address=127.0.0.1 error="no PDU, or a longer one than the limit"' in caplog.text


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


fragments = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([echo(), store(max_pdu=4096), ul.pdu(5, bytes(4)), ul.pdu(7, bytes(4)), *BAD.values()]),
    st.builds(ul.pdu, st.integers(0, 9), st.binary(max_size=60)),
    st.builds(ul.pdv, st.integers(0, 255), st.binary(max_size=60), st.sampled_from([STORE, ECHO, FIND, 7])),
    st.builds(
        lambda field, values: ul.pdv(3, ul.command(e0100=field, **values), ECHO),
        st.sampled_from([0x01, 0x20, 0x21, 0x10, 0x30, 0x0FFF, 0x8001, 0x8020, 0x0100, 0x0140]),
        st.dictionaries(
            st.sampled_from(["e0002", "e0110", "e0120", "e0600", "e0700", "e0800", "e0900", "e1000", "e1030", "e1031"]),
            st.integers(0, 0xFFFF) | st.text("0123456789.ABC", max_size=70),
        ),
    ),
)


def mutated(data: bytes, at: int, byte: int) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[at % len(data)] = byte
    return bytes(changed)


changes = st.none() | st.tuples(st.integers(0, 1 << 20), st.integers(0, 255))


def converse(port: int, message: bytes) -> None:
    """Send *message* and read what comes, for a moment."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(0.05)
        try:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass


@beyond_stock
def test_whatever_comes_others_notice_nothing(node: DimseNode) -> None:
    """The fuzz test of PDUs and command sets."""
    threads = at_work()

    @settings(max_examples=100, database=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), st.lists(fragments, max_size=5), changes)
    def fuzz(associates: bool, sent: list[bytes], change: tuple[int, int] | None) -> None:
        message = (ul.associate_rq(PROPOSALS) if associates else b"") + b"".join(sent)
        converse(node.port, mutated(message, *change) if change else message)

    for_a_while(fuzz)
    assert answers(node)
    assert eventually(lambda: at_work() <= threads, 120)
