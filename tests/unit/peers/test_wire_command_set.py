"""Command sets against pynetdicom's own encoder and decoder."""

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.pdu_primitives import P_DATA

from relais.peers import mended
from relais.peers.wire import command_set as cs
from relais.peers.wire import primitives

mended.settle()

uids = st.from_regex(r"[1-9][0-9]{0,8}(\.[1-9][0-9]{0,8}){1,6}", fullmatch=True).map(UID)
numbers = st.integers(0, 0xFFFF)
ae_titles = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=16)
comments = st.text("abcdefgh XYZ.,:'", min_size=1, max_size=64).map(str.strip).filter(bool)
optional_comments = st.none() | comments


def made(service: type[Any], **values: Any) -> Any:
    primitive = service()
    for keyword, value in values.items():
        setattr(primitive, keyword, value)
    return primitive


requests = st.one_of(
    st.builds(
        made,
        st.just(C_STORE),
        MessageID=numbers,
        Priority=st.integers(0, 2),
        AffectedSOPClassUID=uids,
        AffectedSOPInstanceUID=uids,
        MoveOriginatorApplicationEntityTitle=st.none() | ae_titles,
        MoveOriginatorMessageID=st.none() | numbers,
        DataSet=st.binary(max_size=40).map(BytesIO),
    ),
    st.builds(
        made,
        st.sampled_from([C_FIND, C_GET]),
        MessageID=numbers,
        Priority=st.integers(0, 2),
        AffectedSOPClassUID=uids,
        Identifier=st.binary(max_size=40).map(BytesIO),
    ),
    st.builds(
        made,
        st.just(C_MOVE),
        MessageID=numbers,
        Priority=st.integers(0, 2),
        AffectedSOPClassUID=uids,
        MoveDestination=ae_titles,
        Identifier=st.binary(max_size=40).map(BytesIO),
    ),
    st.builds(made, st.just(C_ECHO), MessageID=numbers, AffectedSOPClassUID=uids),
    st.builds(made, st.just(C_CANCEL), MessageIDBeingRespondedTo=numbers),
)
statuses = st.sampled_from([0x0000, 0x0122, 0xA700, 0xA900, 0xB000, 0xC000, 0xFE00, 0xFF00, 0xFF01])
counters = st.none() | numbers
responses = st.one_of(
    st.builds(
        made,
        st.just(C_STORE),
        MessageIDBeingRespondedTo=numbers,
        Status=statuses,
        AffectedSOPClassUID=st.none() | uids,
        AffectedSOPInstanceUID=st.none() | uids,
        ErrorComment=optional_comments,
        OffendingElement=st.none() | st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=3),
    ),
    st.builds(
        made,
        st.just(C_FIND),
        MessageIDBeingRespondedTo=numbers,
        Status=statuses,
        AffectedSOPClassUID=st.none() | uids,
        ErrorComment=optional_comments,
        Identifier=st.none() | st.binary(max_size=40).map(BytesIO),
    ),
    st.builds(
        made,
        st.sampled_from([C_GET, C_MOVE]),
        MessageIDBeingRespondedTo=numbers,
        Status=statuses,
        AffectedSOPClassUID=st.none() | uids,
        ErrorComment=optional_comments,
        NumberOfRemainingSuboperations=counters,
        NumberOfCompletedSuboperations=counters,
        NumberOfFailedSuboperations=counters,
        NumberOfWarningSuboperations=counters,
        Identifier=st.none() | st.binary(max_size=40).map(BytesIO),
    ),
    st.builds(
        made, st.just(C_ECHO), MessageIDBeingRespondedTo=numbers, Status=statuses, AffectedSOPClassUID=st.none() | uids
    ),
)


class Recorder:
    """What pynetdicom would hand to its network thread."""

    is_requestor = True
    _handlers: dict[Any, Any] = {}  # noqa: RUF012 - as pynetdicom has it

    def __init__(self) -> None:
        self.fragments: list[bytes] = []
        self.acceptor = self.dul = self
        self.maximum_length = 0

    def get_handlers(self, event: Any) -> list[Any]:
        return []

    def send_pdu(self, pdata: P_DATA) -> None:
        self.fragments += [fragment for _, fragment in pdata.presentation_data_value_list]


def encoded_by_pynetdicom(primitive: Any) -> tuple[bytes, bytes | None]:
    recorder = Recorder()
    DIMSEServiceProvider(recorder).send_msg(primitive, 1)  # type: ignore[arg-type]
    command, *data = recorder.fragments
    return command[1:], data[0][1:] if data else None


