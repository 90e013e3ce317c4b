"""What peers.mended relies on in pynetdicom beyond its public interface, and that nobody else does.

Pinned with pynetdicom itself: a new version has to pass this before anything else is looked at.
"""

import importlib
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
from relais.peers import mended

ROOT = Path(relais.__file__).parent
PRIVATE = re.compile(r"(?<!\w)_[a-z]\w*")


def modules() -> list[str]:
    """Those that may know pynetdicom, but for the one that may know it well."""
    paths = sorted(path for room in ("dimse", "peers") for path in (ROOT / room).rglob("*.py"))
    names = [".".join(("relais", *path.relative_to(ROOT).with_suffix("").parts)) for path in paths]
    return [name for name in names if name != mended.__name__]


def private_names(cls: type) -> set[str]:
    """The private names that *cls* has of pynetdicom, its attributes included."""
    theirs = [base for base in cls.__mro__ if base.__module__.startswith("pynetdicom")]
    return {name for base in theirs for name in PRIVATE.findall(inspect.getsource(base))}


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


@pytest.mark.parametrize("name", modules())
def test_nothing_private_is_used_elsewhere(name: str) -> None:
    """Not of another object, not by import, and not in what derives from pynetdicom's classes."""
    module = importlib.import_module(name)
    source = inspect.getsource(module)
    assert not re.findall(r"(?<!\bself)\.(_[a-z]\w*)", source)
    assert not re.findall(r"from pynetdicom\S* import .*(\b_\w+)", source)
    for cls in (one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == name):
        assert not set(PRIVATE.findall(inspect.getsource(cls))) & private_names(cls)


def test_what_is_private_is_known_when_it_is_seen() -> None:
    assert {"_kill_thread", "_decode_pdu", "_recv_pdu"} <= private_names(mended.DrivenProvider)
    assert {"_sent_abort", "_accepted_cx", "_serve_request"} <= private_names(mended.ServedAssociation)
