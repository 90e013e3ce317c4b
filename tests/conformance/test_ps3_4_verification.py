"""Verification (PS3.4 A), and what an association has to be for any service (PS3.8 9.3), over real sockets."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

from fixtures import dcmtk
from fixtures.dimse_node import ENGINE, DimseNode, dimse_node
from fixtures.pynetdicom_scu import scu
from fixtures.waiting import eventually
from relais.dimse.server import DimseServer
from relais.dimse.settings import DimseSettings
from relais.peers.registry import Registry

VERIFICATION = "1.2.840.10008.1.1"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT, UNKNOWN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.3.4.5"
ECHO = [(VERIFICATION, [IMPLICIT])]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node") as node:
        yield node


def test_echo_is_answered_with_success(node: DimseNode) -> None:
    """PS3.4 A.4"""
    ran = dcmtk.echoscu(node.port)
    assert ran.code == 0
    assert "Received Echo Response (Success)" in ran.output


def test_many_echoes_on_one_association_are_all_answered(node: DimseNode) -> None:
    ran = dcmtk.echoscu(node.port, "--repeat", 20)
    assert ran.code == 0
    assert ran.output.count("Received Echo Response (Success)") == 20


def test_any_called_ae_title_is_taken_by_default(node: DimseNode) -> None:
    assert dcmtk.echoscu(node.port, called="SOMEBODY").code == 0


def test_a_wrong_called_ae_title_is_rejected_where_it_is_checked(tmp_path: Path) -> None:
    """PS3.8 9.3.4"""
    with dimse_node(tmp_path, check_called_ae_title=True) as node:
        ran = dcmtk.echoscu(node.port, called="SOMEBODY")
        assert ran.code != 0
        assert "Called AE Title Not Recognized" in ran.output
        assert dcmtk.echoscu(node.port, called="RELAIS").code == 0


def test_unknown_syntaxes_are_rejected_each_with_its_reason(node: DimseNode) -> None:
    """PS3.8 9.3.3.2: 3 abstract syntax, 4 transfer syntaxes not supported"""
    proposals = [(UNKNOWN, [IMPLICIT]), (CT, [UNKNOWN]), (CT, [UNKNOWN, IMPLICIT]), *ECHO]
    with scu(node.port, proposals) as assoc:
        assert {cx.context_id: cx.result for cx in assoc.rejected_contexts} == {1: 3, 3: 4}
        assert [cx.context_id for cx in assoc.accepted_contexts] == [5, 7]


def test_uncompressed_is_chosen_where_the_peer_leaves_the_choice(node: DimseNode) -> None:
    """A sender that offers both for one context may not be able to compress (client lesson 9)."""
    with scu(node.port, [(CT, ["1.2.840.10008.1.2.4.70", IMPLICIT, EXPLICIT])]) as assoc:
        assert assoc.accepted_contexts[0].transfer_syntax == [EXPLICIT]


def test_roles_are_answered_only_where_they_were_proposed(node: DimseNode) -> None:
    """PS3.7 D.3.3.4"""
    with scu(node.port, [(CT, [EXPLICIT]), (MR, [EXPLICIT])], as_scp=[CT]) as assoc:
        assert set(assoc.acceptor.role_selection) == {CT}
        roles = {cx.abstract_syntax: (cx.as_scu, cx.as_scp) for cx in assoc.accepted_contexts}
    assert roles == {CT: (False, True), MR: (True, False)}


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        pytest.param({}, b"\2", id="as it should be"),
        pytest.param({"version": 0x0003}, b"\2", id="a later version too"),
        pytest.param({"version": 0x0002}, b"\3\1\2\2", id="not version 1"),
        pytest.param({"context": "1.2.840.10008.3.1.1.2"}, b"\3\1\1\2", id="another application context"),
        pytest.param({"reserved": 0xFF}, b"\2", id="reserved bytes mean nothing"),
    ],
)
def test_a_request_is_judged_by_the_bits_that_count(node: DimseNode, change: dict[str, Any], answer: bytes) -> None:
    """PS3.8 9.3.2, 9.3.4: PDU type, and of a rejection result, source and reason"""
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(associate_rq(**change))
        connection.settimeout(120)
        received = connection.recv(4096)
    assert (received[:1] + received[7:10])[: len(answer)] == answer


def test_more_associations_than_the_limit_are_rejected_until_one_ends(tmp_path: Path) -> None:
    """PS3.8 9.3.4"""
    with dimse_node(tmp_path, max_associations=2) as node:
        with scu(node.port, ECHO), scu(node.port, ECHO):
            ran = dcmtk.echoscu(node.port)
            assert ran.code != 0
            assert "Local Limit Exceeded" in ran.output
        assert eventually(lambda: dcmtk.echoscu(node.port).code == 0)


def test_silent_connections_keep_nobody_out(tmp_path: Path) -> None:
    """Client lesson 11"""
    with dimse_node(tmp_path, max_associations=2, acse_timeout_s=5) as node:
        silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(20)]
        try:
            assert dcmtk.echoscu(node.port).code == 0
            assert _is_closed(silent[0])
        finally:
            for connection in silent:
                connection.close()


def test_an_association_that_falls_silent_is_aborted(tmp_path: Path) -> None:
    with dimse_node(tmp_path, network_timeout_s=3) as node, scu(node.port, ECHO) as assoc:
        assert assoc.send_c_echo().Status == 0
        assert eventually(assoc.acse.is_aborted)


def test_a_connection_that_stalls_within_a_pdu_is_closed(tmp_path: Path) -> None:
    with dimse_node(tmp_path, network_timeout_s=3, acse_timeout_s=3) as node:
        with socket.create_connection(("127.0.0.1", node.port)) as connection:
            connection.sendall(b"\1\0\0")
            assert _is_closed(connection)
        assert dcmtk.echoscu(node.port).code == 0


def test_a_pdu_of_four_gigabytes_is_aborted_unread(node: DimseNode) -> None:
    """PS3.8 9.3.8; its declared length is not believed."""
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(b"\1\0\xff\xff\xff\xf0" + b"\1" * 1000)
        connection.settimeout(120)
        assert connection.recv(10)[:1] == b"\7"
    assert dcmtk.echoscu(node.port).code == 0


def test_garbage_ends_its_own_connection_only(node: DimseNode) -> None:
    with scu(node.port, ECHO) as assoc:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\1\0\0\0\0\4abcd", b"\4\0\0\0\0\0"):
            with socket.create_connection(("127.0.0.1", node.port)) as connection:
                connection.sendall(garbage)
                assert _is_closed(connection)
        assert assoc.send_c_echo().Status == 0


def test_stopping_lets_a_request_end_and_then_closes(tmp_path: Path) -> None:
    with dimse_node(tmp_path) as node, scu(node.port, ECHO) as assoc:
        assert assoc.send_c_echo().Status == 0
        began = time.monotonic()
        node.server.stop(60)
        assert time.monotonic() - began < 30  # idle associations are not waited for
        assert eventually(assoc.acse.is_aborted)


def test_stopping_closes_silent_connections_at_once(tmp_path: Path) -> None:
    with dimse_node(tmp_path) as node, ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", node.port))) for _ in range(5)]
        assert dcmtk.echoscu(node.port).code == 0  # so they have been accepted
        began = time.monotonic()
        node.server.stop(60)
        assert all(_is_closed(connection) for connection in silent)
        assert time.monotonic() - began < 30


def test_a_listening_socket_may_be_shared_and_outlives_who_shares_it(node: DimseNode) -> None:
    """Workers take associations from one port; one that stops must not stop the others."""
    with socket.create_server(("127.0.0.1", 0)) as shared:
        port = shared.getsockname()[1]
        doors = [DimseServer(DimseSettings(engine=ENGINE), node.archive, Registry()) for _ in range(2)]
        for door in doors:
            door.start(socket.socket(fileno=os.dup(shared.fileno())))
            assert door.port == port
        assert dcmtk.echoscu(port, "--repeat", 3).code == 0
        doors[0].stop(1)
        assert dcmtk.echoscu(port).code == 0
        doors[1].stop(1)


def test_a_port_that_is_taken_is_an_error_at_the_start(node: DimseNode) -> None:
    with pytest.raises(OSError, match="in use"):
        DimseServer(DimseSettings(port=node.port, engine=ENGINE), node.archive, Registry()).start()


def associate_rq(version: int = 1, context: str = "1.2.840.10008.3.1.1.1", reserved: int = 0) -> bytes:
    """An A-ASSOCIATE-RQ for Verification, encoded."""
    request = A_ASSOCIATE()
    request.application_context_name = UID(context)
    request.calling_ae_title, request.called_ae_title = "RAW", "RELAIS"
    proposed = build_context(VERIFICATION, IMPLICIT)
    proposed.context_id = 1
    request.presentation_context_definition_list = [proposed]
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 16382, UID("1.2.3")
    request.user_information = [length, implementation]
    encoded = bytearray(A_ASSOCIATE_RQ(request).encode())
    encoded[1], encoded[6:8] = reserved, version.to_bytes(2, "big")
    encoded[8:10], encoded[42:74] = bytes([reserved] * 2), bytes([reserved] * 32)
    return bytes(encoded)


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other end closes before long; what it sends first is read."""
    connection.settimeout(120)
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return True
