"""DIMSE messages on the wire (PS3.7 6.3, PS3.8 E): odd ones are understood, wrong ones end their association only."""

import logging
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA

from fixtures.builders import a_ct, a_series, dataset_bytes, part10, uid
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.pynetdicom_scu import STUDY_ROOT, UNCOMPRESSED, Inbox, scu, storage_scp, store_bytes
from fixtures.waiting import eventually
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin
from relais.peers.settings import PeerSettings

VERIFICATION, CT, MOVE, FIND = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", f"{STUDY_ROOT}.2", f"{STUDY_ROOT}.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
COMMAND, DATA, LAST = 1, 0, 2  # PS3.8 E.2
BOTH = [(VERIFICATION, [IMPLICIT]), (CT, [EXPLICIT])]  # contexts 1 and 3


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node") as node:
        yield node


def send(assoc: Association, *fragments: tuple[int, int, bytes]) -> None:
    """One P-DATA-TF with these PDVs: context ID, message control header, fragment."""
    pdata = P_DATA()
    pdata.presentation_data_value_list.extend(
        (context, bytes([control]) + data) for context, control, data in fragments
    )
    assoc.dul.send_pdu(pdata)


def echo_command(message_id: int = 1) -> bytes:
    request = C_ECHO()
    request.MessageID, request.AffectedSOPClassUID = message_id, UID(VERIFICATION)
    message = C_ECHO_RQ()
    message.primitive_to_message(request)
    return encode(message.command_set, True, True) or b""


def store_command(sop_instance_uid: str, message_id: int = 1) -> bytes:
    request = C_STORE()
    request.MessageID, request.Priority, request.DataSet = message_id, 0, BytesIO()
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(CT), UID(sop_instance_uid)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    return encode(message.command_set, True, True) or b""


def status(assoc: Association) -> int | None:
    """That of the next response; None if the association is gone."""
    _, response = assoc.dimse.get_msg(block=True)
    return None if response is None else response.Status


def test_a_message_in_fragments_of_one_byte_is_understood(node: DimseNode) -> None:
    command = echo_command()
    with scu(node.port, BOTH) as assoc:
        for number in range(len(command)):
            last = LAST if number == len(command) - 1 else 0
            send(assoc, (1, COMMAND | last, command[number : number + 1]))
        assert status(assoc) == 0


def test_elements_of_other_groups_behind_the_command_set_are_passed_over(node: DimseNode) -> None:
    """Seen: Orthanc, with (0008,0000) and (0008,0058) there."""
    foreign = bytes.fromhex("08000000 04000000 0c000000 08005800 04000000 312e3200")
    with scu(node.port, BOTH) as assoc:
        for number in (1, 2):
            send(assoc, (1, COMMAND | LAST, echo_command(number) + foreign))
            assert status(assoc) == 0


def test_command_and_data_set_may_share_a_pdu(node: DimseNode) -> None:
    """PS3.8 E.1"""
    ds = a_ct()
    data, command = dataset_bytes(ds), store_command(ds.SOPInstanceUID)
    with scu(node.port, BOTH) as assoc:
        send(
            assoc,
            (3, COMMAND, command[:40]),
            (3, COMMAND | LAST, command[40:]),
            (3, DATA, data[:101]),
            (3, DATA, b""),
            (3, DATA | LAST, data[101:]),
        )
        assert status(assoc) == 0
    assert node.instances == 1


def test_reserved_bits_of_the_message_control_header_are_ignored(node: DimseNode) -> None:
    """PS3.8 E.2"""
    with scu(node.port, BOTH) as assoc:
        send(assoc, (1, 0xFC | COMMAND | LAST, echo_command()))
        assert status(assoc) == 0


ECHO_RQ = b"\0\0\0\1\2\0\0\0\x30\0"  # the element Command Field (PS3.7 E.1)
WRONG: list[tuple[str, list[tuple[int, int, bytes]]]] = [
    ("a context that was not accepted", [(99, COMMAND | LAST, echo_command())]),
    ("two contexts in one message", [(3, COMMAND | LAST, store_command("1.2.3")), (1, DATA | LAST, b"\0\0")]),
    ("a Data Set without a command", [(3, DATA | LAST, b"\0\0")]),
    ("a command set that is none", [(1, COMMAND | LAST, b"\xff" * 60)]),
    ("an empty command set", [(1, COMMAND | LAST, b"")]),
    (
        "a command that does not exist",
        [(1, COMMAND | LAST, echo_command().replace(ECHO_RQ, b"\0\0\0\1\2\0\0\0\x99\x09"))],
    ),
    ("a command set without end", [(1, COMMAND, bytes(60_000)), (1, COMMAND, bytes(60_000))]),
]