def decoded_by_pynetdicom(command: bytes, data: bytes | None) -> Any:
    pdata = P_DATA()
    pdata.presentation_data_value_list.append((1, b"\3" + command))
    if data is not None:
        pdata.presentation_data_value_list.append((1, b"\2" + data))
    message = DIMSEMessage()
    message.decode_msg(pdata)
    return message.message_to_primitive()


def fields(primitive: Any) -> dict[str, Any]:
    """What a primitive says, its Data Set as bytes."""
    found: dict[str, Any] = {}
    for element, keyword in primitives._KEYWORDS.items():
        value = getattr(primitive, keyword, None)
        if element == cs.OFFENDING_ELEMENT and value is not None:
            value = [int(tag) for tag in (value if isinstance(value, list) or hasattr(value, "append") else [value])]
        found[keyword] = value
    for keyword in ("DataSet", "Identifier"):
        stream = getattr(primitive, keyword, None)
        found[keyword] = stream.getvalue() if stream else b""
    return found


@given(requests | responses)
def test_every_message_is_encoded_as_pynetdicom_does(primitive: Any) -> None:
    """PS3.7 9.3"""
    command, data = primitives.of_primitive(primitive)
    assert (command, data or None) == encoded_by_pynetdicom(primitive)


@given(requests | responses)
def test_every_message_is_decoded_as_pynetdicom_does(primitive: Any) -> None:
    command, data = primitives.of_primitive(primitive)
    ours = primitives.to_primitive(cs.decode(command), data)
    theirs = decoded_by_pynetdicom(command, data)
    assert isinstance(ours, type(theirs))
    assert fields(ours) == fields(theirs) == fields(primitive)


elements = st.dictionaries(st.integers(1, 0xFFFF), st.binary(max_size=20).map(lambda data: data[: len(data) & ~1]))


@given(elements)
def test_unknown_elements_survive(found: dict[int, bytes]) -> None:
    unknown = {element: data for element, data in found.items() if element not in cs._DECODERS}
    encoded = cs.encode(unknown)
    assert cs.decode(encoded) == unknown
    assert cs.encode(cs.decode(encoded)) == encoded


@given(elements)
def test_a_command_set_of_anything_survives_twice(found: dict[int, bytes]) -> None:
    once = cs.decode(cs.encode(found))
    assert cs.decode(cs.encode(once)) == once


@given(st.binary(max_size=200))
def test_bytes_that_are_no_command_set_are_a_value_error_and_nothing_else(data: bytes) -> None:
    try:
        cs.decode(data)
    except ValueError:
        return


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("00000001 02000000 30"),  # shorter than it says
        bytes.fromhex("00000001 ffffffff 3000"),  # longer than anything
        bytes.fromhex("08005800 08000000 312e32"),  # the same in another group
        bytes.fromhex("00000001 0200"),  # no whole header
    ],
)
def test_a_malformed_command_set_is_refused(data: bytes) -> None:
    """PS3.7 6.3.1"""
    with pytest.raises(ValueError, match="command set"):
        cs.decode(data)


def test_elements_of_other_groups_are_no_part_of_a_command_set() -> None:
    """Seen: Orthanc, of a C-GET of which a sub-operation failed: (0008,0000) and (0008,0058) behind the counters."""
    counters = bytes.fromhex("00002310 02000000 0000")
    foreign = bytes.fromhex("08000000 04000000 0c000000 08005800 04000000 312e3200")
    assert cs.decode(counters + foreign) == cs.decode(counters) == {cs.WARNING: 0}
    assert cs.decode(foreign + counters) == {cs.WARNING: 0}
    hidden = bytes.fromhex("09000009 02000000 3412")  # (0009,0900) is no Status
    assert cs.decode(counters + hidden) == {cs.WARNING: 0}


def test_values_that_are_not_what_they_should_be_count_as_missing() -> None:
    odd = bytes.fromhex("00000001 01000000 30  00001001 00000000")
    command = cs.decode(odd)
    assert cs.number(command, cs.COMMAND_FIELD) is None
    assert cs.number(command, cs.MESSAGE_ID) is None
    assert cs.text(command, cs.AFFECTED_SOP_CLASS_UID) is None


def test_of_several_values_the_first_counts() -> None:
    command = cs.decode(bytes.fromhex("00001001 04000000 0700 0800"))
    assert cs.number(command, cs.MESSAGE_ID) == 7
