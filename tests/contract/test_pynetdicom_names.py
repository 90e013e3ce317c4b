"""What relais.dimse.engine and relais.peers.mended rely on in pynetdicom beyond its public interface.

Pinned with pynetdicom itself: a new version has to pass this before anything else is looked at.
"""

import inspect
import re
from pathlib import Path

import pynetdicom
import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.transport import AssociationSocket, RequestHandler

import relais

ROOT = Path(relais.__file__).parent
OVERRIDDEN = {"_create_association", "_decode_pdu", "_process_recv_primitive", "_serve_request", "_shutdown_socket"}
USED = {
    "relais.dimse.engine": {"_accepted_cx", "_create_association", "_idle_timer", "_serve_request", "_server"},
    "relais.peers.mended": {"_config", "_decode_pdu", "_process_recv_primitive", "_shutdown_socket"},
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


def test_the_states_and_events_that_we_name_are_its_own() -> None:
    """PS3.8 table 9-10"""
    assert {state for event, state in TRANSITION_TABLE if event == "Evt9"} >= {"Sta6", "Sta8"}
    assert TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"
    assert TRANSITION_TABLE["Evt17", "Sta13"] == "AR-5"


@pytest.mark.parametrize("path", sorted(p for room in ("dimse", "peers") for p in (ROOT / room).glob("*.py")), ids=str)
def test_nothing_private_is_used_elsewhere(path: Path) -> None:
    module = ".".join(("relais", *path.relative_to(ROOT).with_suffix("").parts))
    source = path.read_text()
    of_others = set(re.findall(r"(?<!\bself)\.(_[a-z]\w*)", source))
    overridden = set(re.findall(r"def (_[a-z]\w*)", source)) & OVERRIDDEN
    imported = set(re.findall(r"from pynetdicom\S* import .*(\b_\w+)", source))
    assert of_others | overridden | imported <= USED.get(module, set())
