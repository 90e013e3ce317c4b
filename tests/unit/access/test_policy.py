"""The release decision: who is known, from where, and what for."""

from ipaddress import ip_network

import pytest

from relais.access.policy import Action, Mode, Policy, Rule
from relais.access.principals import OPERATOR, Principal, Protocol
from relais.dicom.refs import StudyRef
from relais.errors import Forbidden, NotFound

ENFORCED = Policy(
    Mode.ENFORCED,
    {
        "CT1": Rule(frozenset({Action.STORE}), [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]),
        "VIEWER": Rule(frozenset({Action.SEARCH, Action.RETRIEVE})),
        "MALLORY": Rule(),
    },
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


def test_a_certificate_must_prove_all_that_one_rule_lists() -> None:
    wanted = [frozenset({"CN=CT1", "O=Nord"}), frozenset({"sha256:12"})]
    policy = Policy(Mode.ENFORCED, {"CT1": Rule(frozenset({Action.STORE}), certificates=wanted)})

    def knows(*proofs: str) -> bool:
        return policy.knows(Principal(Protocol.DIMSE, "CT1", proofs=frozenset(proofs)))

    assert knows("CN=CT1", "O=Nord", "C=FR", "sha256:99")
    assert knows("sha256:12")
    assert not any((knows(), knows("CN=CT1"), knows("O=Nord", "CN=CT2")))


def test_a_move_goes_where_the_rule_says() -> None:
    may = frozenset({Action.MOVE})
    rules = {"WARD": Rule(may, move_to=frozenset({"NEAR"})), "ALL": Rule(may), "NONE": Rule()}
    policy = Policy(Mode.ENFORCED, rules)
    allowed = {(who, to) for who in rules for to in ("NEAR", "FAR") if policy.allows_move(caller(who), to)}
    assert allowed == {("WARD", "NEAR"), ("ALL", "NEAR"), ("ALL", "FAR")}
    assert not policy.allows_move(caller("NOBODY"), "NEAR")
    assert policy.allows_move(OPERATOR, "FAR")
    assert Policy().allows_move(caller("NOBODY"), "FAR")


def test_users_of_the_web_have_rules_of_their_own() -> None:
    policy = Policy(Mode.ENFORCED, users={"rosa": Rule(frozenset({Action.SEARCH}))})
    assert policy.allows(Principal(Protocol.WEB, "rosa"), Action.SEARCH)
    assert not policy.allows(caller("rosa"), Action.SEARCH)
    assert not policy.knows(Principal(Protocol.WEB))


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


@pytest.mark.parametrize("mode", list(Mode))
def test_nobody_but_the_operator_deletes_unless_deleting_is_on(mode: Mode) -> None:
    users = {"rosa": Rule(frozenset({Action.DELETE})), "tomas": Rule(frozenset({Action.RETRIEVE}))}
    rosa, tomas = (Principal(Protocol.WEB, name) for name in users)
    for deletes in (False, True):
        policy = Policy(mode, users=users, deletes=deletes)
        assert policy.allows(OPERATOR, Action.DELETE)
        assert policy.allows(rosa, Action.DELETE) is deletes
        assert policy.allows(tomas, Action.DELETE) is (deletes and mode is Mode.OPEN_LOOPBACK)
        assert policy.allows(rosa, Action.STORE) is (mode is Mode.OPEN_LOOPBACK)
    with pytest.raises(Forbidden, match=r"\[access\] delete is off"):
        Policy(mode, users=users).decide(rosa, Action.DELETE)
