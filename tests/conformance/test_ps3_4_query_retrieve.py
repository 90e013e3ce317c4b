"""Query/Retrieve (PS3.4 C) over real sockets: C-FIND as DCMTK and pynetdicom see it."""

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_CANCEL_RQ, C_FIND_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_FIND
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA

from fixtures import dcmtk
from fixtures.builders import a_series, part10, uid
from fixtures.cast import MALLORY
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.pynetdicom_scu import STUDY_ROOT, UNCOMPRESSED, find_bytes, scu
from fixtures.queried import FIND, KNEE, LOOP, REPORT, THORAX, seed
from relais.access.policy import Mode, Policy, Rule
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("query") / "node") as node:
        seed(node.archive)
        yield node


def studies(node: DimseNode, into: Path, *keys: str, status: int = 0xFF00) -> set[str]:
    """The study UIDs that findscu gets for *keys*; all pending responses must have *status*."""
    ran, answers = dcmtk.findscu(node.port, ["QueryRetrieveLevel=STUDY", "StudyInstanceUID", *keys], into=into)
    assert ran.code == 0
    assert ran.statuses == [*[status] * len(answers), 0]
    return {answer.StudyInstanceUID for answer in answers}


ALL = {KNEE, THORAX, LOOP, REPORT}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("PatientID=JP-0007", {KNEE}, id="single value"),
        pytest.param("PatientID=jp-0007", set(), id="case counts"),
        pytest.param("PatientID=JP-000", set(), id="no prefix"),
        pytest.param("AccessionNumber=A1", {THORAX}, id="case of a short string"),
        pytest.param("AccessionNumber=A%", set(), id="percent is literal"),
        pytest.param("AccessionNumber=B_2", {KNEE}, id="underscore is literal"),
        pytest.param("AccessionNumber=A_", set(), id="underscore is no wild card"),
        pytest.param("PatientID", ALL, id="universal, empty"),
        pytest.param("PatientID=*", ALL, id="universal, asterisk"),
        pytest.param("AccessionNumber=*", ALL, id="universal also where there is no value"),
        pytest.param("PatientID=*0*0*", {KNEE, LOOP, REPORT, THORAX}, id="wild card"),
        pytest.param("PatientID=JP-000?", {KNEE}, id="wild card of one"),
        pytest.param("PatientName=morel^*", {THORAX}, id="names without case"),
        pytest.param("PatientName=LEFEBVRE*", {REPORT}, id="names without accents"),
        pytest.param("PatientName=SURYA", {LOOP}, id="name of one component"),
        pytest.param("StudyDate=20230105", {KNEE}, id="date"),
        pytest.param("StudyDate=20230101-20240101", {KNEE, LOOP}, id="range, ends included"),
        pytest.param("StudyDate=20240311-", {REPORT}, id="range, open end"),
        pytest.param("StudyDate=-20231231", {KNEE}, id="range, open start"),
        pytest.param("StudyTime=0915-2359", {KNEE, REPORT, THORAX}, id="range of times"),
        pytest.param(f"StudyInstanceUID={KNEE}\\{LOOP}\\1.2.3", {KNEE, LOOP}, id="list of UID"),
        pytest.param("ModalitiesInStudy=SR", {THORAX}, id="modalities"),
        pytest.param("ModalitiesInStudy=US\\SR", {THORAX, LOOP}, id="multiple values"),
        pytest.param('AccessionNumber=""', {LOOP}, id="empty value"),
        pytest.param("StudyDescription=Knie links", {KNEE}, id="optional key"),
    ],
)
def test_matching(node: DimseNode, tmp_path: Path, key: str, expected: set[str]) -> None:
    """PS3.4 C.2.2.2"""
    assert studies(node, tmp_path, key) == expected


def test_several_keys_must_all_match(node: DimseNode, tmp_path: Path) -> None:
    assert studies(node, tmp_path, "ModalitiesInStudy=CT", "StudyDate=20240101-20241231") == {THORAX}


