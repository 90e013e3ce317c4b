"""The release decision: who is known, from where, and what for."""

from ipaddress import ip_network

import pytest

from relais.access.policy import Action, Mode, Policy
from relais.access.principals import OPERATOR, Principal, Protocol
from relais.dicom.refs import StudyRef
from relais.errors import Forbidden, NotFound

ENFORCED = Policy(
    Mode.ENFORCED,
    {"CT1": frozenset({Action.STORE}), "VIEWER": frozenset({Action.SEARCH, Action.RETRIEVE}), "MALLORY": frozenset()},
    {"CT1": [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]},
)


def caller(name: str, address: str = "10.9.9.9") -> Principal:
    return Principal(Protocol.DIMSE, name, address)


@pytest.mark.parametrize(
    ("address", "is_known"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("fd00::1", True), ("10.2.0.1", False), ("", False), ("x", False)],
)
def test_a_peer_with_networks_is_known_only_there(address: str, is_known: bool) -> None:
    assert ENFORCED.knows(caller("CT1", address)) is is_known
    assert ENFORCED.allows(caller("CT1", address), Action.STORE) is is_known


def test_a_peer_without_networks_is_known_everywhere() -> None:
    assert ENFORCED.allows(caller("VIEWER"), Action.RETRIEVE)
    assert not ENFORCED.allows(caller("VIEWER"), Action.STORE)


def test_who_may_store_may_ask_for_commitment() -> None:
    assert ENFORCED.allows(caller("CT1", "10.1.0.1"), Action.COMMIT)
    assert not ENFORCED.allows(caller("VIEWER"), Action.COMMIT)


@pytest.mark.parametrize("principal", [caller("MALLORY"), caller("NOBODY"), Principal(Protocol.WEB, "VIEWER")])
def test_mallory_and_strangers_may_nothing(principal: Principal) -> None:
    assert not any(ENFORCED.allows(principal, action) for action in Action)
    with pytest.raises(NotFound):
        ENFORCED.decide(principal, Action.RETRIEVE, StudyRef("1.2.3"))
    with pytest.raises(Forbidden):
        ENFORCED.decide(principal, Action.STORE)


def test_the_operator_and_an_open_node_need_no_peers() -> None:
    assert ENFORCED.knows(OPERATOR)
    assert all(ENFORCED.allows(OPERATOR, action) for action in Action)
    assert Policy().knows(caller("NOBODY"))
