"""What dimse.engine, peers.mended and peers.wire.inline rely on in pynetdicom beyond its public interface.

Pinned with pynetdicom itself: a new version has to pass this before anything else is looked at.
"""

import inspect
import re
from pathlib import Path
from socket import socket

import pynetdicom
import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE, StateMachine
from pynetdicom.transport import AssociationSocket, RequestHandler

import relais

ROOT = Path(relais.__file__).parent
OVERRIDDEN = {"_create_association", "_decode_pdu", "_process_recv_primitive", "_serve_request", "_shutdown_socket"}
USED = {
    "relais.dimse.engine": {"_accepted_cx", "_create_association", "_idle_timer", "_serve_request", "_server"},
    "relais.peers.mended": {"_config", "_decode_pdu", "_process_recv_primitive", "_shutdown_socket"},
    "relais.peers.wire.inline": {"_accepted_cx", "_dul_ready", "_shutdown_socket"},
}


def test_it_is_the_version_that_was_read() -> None:
    assert pynetdicom.__version__ == "3.0.4"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (Association, "_serve_request", ["self", "msg", "context_id"]),
        (RequestHandler, "_create_association", ["self"]),
        (AssociationSocket, "_shutdown_socket", ["self"]),
        (AssociationSocket, "recv", ["self", "nr_bytes"]),
        (DULServiceProvider, "_process_recv_primitive", ["self"]),
        (DULServiceProvider, "_decode_pdu", ["self", "bytestream"]),
        (DIMSEMessage, "decode_msg", ["self", "primitive", "assoc"]),
        (Association, "run_reactor", ["self"]),
        (Association, "_abort_blocking", ["self", "block"]),
        (Association, "kill", ["self"]),
        (DULServiceProvider, "start", ["self"]),
        (DULServiceProvider, "is_alive", ["self"]),
        (DULServiceProvider, "stop_dul", ["self"]),
        (DULServiceProvider, "send_pdu", ["self", "primitive"]),
        (DULServiceProvider, "receive_pdu", ["self", "wait", "timeout"]),
        (DIMSEMessage, "primitive_to_message", ["self", "primitive"]),
        (DIMSEMessage, "encode_msg", ["self", "context_id", "max_pdu_length"]),
        (DIMSEServiceProvider, "receive_primitive", ["self", "primitive"]),
        (AssociationSocket, "connect", ["self", "primitive"]),
        (AssociationSocket, "send", ["self", "bytestream"]),
        (AssociationSocket, "close", ["self"]),
        (StateMachine, "do_action", ["self", "event"]),
    ],
)
def test_what_we_override_is_there_and_has_its_parameters(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_what_we_set_and_read_is_there() -> None:
    assoc = Association(AE("RELAIS"), "acceptor")
    assert assoc._accepted_cx == {}
    assert assoc._server is None
    assert assoc.dul._idle_timer.timeout == assoc.network_timeout
    assert assoc.dul.to_provider_queue.empty()
    assert assoc.dimse.cancel_req == {}
    assert assoc.dimse.message is None
    assert not assoc._dul_ready.is_set()
    assert not assoc._kill
    assert not assoc._sent_abort
    assert not assoc.dul._kill_thread
    assert assoc.dul._recv_pdu.empty()
    assert assoc.dul.event_queue.empty()
    assert assoc.dul.to_user_queue.empty()
    with socket() as connected:
        transport = AssociationSocket(assoc, client_socket=connected)
        assert transport._ready.is_set()
        assert transport._is_connected
    assert assoc.dimse.msg_queue.empty()


def test_the_states_and_events_that_we_name_are_its_own() -> None:
    """PS3.8 table 9-10"""
    assert {state for event, state in TRANSITION_TABLE if event == "Evt9"} >= {"Sta6", "Sta8"}
    assert TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"
    assert TRANSITION_TABLE["Evt17", "Sta13"] == "AR-5"
    assert TRANSITION_TABLE["Evt6", "Sta2"] == "AE-6"
    assert ACTIONS["AR-2"][2] == "Sta8"


@pytest.mark.parametrize("path", sorted(p for room in ("dimse", "peers") for p in (ROOT / room).rglob("*.py")), ids=str)
def test_nothing_private_is_used_elsewhere(path: Path) -> None:
    module = ".".join(("relais", *path.relative_to(ROOT).with_suffix("").parts))
    source = path.read_text()
    of_others = set(re.findall(r"(?<!\bself)\.(_[a-z]\w*)", source))
    overridden = set(re.findall(r"def (_[a-z]\w*)", source)) & OVERRIDDEN
    imported = set(re.findall(r"from pynetdicom\S* import .*(\b_\w+)", source))
    assert of_others | overridden | imported <= USED.get(module, set())