def test_a_sequence_key_matches_within_one_item(node: DimseNode, tmp_path: Path) -> None:
    """PS3.4 C.2.2.2.6"""
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={REPORT}", "SeriesInstanceUID"]
    path = "RequestAttributesSequence[0]"
    for values, count in (
        ([f"{path}.ScheduledProcedureStepID=SPS-7", f"{path}.RequestedProcedureID=RP-7"], 1),
        ([f"{path}.ScheduledProcedureStepID=SPS-7", f"{path}.RequestedProcedureID=RP-8"], 0),
        ([f"{path}.ScheduledProcedureStepID=SPS-?", f"{path}.RequestedProcedureID"], 1),
    ):
        _, answers = dcmtk.findscu(node.port, [*keys, *values], into=tmp_path / values[1][-4:])
        assert len(answers) == count
    items = answers[0].RequestAttributesSequence
    found = {(item.ScheduledProcedureStepID, item.RequestedProcedureID) for item in items}
    assert found == {("SPS-7", "RP-7"), ("SPS-8", "RP-8")}


def test_an_answer_holds_what_was_asked_for_and_where_to_get_it(node: DimseNode, tmp_path: Path) -> None:
    """PS3.4 C.4.1.1.3.2"""
    keys = [
        "PatientName",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "ModalitiesInStudy",
        "StudyID",
    ]
    ran, [answer] = dcmtk.findscu(
        node.port, ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}", *keys], into=tmp_path
    )
    assert ran.statuses == [0xFF00, 0]
    assert answer.QueryRetrieveLevel == "STUDY"
    assert (answer.RetrieveAETitle, answer.InstanceAvailability) == ("RELAIS", "ONLINE")
    assert answer.PatientName == "MOREL^Hélène"
    assert (answer.NumberOfStudyRelatedSeries, answer.NumberOfStudyRelatedInstances) == (2, 4)
    assert sorted(answer.ModalitiesInStudy) == ["CT", "SR"]
    assert answer.StudyID == "1"
    assert "PatientID" not in answer


def test_an_empty_attribute_is_answered_empty(node: DimseNode, tmp_path: Path) -> None:
    """PS3.4 C.2.2.1.2"""
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={REPORT}", "PatientBirthDate"]
    _, [answer] = dcmtk.findscu(node.port, keys, into=tmp_path)
    assert answer.PatientBirthDate == ""


def test_text_beyond_ascii_is_answered_in_utf_8(node: DimseNode, tmp_path: Path) -> None:
    """Client lesson 6: never less than what is stored."""
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={KNEE}", "PatientName"]
    _, [answer] = dcmtk.findscu(node.port, keys, into=tmp_path / "knee")
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert answer.PatientName == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={LOOP}", "PatientName"]
    _, [answer] = dcmtk.findscu(node.port, keys, into=tmp_path / "loop")
    assert "SpecificCharacterSet" not in answer


@pytest.mark.parametrize(
    ("character_set", "codec", "name", "expected"),
    [
        ("ISO_IR 100", "latin_1", "LEFÈBVRE^Zoé", REPORT),
        ("ISO_IR 192", "utf_8", "LEFÈBVRE^Zoé", REPORT),
        ("ISO_IR 192", "utf_8", "*=山田*", KNEE),
        ("GB18030", "gb18030", "*=山田^太郎", KNEE),
    ],
)
def test_keys_are_read_in_the_character_set_of_the_request(
    node: DimseNode, character_set: str, codec: str, name: str, expected: str
) -> None:
    """PS3.4 C.4.1.1.3.1"""
    assert [
        answer.StudyInstanceUID for answer in find(node, PatientName=name.encode(codec), charset=character_set)
    ] == [expected]


def test_a_key_in_escaped_kanji_is_understood(node: DimseNode) -> None:
    """PS3.3 C.12.1.1.2, ISO 2022 with code extensions"""
    key = b"*=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    answers = find(node, PatientName=key, charset="\\ISO 2022 IR 87")
    assert [answer.StudyInstanceUID for answer in answers] == [KNEE]


