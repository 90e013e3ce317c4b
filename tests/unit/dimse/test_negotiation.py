from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

from fixtures import upper_layer as ul
from relais.dicom import contexts, uids
from relais.dicom.commitment import PUSH_MODEL
from relais.dimse import models
from relais.dimse.negotiation import Negotiator, agreed_roles, answer, extended, service_of, supported
from relais.peers.wire import associate
from relais.peers.wire.associate import Identity, Proposed

FIND, MOVE, CT = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.1.2"
PRIVATE = "1.3.12.2.1107.5.9.1"


def test_every_service_has_its_abstract_syntaxes() -> None:
    made = supported((PRIVATE,))
    ours = {contexts.VERIFICATION, PUSH_MODEL, PRIVATE, *models.sop_classes(), *contexts.STORAGE_SOP_CLASSES}
    assert set(made) == ours
    assert len(models.sop_classes()) == 9


def test_storage_is_taken_in_every_transfer_syntax_and_both_roles() -> None:
    """PS3.7 D.3.3.4"""
    row = supported()[CT]
    assert row.transfer_syntaxes == contexts.TRANSFER_SYNTAXES
    assert row.as_scu


def test_queries_are_taken_uncompressed_and_in_no_other_role() -> None:
    row = supported()[FIND]
    assert not set(row.transfer_syntaxes) & {uid for uid in contexts.TRANSFER_SYNTAXES if ".4." in uid}
    assert not row.as_scu


@pytest.mark.parametrize(
    ("uid", "service"),
    [(contexts.VERIFICATION, "C-ECHO"), (FIND, "C-FIND"), (MOVE, "C-MOVE"), (CT, "C-STORE"), (PRIVATE, "C-STORE")],
)
def test_an_abstract_syntax_stands_for_a_service(uid: str, service: str) -> None:
    assert service_of(uid) == service


@pytest.mark.parametrize(
    ("proposed", "answer"),
    [
        ({FIND: b"\1\1\1\1\1"}, {FIND: b"\1\1\1\1\0"}),
        ({FIND: b"\0\0\0\0\1\1\1\1"}, {FIND: b"\0\0\0\0\0\1\1\0"}),
        ({FIND: b"\0\1"}, {FIND: b"\0\1"}),
        ({FIND: b"\1"}, {FIND: b"\1"}),
        ({MOVE: b"\1\1"}, {MOVE: b"\1\0"}),
        ({FIND: b""}, {FIND: b""}),
        ({FIND: b"\2\xff\1"}, {FIND: b"\0\0\1"}),
        ({CT: b"\2\1"}, {}),
        ({"1.2.3": b"\1"}, {}),
    ],
)
def test_what_both_can_do_is_agreed(proposed: dict[str, bytes], answer: dict[str, bytes]) -> None:
    """PS3.7 D.3.3.5, PS3.4 C.5"""
    assert extended(proposed) == answer


# Against pynetdicom's own negotiation

UIDS = [contexts.VERIFICATION, FIND, CT, PUSH_MODEL, "1.2.3"]
SYNTAXES = [uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.4.70", "1.2.9"]


@given(
    proposed=st.lists(
        st.tuples(st.sampled_from(UIDS), st.lists(st.sampled_from(SYNTAXES), min_size=1, max_size=4)), max_size=8
    ),
    roles=st.dictionaries(st.sampled_from(UIDS), st.tuples(st.booleans(), st.booleans())),
)
def test_every_context_gets_the_answer_that_pynetdicom_gives(
    proposed: list[tuple[str, list[str]]], roles: dict[str, tuple[bool, bool]]
) -> None:
    """PS3.8 9.3.3.2, PS3.7 D.3.3.4"""
    theirs, items = negotiate_as_acceptor(
        [_theirs(number, *one) for number, one in enumerate(proposed)],
        [_ours(row) for row in supported().values()],
        roles,
    )
    ours = supported()
    asked = [Proposed(2 * number + 1, uid, tuple(syntaxes)) for number, (uid, syntaxes) in enumerate(proposed)]
    answers = [answer(one, ours.get(one.abstract_syntax), roles) for one in asked]
    assert [(one.context_id, one.abstract_syntax, one.result) for one in answers] == [
        (one.context_id, one.abstract_syntax, one.result) for one in theirs
    ]
    accepted = [one for one in answers if one.result == 0]
    assert [(one.transfer_syntax, one.as_scu, one.as_scp) for one in accepted] == [
        (tuple(one.transfer_syntax), one.as_scu, one.as_scp) for one in theirs if one.result == 0
    ]
    assert agreed_roles(accepted, ours, roles) == {one.sop_class_uid: (one.scu_role, one.scp_role) for one in items}


def _theirs(number: int, uid: str, syntaxes: list[str]) -> PresentationContext:
    context = PresentationContext()
    context.context_id, context.abstract_syntax, context.transfer_syntax = 2 * number + 1, uid, syntaxes
    return context


def _ours(row: contexts.Supported) -> PresentationContext:
    context = build_context(row.abstract_syntax, list(row.transfer_syntaxes))
    if row.as_scu:
        context.scu_role = context.scp_role = True
    return context


def test_the_same_proposal_is_negotiated_once_and_one_with_a_name_in_it_each_time() -> None:
    negotiator = Negotiator()
    proposal = associate.decode(ul.associate_rq([(CT, SYNTAXES[:1])])[6:]).proposal
    assert negotiator.terms(proposal) is negotiator.terms(proposal)
    named = replace(proposal, identity=Identity(1, wants_response=True, primary=b"rosa"))
    named = replace(named, encoded=b"another")
    assert negotiator.terms(named) is not negotiator.terms(named)
    assert negotiator.terms(named).confirms_user


def test_a_context_without_any_transfer_syntax_is_refused() -> None:
    refused = answer(Proposed(1, CT, ()), supported()[CT], {})
    assert (refused.result, len(refused.transfer_syntax)) == (4, 1)
