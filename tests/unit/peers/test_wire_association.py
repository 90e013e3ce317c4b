"""An association that we request, against a peer in bytes: release, collision, abort, silence (PS3.8 7.2, 7.3)."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO

from fixtures import upper_layer as ul
from relais.peers import messages
from relais.peers.association import NotAssociated, association
from relais.peers.messages import AssociationLost
from relais.peers.settings import PeerSettings

RELEASE_RQ, RELEASE_RP = ul.pdu(ul.A_RELEASE_RQ, bytes(4)), ul.pdu(ul.A_RELEASE_RP, bytes(4))
Behaviour = Callable[[socket.socket], None]


def accept(connection: socket.socket) -> None:
    """Read an A-ASSOCIATE-RQ and accept its only presentation context."""
    kind, body = ul.read_pdu(connection)
    assert kind == 1
    context = ul.item(0x21, bytes((1, 0, 0, 0)) + ul.item(0x40, ul.EXPLICIT_VR_LITTLE_ENDIAN.encode()))
    user = ul.item(0x50, ul.item(0x51, struct.pack(">I", 16384)) + ul.item(0x52, b"1.2.3"))
    connection.sendall(ul.pdu(2, body[:68] + ul.item(0x10, b"1.2.840.10008.3.1.1.1") + context + user))


@contextmanager
def peer(*behaviours: Behaviour, patience_s: float = 30) -> Iterator[PeerSettings]:
    """A peer that accepts an association and then does each of *behaviours*; how long to wait for it."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            connection, _ = listening.accept()
            with connection:
                for behave in behaviours:
                    behave(connection)
        except BaseException as exc:
            failures.append(exc)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        yield PeerSettings("there", "THERE", "127.0.0.1", listening.getsockname()[1], timeout_s=patience_s)
        thread.join(180)
    assert not thread.is_alive()
    assert failures == []


def sends(data: bytes) -> Behaviour:
    return lambda connection: connection.sendall(data)


def expects(kind: int) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        assert ul.read_pdu(connection)[0] == kind

    return behave


def closed(connection: socket.socket) -> None:
    assert connection.recv(1) == b""


def associated(settings: PeerSettings) -> "contextmanager[Association]":
    return association(settings, "HERE", [(ul.VERIFICATION, (ul.EXPLICIT_VR_LITTLE_ENDIAN,))])


def echo(assoc: Association) -> C_ECHO:
    request = C_ECHO()
    request.MessageID, request.AffectedSOPClassUID = 1, ul.VERIFICATION
    messages.send(assoc, 1, request)
    return messages.expect(messages.receive(assoc), request)


ECHO_RSP = ul.pdv(3, ul.command(e0002=ul.VERIFICATION, e0100=0x8030, e0120=1, e0800=0x0101, e0900=0))


def test_a_message_and_its_answer_and_a_release() -> None:
    threads = set(threading.enumerate())
    with (
        peer(accept, expects(4), sends(ECHO_RSP), expects(5), sends(RELEASE_RP), closed) as settings,
        associated(settings) as assoc,
    ):
        assert len(set(threading.enumerate()) - threads) == 1  # the peer's own
        assert echo(assoc).Status == 0
    assert assoc.is_released


def test_a_release_that_collides_with_the_peers_own_ends_well() -> None:
    """PS3.8 7.2.2.7: as requestor we answer first, then the peer does."""
    behaviour = (accept, expects(4), sends(ECHO_RSP + RELEASE_RQ), expects(5), expects(6), sends(RELEASE_RP), closed)
    with peer(*behaviour) as settings, associated(settings) as assoc:
        assert echo(assoc).Status == 0
    assert assoc.is_released


def test_what_the_peer_still_sends_during_a_release_is_dropped() -> None:
    """PS3.8 table 9-10: AR-6"""
    behaviour = (accept, expects(5), sends(ECHO_RSP + RELEASE_RP), closed)
    with peer(*behaviour) as settings, associated(settings) as assoc:
        pass
    assert assoc.is_released


def test_a_peer_that_never_answers_a_release_is_aborted() -> None:
    with peer(accept, expects(5), expects(7), closed, patience_s=4) as settings, associated(settings) as assoc:
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 60
    assert assoc.is_aborted


@pytest.mark.parametrize("source", [0, 2], ids=["A-ABORT", "A-P-ABORT"])
def test_an_abort_by_the_peer_is_a_lost_association(source: int) -> None:
    behaviour = (accept, expects(4), sends(ul.pdu(7, bytes((0, 0, source, 0)))), closed)
    with peer(*behaviour) as settings, associated(settings) as assoc:
        with pytest.raises(AssociationLost):
            echo(assoc)
        assert not assoc.is_open


@pytest.mark.parametrize("sent", [b"", b"\4\0\0", ul.pdu(9, b""), struct.pack(">BxI", 4, 0xFFFFFFFF)])
def test_a_peer_that_closes_or_sends_what_it_must_not_is_a_lost_association(sent: bytes) -> None:
    with peer(accept, expects(4), sends(sent)) as settings, associated(settings) as assoc:
        with pytest.raises(AssociationLost):
            echo(assoc)
        assert not assoc.is_open


def test_a_peer_that_does_not_answer_in_time_is_a_lost_association_and_aborted() -> None:
    with peer(accept, expects(4), expects(7), patience_s=4) as settings:
        with pytest.raises(AssociationLost, match="in time"), associated(settings) as assoc:
            echo(assoc)
        assert assoc.is_aborted


@pytest.mark.parametrize(
    "sent", [b"", ul.pdu(7, bytes(4)), ul.pdu(3, bytes((0, 1, 1, 7))), ul.pdu(4, bytes(4)), ul.pdu(2, bytes(10))]
)
def test_without_an_acceptance_there_is_no_association(sent: bytes) -> None:
    with peer(expects(1), sends(sent)) as settings, pytest.raises(NotAssociated), associated(settings):
        pass


def test_a_peer_that_takes_no_answer_at_all_is_not_waited_for() -> None:
    stop = threading.Event()
    with peer(expects(1), lambda connection: stop.wait(120), patience_s=4) as settings:
        began_at = time.monotonic()
        with pytest.raises(NotAssociated), associated(settings):
            pass
        stop.set()
        assert time.monotonic() - began_at < 60


def test_a_data_set_leaves_in_fragments_that_the_peer_takes() -> None:
    """PS3.8 D.1"""
    lengths: list[int] = []

    def collect(connection: socket.socket) -> None:
        while True:
            kind, body = ul.read_pdu(connection)
            lengths.append(len(body))
            if kind == 4 and body[5] == 2:
                return

    behaviour = (accept, expects(4), collect, expects(5), sends(RELEASE_RP))
    with peer(*behaviour) as settings, associated(settings) as assoc:
        messages.send(assoc, 1, C_ECHO_with_data(), (bytes(7919) for _ in range(50)))
    assert max(lengths) <= 16384
    assert sum(lengths) == 50 * 7919 + 6 * len(lengths)


def C_ECHO_with_data() -> C_ECHO:
    request = C_ECHO()
    request.MessageID, request.AffectedSOPClassUID = 1, ul.VERIFICATION
    return request


def test_a_peer_that_reads_nothing_ends_the_sending() -> None:
    stop = threading.Event()
    with peer(accept, lambda connection: stop.wait(120), patience_s=4) as settings:
        with associated(settings) as assoc, pytest.raises(AssociationLost):
            messages.send(assoc, 1, C_ECHO_with_data(), (bytes(1 << 20) for _ in range(100)))
        stop.set()