def test_unsupported_keys_are_told_by_ff01_and_not_returned(node: DimseNode, tmp_path: Path) -> None:
    """PS3.4 C.4.1.1.4, C.2.2.1.3"""
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={KNEE}", "PregnancyStatus", "SeriesDescription"]
    ran, [answer] = dcmtk.findscu(node.port, keys, into=tmp_path)
    assert ran.statuses == [0xFF01, 0]
    assert "PregnancyStatus" not in answer
    assert "SeriesDescription" not in answer


def test_an_unsupported_key_with_a_value_does_not_narrow_and_says_so(node: DimseNode, tmp_path: Path) -> None:
    assert studies(node, tmp_path, "PatientComments=whatever", status=0xFF01) == ALL


def test_series_and_images_are_found_below_their_study(node: DimseNode, tmp_path: Path) -> None:
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={THORAX}", "SeriesInstanceUID", "Modality", "SeriesNumber"]
    ran, answers = dcmtk.findscu(node.port, [*keys, "NumberOfSeriesRelatedInstances"], into=tmp_path / "series")
    assert ran.statuses == [0xFF00, 0xFF00, 0]
    assert [(a.Modality, a.NumberOfSeriesRelatedInstances) for a in answers] == [("CT", 3), ("SR", 1)]
    keys = ["QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={THORAX}", f"SeriesInstanceUID={uid('thorax series')}"]
    ran, answers = dcmtk.findscu(node.port, [*keys, "SOPInstanceUID", "InstanceNumber"], into=tmp_path / "images")
    assert [a.InstanceNumber for a in answers] == [1, 2, 3]
    assert all(a.StudyInstanceUID == THORAX for a in answers)


def test_patients_are_found_in_patient_root(node: DimseNode, tmp_path: Path) -> None:
    """PS3.4 C.6.1"""
    keys = ["QueryRetrieveLevel=PATIENT", "PatientID", "PatientName", "NumberOfPatientRelatedStudies"]
    ran, answers = dcmtk.findscu(node.port, keys, into=tmp_path / "all", model="-P")
    assert ran.statuses == [*[0xFF00] * 4, 0]
    assert {a.PatientID for a in answers} == {"JP-0007", "100042", "200117", "300258"}
    keys = ["QueryRetrieveLevel=STUDY", "PatientID=JP-0007", "StudyInstanceUID"]
    ran, [answer] = dcmtk.findscu(node.port, keys, into=tmp_path / "one", model="-P")
    assert answer.StudyInstanceUID == KNEE


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("-S", ["QueryRetrieveLevel=PATIENT", "PatientID"]),
        ("-S", ["QueryRetrieveLevel=WARD"]),
        ("-S", ["QueryRetrieveLevel"]),
        ("-S", ["PatientName"]),
        ("-S", ["QueryRetrieveLevel=SERIES", "SeriesInstanceUID"]),
        ("-S", ["QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2\\1.3"]),
        ("-S", ["QueryRetrieveLevel=IMAGE", "StudyInstanceUID=1.2"]),
        ("-P", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID"]),
        ("-O", ["QueryRetrieveLevel=SERIES", "PatientID=1", "StudyInstanceUID=1.2"]),
    ],
)
def test_an_identifier_that_does_not_fit_its_model_is_a900(
    node: DimseNode, tmp_path: Path, model: str, keys: list[str]
) -> None:
    """PS3.4 C.4.1.1.4, C.4.1.2.1"""
    ran, answers = dcmtk.findscu(node.port, keys, into=tmp_path, model=model)
    assert (ran.statuses, answers) == ([0xA900], [])