@pytest.mark.parametrize("fragments", [fragments for _, fragments in WRONG], ids=[name for name, _ in WRONG])
def test_a_wrong_message_aborts_its_association_and_nothing_else(
    node: DimseNode, fragments: list[tuple[int, int, bytes]]
) -> None:
    """PS3.8 9.2.3: AA-8"""
    with scu(node.port, BOTH) as other, scu(node.port, BOTH, timeout_s=10) as assoc:
        send(assoc, *fragments)
        assert eventually(assoc.acse.is_aborted)
        assert other.send_c_echo().Status == 0
    assert node.instances == 0
    assert node.kept == []


def test_an_identifier_without_end_aborts(node: DimseNode) -> None:
    with scu(node.port, [(FIND, [EXPLICIT])], timeout_s=10) as assoc:
        request = C_FIND()
        request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 0, UID(FIND)
        request.Identifier = BytesIO()
        assoc.dimse.send_msg(request, 1)
        for _ in range(60):
            send(assoc, (1, DATA, bytes(100_000)))
        assert eventually(assoc.acse.is_aborted)


def test_many_requests_without_waiting_are_more_than_was_negotiated(node: DimseNode) -> None:
    """PS3.7 D.3.3.3: one operation at a time"""
    requests = [(store_command(f"1.2.{number}", number), b"\0\0") for number in range(1, 400)]
    fragments = [
        fragment for command, data in requests for fragment in ((3, COMMAND | LAST, command), (3, DATA | LAST, data))
    ]
    with scu(node.port, BOTH, timeout_s=10) as assoc:
        send(assoc, *fragments)
        assert eventually(assoc.acse.is_aborted)
    assert eventually(lambda: node.kept == [])


def test_a_response_to_nothing_aborts(node: DimseNode) -> None:
    with scu(node.port, BOTH, timeout_s=10) as assoc:
        response = C_ECHO()
        response.MessageIDBeingRespondedTo, response.Status = 7, 0
        assoc.dimse.send_msg(response, 1)
        assert eventually(assoc.acse.is_aborted)


def test_a_peer_that_waited_long_for_us_was_not_silent(tmp_path: Path) -> None:
    """A C-MOVE may take longer than an association may be silent."""
    inbox = Inbox(lambda received: time.sleep(2.5) or 0)  # type: ignore[func-returns-value]
    series = a_series(4, StudyInstanceUID=uid("knee"))
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", uid("knee")
    with storage_scp([(CT, UNCOMPRESSED)], inbox) as port:
        peer = PeerSettings("dest", "DESTINATION", "127.0.0.1", port)
        with dimse_node(tmp_path, [peer], network_timeout_s=8) as node:
            for ds in series:
                store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
            with scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc:
                answers = list(assoc.send_c_move(identifier, "DESTINATION", MOVE))
                time.sleep(0.3)
                assert not assoc.acse.is_aborted()
    assert answers[-1][0].Status == 0


def test_each_association_is_one_line_and_each_refusal_another(
    node: DimseNode, caplog: pytest.LogCaptureFixture
) -> None:
    ds = a_ct()
    with caplog.at_level(logging.INFO, logger="relais"):
        with scu(node.port, [*BOTH, (FIND, UNCOMPRESSED)], calling="MODALITY1") as assoc:
            store_bytes(assoc, dataset_bytes(ds), sop_class_uid=CT, sop_instance_uid=ds.SOPInstanceUID, context_id=3)
            store_bytes(assoc, b"\0\0", sop_class_uid=CT, sop_instance_uid="1.2.3", context_id=3, message_id=2)
            identifier = Dataset()
            identifier.QueryRetrieveLevel, identifier.PatientName = "STUDY", "MOREL*"
            assert len(list(assoc.send_c_find(identifier, FIND))) == 2
        assert eventually(lambda: any("outcome=" in record.getMessage() for record in caplog.records))
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("relais")]
    refusals = [line for line in lines if "status=C000" in line]
    ends = [line for line in lines if "outcome=released" in line]
    assert (len(lines), len(refusals), len(ends)) == (2, 1, 1)
    assert "calling=MODALITY1" in ends[0]
    assert "c_store=2" in ends[0]
    assert "c_find_matches=1" in ends[0]
    assert not any(word in line for line in lines for word in ("MOREL", "100042"))


def test_a_stranger_cannot_write_lines_of_his_own_into_the_log(
    node: DimseNode, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="relais"), scu(node.port, BOTH) as assoc:
        store_bytes(assoc, b"\0\0", sop_class_uid=CT, sop_instance_uid="1\n2 outcome=released", context_id=3)
        assert eventually(lambda: any(ours(caplog)))
    assert all("\n" not in message for message in ours(caplog))


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in list(caplog.records) if record.name.startswith("relais.")]
