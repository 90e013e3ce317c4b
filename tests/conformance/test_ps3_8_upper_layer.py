"""The upper layer (PS3.8 9) over real sockets, in bytes that no client would send. Others must notice nothing of it."""

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures import upper_layer as ul
from fixtures.builders import a_ct, dataset_bytes
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.fuzz import for_a_while
from fixtures.strangers import (
    ECHO,
    FIND,
    PROPOSALS,
    STORE,
    STUDY_FIND,
    SUCCESS,
    answers,
    at_work,
    beyond_stock,
    echo,
    ending,
    statuses,
    store,
)
from fixtures.waiting import eventually

pytestmark = pytest.mark.anywhere("is about PDUs")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("node"), network_timeout_s=5, acse_timeout_s=5) as node:
        yield node


@pytest.fixture
def assoc(node: DimseNode) -> Iterator[socket.socket]:
    with ul.associate(node.port, ul.associate_rq(PROPOSALS)) as connection:
        yield connection


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
