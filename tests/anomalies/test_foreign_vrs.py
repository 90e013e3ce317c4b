"""Attributes that come with the VR of something else: kept, and no harm to who searches for others."""

import struct
from collections.abc import Iterator
from io import BytesIO

import pytest
from pydicom import DataElement, Dataset
from pydicom.filereader import read_dataset
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.dsutils import encode

from fixtures.builders import a_ct
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.pynetdicom_scu import STUDY_ROOT, scu, store_bytes

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CT, FIND = "1.2.840.10008.5.1.4.1.1.2", f"{STUDY_ROOT}.1"
KEPT = ("SOPClassUID", "SOPInstanceUID", "PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID")
LONG_VRS = {b"SQ", b"OB", b"UN"}


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    length = struct.pack("<2xI" if vr in LONG_VRS else "<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + length + value


AN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 12) + element(0x00080050, b"SH", b"12  ")
NAME_AS_ITEM = element(0x00100010, b"SQ", AN_ITEM)
REQUESTS = [
    element(0x00400275, b"LO", b"abcd"),
    element(0x00400275, b"US", b"\x01\0\x02\0"),
    element(0x00400275, b"PN", b"A^B "),
    element(0x00400275, b"OB", b"\0\xff"),
]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("vrs") / "node") as node:
        yield node


def store(node: DimseNode, *strange: bytes) -> Dataset:
    """A CT without pixels that has those elements, too, or instead of its own."""
    ct = a_ct()
    pieces = {one: struct.unpack("<HH", one[:4]) for one in strange}
    taken = {(group << 16) + number for group, number in pieces.values()}
    for keyword in KEPT:
        one = ct[keyword]
        if int(one.tag) not in taken:
            pieces[encode(_of(one), False, True) or b""] = divmod(int(one.tag), 0x10000)
    with scu(node.port, [(CT, [EXPLICIT])]) as assoc:
        data = b"".join(sorted(pieces, key=lambda piece: pieces[piece]))
        status = store_bytes(assoc, data, sop_class_uid=CT, sop_instance_uid=ct.SOPInstanceUID)
    assert status.Status == 0, status
    return ct


def _of(one: DataElement) -> Dataset:
    alone = Dataset()
    alone.add(one)
    return alone


def ask(assoc: Association, **keys: object) -> tuple[int | None, list[Dataset]]:
    """C-FIND in the syntax of *assoc*: how it ends, and what is answered."""
    asked = Dataset()
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    [context] = assoc.accepted_contexts
    is_implicit = context.transfer_syntax[0] == IMPLICIT
    request = C_FIND()
    request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 0, FIND  # type: ignore[assignment]
    request.Identifier = BytesIO(encode(asked, is_implicit, True) or b"")
    assoc.dimse.send_msg(request, context.context_id or 0)
    answers = []
    while True:
        _, response = assoc.dimse.get_msg(block=True)
        assert isinstance(response, C_FIND)
        if response.Status not in {0xFF00, 0xFF01}:
            return response.Status, answers
        assert response.Identifier
        answers.append(read_dataset(BytesIO(response.Identifier.getvalue()), is_implicit, True))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_one_name_that_came_as_a_sequence_fails_no_search_for_names(node: DimseNode, syntax: str) -> None:
    """PS3.4 C.2.2.2.6 is about sequences, and a name is asked for here."""
    strange, plain = store(node, NAME_AS_ITEM), store(node)
    with scu(node.port, [(FIND, [syntax])]) as assoc:
        status, answers = ask(assoc, QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientName="*")
    assert status == 0
    found = {answer.StudyInstanceUID: answer for answer in answers}
    assert found[plain.StudyInstanceUID].PatientName == plain.PatientName
    if syntax == IMPLICIT:  # which cannot say that this name is none
        assert found[strange.StudyInstanceUID].PatientName == ""


@pytest.mark.parametrize("requests", REQUESTS, ids=["LO", "US", "PN", "OB"])
def test_an_instance_whose_requests_are_no_sequence_is_kept_and_found(node: DimseNode, requests: bytes) -> None:
    stored, item = store(node, requests), Dataset()
    item.RequestedProcedureID = ""
    keys = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": stored.StudyInstanceUID, "SeriesInstanceUID": ""}
    for syntax in (EXPLICIT, IMPLICIT):
        with scu(node.port, [(FIND, [syntax])]) as assoc:
            status, [answer] = ask(assoc, **keys, RequestAttributesSequence=[item])
            assert (status, answer.SeriesInstanceUID) == (0, stored.SeriesInstanceUID)
            item.RequestedProcedureID = "R1"
            assert ask(assoc, **keys, RequestAttributesSequence=[item]) == (0, [])
            item.RequestedProcedureID = ""


def test_in_implicit_vr_numbers_are_answered_as_those_that_they_are(node: DimseNode) -> None:
    """PS3.5 A.1: who reads them takes the VR of PS3.6."""
    stored = store(
        node,
        element(0x00200011, b"US", struct.pack("<H", 3)),
        element(0x00200013, b"US", struct.pack("<H", 7)),
        element(0x00280010, b"IS", b"256 "),
        element(0x00280011, b"LO", b"many"),
    )
    keys = {"StudyInstanceUID": stored.StudyInstanceUID, "SeriesInstanceUID": stored.SeriesInstanceUID}
    with scu(node.port, [(FIND, [IMPLICIT])]) as assoc:
        _, [series] = ask(assoc, QueryRetrieveLevel="SERIES", **keys, SeriesNumber="")
        _, [image] = ask(assoc, QueryRetrieveLevel="IMAGE", **keys, InstanceNumber="", Rows=None, Columns=None)
    assert (series.SeriesNumber, image.InstanceNumber, image.Rows, image.Columns) == (3, 7, 256, None)
