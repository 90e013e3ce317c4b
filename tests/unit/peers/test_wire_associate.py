"""A-ASSOCIATE PDUs: what pynetdicom encodes is read, what is encoded here pynetdicom reads, and malformed ones fail."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, A_RELEASE_RP
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext

from fixtures import upper_layer as ul
from relais.peers.wire import associate
from relais.peers.wire.associate import Answer, Identity, Proposed, decode

HEADER = 6
TITLES = st.text("ABCXYZ019_- ", min_size=1, max_size=16).map(str.strip).filter(bool)
UIDS = st.from_regex(r"\A1\.[1-9][0-9]{0,4}(\.[1-9][0-9]{0,8}){0,6}\Z")
ROLES = st.dictionaries(UIDS, st.tuples(st.booleans(), st.booleans()).filter(any), max_size=4)
EXTENDED = st.dictionaries(UIDS, st.binary(min_size=1, max_size=8), max_size=4)
CONTEXTS = st.lists(st.tuples(UIDS, st.lists(UIDS, min_size=1, max_size=4, unique=True)), min_size=1, max_size=6)
IDENTITIES = st.one_of(
    st.none(), st.tuples(st.sampled_from([1, 2, 5]), st.booleans(), st.binary(min_size=1, max_size=20))
)


@given(TITLES, TITLES, CONTEXTS, st.integers(0, 2**32 - 1), ROLES, EXTENDED, IDENTITIES)
def test_a_request_of_pynetdicom_is_read(
    called: str,
    calling: str,
    contexts: list[tuple[str, list[str]]],
    max_length: int,
    roles: dict[str, tuple[bool, bool]],
    extended: dict[str, bytes],
    identity: tuple[int, bool, bytes] | None,
) -> None:
    """PS3.8 9.3.2"""
    asked = A_ASSOCIATE()
    asked.application_context_name = associate.APPLICATION_CONTEXT
    asked.called_ae_title, asked.calling_ae_title = called, calling
    asked.presentation_context_definition_list = [_context(2 * at + 1, *one) for at, one in enumerate(contexts)]
    asked.user_information = [*_user(max_length, roles, extended), *_identity(identity)]
    encoded = A_ASSOCIATE_RQ(asked).encode()
    assert associate.familiar(encoded[HEADER:]) == encoded
    read = decode(encoded[HEADER:])
    assert (read.version, read.called_ae_title, read.calling_ae_title) == (1, called, calling)
    proposal = read.proposal
    assert proposal.application_context == associate.APPLICATION_CONTEXT
    assert list(proposal.contexts) == [Proposed(2 * at + 1, uid, tuple(ts)) for at, (uid, ts) in enumerate(contexts)]
    assert (proposal.max_length, proposal.roles, proposal.extended) == (max_length, roles, extended)
    assert proposal.identity == (identity and Identity(*identity))


@given(CONTEXTS, st.integers(0, 2**32 - 1), ROLES, EXTENDED, st.booleans(), st.data())
def test_an_acceptance_is_read_by_pynetdicom(
    contexts: list[tuple[str, list[str]]],
    max_length: int,
    roles: dict[str, tuple[bool, bool]],
    extended: dict[str, bytes],
    confirms_user: bool,
    data: st.DataObject,
) -> None:
    """PS3.8 9.3.3"""
    results = data.draw(st.lists(st.sampled_from([0, 1, 3, 4]), min_size=len(contexts), max_size=len(contexts)))
    answers = [
        Answer(2 * at + 1, uid, tuple(syntaxes[:1]), result)
        for at, ((uid, syntaxes), result) in enumerate(zip(contexts, results, strict=True))
    ]
    items = associate.accepting_items(answers, max_length, roles, extended, confirms_user=confirms_user)
    encoded = associate.acceptance(decode(ul.associate_rq(called="THERE", calling="HERE")[HEADER:]), items)
    read = A_ASSOCIATE_AC()
    read.decode(encoded)
    assert encoded == read.encode()
    told = read.to_primitive()
    assert (told.called_ae_title, told.calling_ae_title) == ("THERE", "HERE")
    assert [(one.context_id, one.result) for one in told.presentation_context_definition_results_list] == [
        (one.context_id, one.result) for one in answers
    ]
    chosen = [one.transfer_syntax for one in told.presentation_context_definition_results_list if one.result == 0]
    assert chosen == [list(one.transfer_syntax) for one in answers if one.result == 0]
    user: dict[type, list[Any]] = {}
    for one in told.user_information:
        user.setdefault(type(one), []).append(one)
    assert user[MaximumLengthNotification][0].maximum_length_received == max_length
    assert {
        one.sop_class_uid: (one.scu_role, one.scp_role) for one in user.get(SCP_SCU_RoleSelectionNegotiation, [])
    } == roles
    found = {
        one.sop_class_uid: one.service_class_application_information
        for one in user.get(SOPClassExtendedNegotiation, [])
    }
    assert found == extended
    assert (UserIdentityNegotiation in user) is confirms_user


def test_the_short_pdus_are_those_of_pynetdicom() -> None:
    """PS3.8 9.3.4, 9.3.7, 9.3.8"""
    rejected = A_ASSOCIATE_RJ()
    rejected.result, rejected.source, rejected.reason_diagnostic = 1, 1, 7
    aborted = A_ABORT_RQ()
    aborted.source, aborted.reason_diagnostic = 2, 6
    assert associate.rejection(1, 1, 7) == rejected.encode()
    assert associate.abort(2, 6) == aborted.encode()
    assert A_RELEASE_RP().encode() == associate.RELEASE_RP


def test_what_is_unknown_is_skipped() -> None:
    """PS3.8 9.3.1"""
    known = ul.associate_rq()[HEADER:]
    read = decode(known + ul.item(0x77, b"what is this?"))
    assert read.proposal.contexts == decode(known).proposal.contexts
    user = ul.item(0x50, ul.item(0x51, bytes((0, 0, 64, 0))) + ul.item(0x5F, b"and this?"))
    assert decode(known + user).proposal.max_length == 16384


def test_a_padded_uid_is_the_uid() -> None:
    encoded = ul.associate_rq([(ul.VERIFICATION + "\0", [ul.EXPLICIT_VR_LITTLE_ENDIAN + "\0"])])
    [context] = decode(encoded[HEADER:]).proposal.contexts
    assert (context.abstract_syntax, context.transfer_syntaxes) == (ul.VERIFICATION, (ul.EXPLICIT_VR_LITTLE_ENDIAN,))


@pytest.mark.parametrize("title", ["", "A\\B", "A\tB", "\xc4"], ids=repr)
def test_what_is_no_ae_title_is_read_as_none(title: str) -> None:
    """PS3.8 9.3.2, PS3.5 6.2"""
    good = ul.associate_rq(called="B")[HEADER:]
    read = decode(good[:4] + title.ljust(16).encode("latin-1") + good[20:])
    assert (read.called_ae_title, read.calling_ae_title) == ("", "LIGHT")


@pytest.mark.parametrize("padding", [b" ", b"\0", b" \0"], ids=repr)
def test_an_ae_title_may_be_padded_with_nulls(padding: bytes) -> None:
    good = ul.associate_rq()[HEADER:]
    padded = (b" CT 1" + padding * 11)[:16]
    assert decode(good[:20] + padded + good[36:]).calling_ae_title == "CT 1"


@given(st.integers(0, 400), st.binary(max_size=40))
def test_whatever_is_cut_off_or_spoiled_is_read_or_a_value_error(at: int, spoilt: bytes) -> None:
    good = ul.associate_rq()[HEADER:]
    for bad in (good[:at], good[:at] + spoilt + good[at + len(spoilt) :], good[:at] + spoilt):
        try:
            assert all(context.context_id % 2 for context in decode(bad).proposal.contexts)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "user",
    [
        ul.item(0x51, b"\0\0\1"),
        ul.item(0x54, b"\0"),
        ul.item(0x54, b"\0\3" + b"1.2" + b"\1"),
        ul.item(0x56, b"\0\x09" + b"1.2"),
        ul.item(0x58, b"\1\0\0"),
        ul.item(0x58, b"\1\0\0\x09rosa"),
        b"\x51\0\0",
    ],
    ids=["length", "role without UID", "role cut off", "extended", "identity", "name", "item"],
)
def test_user_information_whose_lengths_do_not_fit_is_refused(user: bytes) -> None:
    with pytest.raises(ValueError, match=r"fit|cut off"):
        decode(ul.associate_rq()[HEADER:] + ul.item(0x50, user))


def test_an_even_presentation_context_id_is_refused() -> None:
    """PS3.8 9.3.2.2"""
    with pytest.raises(ValueError, match="context ID"):
        decode(ul.associate_rq()[HEADER:] + ul.item(0x20, bytes((2, 0, 0, 0)) + ul.item(0x30, b"1.2")))


def test_a_proposal_is_remembered_but_not_one_with_a_name_in_it() -> None:
    plain = ul.associate_rq([("1.2.3.4.5", ["1.2"])])[HEADER:]
    named = plain + ul.item(0x50, ul.item(0x58, b"\1\1\0\4rosa\0\0"))
    assert decode(plain).proposal is decode(plain).proposal
    assert decode(named).proposal is not decode(named).proposal


def test_what_is_remembered_is_bounded() -> None:
    memory: associate.Remembered[int] = associate.Remembered()
    for number in range(3 * associate.REMEMBERED):
        memory.keep(b"%d" % number, number)
        assert memory.get(b"%d" % number) == number
    memory.keep(bytes(associate.REMEMBERED_BYTES + 1), 1)
    assert memory.get(bytes(associate.REMEMBERED_BYTES + 1)) is None
    assert sum(memory.get(b"%d" % number) is not None for number in range(3 * associate.REMEMBERED)) <= 32


def _context(context_id: int, uid: str, syntaxes: list[str]) -> PresentationContext:
    context = PresentationContext()
    context.context_id, context.abstract_syntax, context.transfer_syntax = context_id, uid, syntaxes
    return context


def _user(max_length: int, roles: dict[str, tuple[bool, bool]], extended: dict[str, bytes]) -> list[Any]:
    length, implementation, name = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received, implementation.implementation_class_uid = max_length, "1.2.3"
    name.implementation_version_name = "SOMEBODY"
    window, common = AsynchronousOperationsWindowNegotiation(), SOPClassCommonExtendedNegotiation()
    window.maximum_number_operations_invoked = 3
    common.sop_class_uid, common.service_class_uid = "1.2.4", "1.2.5"
    made: list[Any] = [length, implementation, name, window, common]
    for uid, both in roles.items():
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, (role.scu_role, role.scp_role) = uid, both
        made.append(role)
    for uid, info in extended.items():
        extension = SOPClassExtendedNegotiation()
        extension.sop_class_uid, extension.service_class_application_information = uid, info
        made.append(extension)
    return made


def _identity(identity: tuple[int, bool, bytes] | None) -> list[UserIdentityNegotiation]:
    if identity is None:
        return []
    made = UserIdentityNegotiation()
    made.user_identity_type, made.positive_response_requested, made.primary_field = identity
    if made.user_identity_type == 2:
        made.secondary_field = b"passcode"
    return [made]