@pytest.mark.parametrize(
    "key", ["StudyDate=yesterday", "StudyDate=20241301", "StudyTime=25", "StudyInstanceUID=1.2.*", "StudyInstanceUID=x"]
)
def test_a_key_that_makes_no_sense_is_refused(node: DimseNode, tmp_path: Path, key: str) -> None:
    """PS3.4 C.4.1.1.4: Cxxx"""
    ran, answers = dcmtk.findscu(node.port, ["QueryRetrieveLevel=STUDY", key], into=tmp_path)
    assert (ran.statuses, answers) == ([0xC000], [])


@pytest.mark.parametrize(
    ("operation", "keys", "to_blame"),
    [
        ("C-FIND", {"QueryRetrieveLevel": "WARD"}, "QueryRetrieveLevel"),
        ("C-FIND", {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": ""}, "StudyInstanceUID"),
        ("C-FIND", {"QueryRetrieveLevel": "STUDY", "StudyTime": "2200-0100"}, "StudyTime"),
        ("C-FIND", {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.*"}, "StudyInstanceUID"),
        ("C-GET", {"QueryRetrieveLevel": "WARD"}, "QueryRetrieveLevel"),
        ("C-GET", {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "x"}, "StudyInstanceUID"),
        ("C-GET", {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}, "StudyInstanceUID"),
    ],
)
def test_a_refusal_names_the_element_to_blame(
    node: DimseNode, operation: str, keys: dict[str, str], to_blame: str
) -> None:
    """PS3.4 table C.4-1, C.4-3: Offending Element (0000,0901)"""
    identifier = Dataset()
    for keyword, value in keys.items():
        identifier[keyword] = DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE)
    sop_class = FIND if operation == "C-FIND" else f"{STUDY_ROOT}.3"
    with scu(node.port, [(sop_class, UNCOMPRESSED)]) as assoc:
        ask = assoc.send_c_find if operation == "C-FIND" else assoc.send_c_get
        [(status, _)] = ask(identifier, sop_class)
    assert status.Status in {0xA900, 0xC000}
    assert status.OffendingElement == tag_for_keyword(to_blame)


def test_bytes_that_are_no_identifier_are_refused(node: DimseNode) -> None:
    with scu(node.port, [(FIND, UNCOMPRESSED)]) as assoc:
        for garbage in (b"\x08", b"\x08\x00\x52\x00CS\xff\x00STUDY", b"\xff" * 1000, b"\0" * 7):
            assert find_bytes(assoc, FIND, garbage)[0][0] in {0xA900, 0xC000}


def test_the_retired_patient_study_only_model_is_served(node: DimseNode, tmp_path: Path) -> None:
    """PS3.4 C.6.3"""
    keys = ["QueryRetrieveLevel=STUDY", "PatientID=JP-0007", "StudyInstanceUID"]
    _, [answer] = dcmtk.findscu(node.port, keys, into=tmp_path, model="-O")
    assert answer.StudyInstanceUID == KNEE


def test_a_cancelled_query_ends_with_fe00(tmp_path: Path) -> None:
    """PS3.4 C.4.1.3; the C-CANCEL arrives with the request, so that no engine is too fast for it."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.SOPInstanceUID = "IMAGE", ""
    with dimse_node(tmp_path / "node") as node:
        for ds in a_series(100):
            store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
        identifier.StudyInstanceUID, identifier.SeriesInstanceUID = ds.StudyInstanceUID, ds.SeriesInstanceUID
        with scu(node.port, [(FIND, [EXPLICIT])]) as assoc:
            send_together(assoc, [a_find(identifier), a_cancel()])
            statuses = [0xFF00]
            while statuses[-1] == 0xFF00:
                _, response = assoc.dimse.get_msg(block=True)
                assert isinstance(response, C_FIND)
                statuses.append(response.Status or 0)
            whole = [status.Status for status, _ in assoc.send_c_find(identifier, FIND, msg_id=2)]
    assert statuses[-1] == 0xFE00
    assert len(statuses) < 100
    assert whole == [0xFF00] * 100 + [0]


@pytest.mark.parametrize("engine", ["inline", "stock"])
def test_every_query_of_an_association_can_be_cancelled_however_many_were_before(tmp_path: Path, engine: str) -> None:
    """PS3.7 9.3.2.3; the first cancels come too late for anything, the next ones are heeded."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.SOPInstanceUID = "IMAGE", ""
    with dimse_node(tmp_path / "node", engine=engine) as node:
        for ds in a_series(30):
            store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
        identifier.StudyInstanceUID, identifier.SeriesInstanceUID = ds.StudyInstanceUID, ds.SeriesInstanceUID
        with scu(node.port, [(FIND, [EXPLICIT])]) as assoc:
            send_together(assoc, [a_cancel(number) for number in range(1, 10)])
            ends = []
            for number in range(10, 20):
                send_together(assoc, [a_find(identifier, number), a_cancel(number)])
                ends.append(final_status(assoc))
            send_together(assoc, [a_cancel(30), a_find(identifier, 30)])  # a cancel of what was not asked yet
            ends.append(final_status(assoc))
    assert ends == [0xFE00] * 10 + [0]


def final_status(assoc: Association) -> int | None:
    """How the answers to a C-FIND end."""
    while True:
        _, response = assoc.dimse.get_msg(block=True)
        assert isinstance(response, C_FIND)
        if response.Status != 0xFF00:
            return response.Status


def a_find(identifier: Dataset, message_id: int = 1) -> DIMSEMessage:
    request, message = C_FIND(), C_FIND_RQ()
    request.MessageID, request.Priority, request.AffectedSOPClassUID = message_id, 0, UID(FIND)
    request.Identifier = BytesIO(encode(identifier, False, True) or b"")
    message.primitive_to_message(request)
    return message


def a_cancel(message_id: int = 1) -> DIMSEMessage:
    request, message = C_CANCEL(), C_CANCEL_RQ()
    request.MessageIDBeingRespondedTo = message_id
    message.primitive_to_message(request)
    return message


def send_together(assoc: Association, messages: list[DIMSEMessage]) -> None:
    """All of them in one P-DATA-TF."""
    together = P_DATA()
    for message in messages:
        for pdata in message.encode_msg(1, 16382):
            together.presentation_data_value_list.extend(pdata.presentation_data_value_list)
    assoc.dul.send_pdu(together)


def test_a_cancel_for_another_request_changes_nothing(node: DimseNode) -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", ""
    with scu(node.port, [(FIND, UNCOMPRESSED)]) as assoc:
        assoc.send_c_cancel(1, 1)
        answers = assoc.send_c_find(identifier, FIND, msg_id=1)
        assoc.send_c_cancel(77, 1)
        assert [status.Status for status, _ in answers] == [0xFF00] * 4 + [0]


def test_mallory_finds_nothing(tmp_path: Path) -> None:
    """PS3.7 C.5.10"""
    with dimse_node(tmp_path / "node", policy=Policy(Mode.ENFORCED, {MALLORY.upper(): Rule()})) as node:
        seed(node.archive)
        ran, answers = dcmtk.findscu(
            node.port, ["QueryRetrieveLevel=STUDY"], "-aet", MALLORY.upper(), into=tmp_path / "answers"
        )
        assert (ran.statuses, answers) == ([0x0124], [])


def find(node: DimseNode, *, charset: str, **keys: bytes) -> list[Dataset]:
    """Studies by keys given as bytes in *charset*, as a client with that character set sends them."""
    elements = {0x00080005: ("CS", charset.encode()), 0x00080052: ("CS", b"STUDY"), 0x0020000D: ("UI", b"")}
    elements |= {tag_for_keyword(keyword) or 0: ("PN", value) for keyword, value in keys.items()}
    identifier = b""
    for tag, (vr, value) in sorted(elements.items()):
        padded = value + b" " * (len(value) % 2)
        identifier += struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(padded)) + padded
    with scu(node.port, [(FIND, [EXPLICIT])]) as assoc:
        return [answer for _, answer in find_bytes(assoc, FIND, identifier) if answer is not None]
