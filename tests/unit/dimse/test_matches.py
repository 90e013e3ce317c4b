"""Rows as encoded Identifiers: what is put together quickly is what the plain encoder makes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR

from fixtures.identifiers import keys
from relais.dicom import uids
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dimse.identifier import FindRequest, Negotiated, find_request
from relais.dimse.matches import Matches
from relais.dimse.models import STUDY_ROOT
from relais.peers import identifier

SYNTAXES = (
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)
TAIL = {
    "00080052": {"vr": "CS", "Value": ["SERIES"]},
    "00080054": {"vr": "AE", "Value": ["RELAIS"]},
    "00080056": {"vr": "CS", "Value": ["ONLINE"]},
}

texts = st.text(st.sampled_from("ABC ^=é山\\"), max_size=5) | st.sampled_from(
    ["A" * 254, "A" * 255, "é" * 200, "A" * 70000]
)
names = st.fixed_dictionaries({}, optional={"Alphabetic": texts, "Ideographic": texts, "Phonetic": texts})
ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "00080005": st.builds(dict, vr=st.just("CS"), Value=st.just(["ISO_IR 100"])),
    "00080020": st.builds(dict, vr=st.just("DA"), Value=st.lists(texts, min_size=1, max_size=2)),
    "0008103E": st.builds(dict, vr=st.just("LO"), Value=st.lists(texts | st.none(), max_size=3)),
    "00100010": st.builds(dict, vr=st.just("PN"), Value=st.lists(names | st.none(), max_size=2)),
    "00100020": st.builds(dict, vr=st.sampled_from(["LO", "UN"]), InlineBinary=st.just("QUI=")),
    "0020000E": st.builds(dict, vr=st.just("UI"), Value=st.just(["1.2.3"])),
    "00200011": st.builds(dict, vr=st.just("IS"), Value=st.lists(st.integers(0, 999), max_size=2)),
    "00201209": st.builds(dict, vr=st.just("IS"), Value=st.just([7])),
    "00400275": st.builds(
        dict,
        vr=st.just("SQ"),
        Value=st.lists(st.fixed_dictionaries({"00401001": st.builds(dict, vr=st.just("SH"), Value=st.lists(texts))})),
    ),
}
rows = st.fixed_dictionaries({}, optional=ELEMENTS)


def asking(level: Level = Level.SERIES, **values: Any) -> FindRequest:
    return find_request(keys(level=level.value, **values), STUDY_ROOT, Negotiated(relational=True))


def answered(request: FindRequest, row: JsonDataset) -> JsonDataset:
    encoded = Matches(request, "RELAIS", uids.EXPLICIT_VR_LITTLE_ENDIAN).encode(row)
    return identifier.decode(encoded, uids.EXPLICIT_VR_LITTLE_ENDIAN)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(row=rows)
def test_every_row_is_encoded_as_the_plain_encoder_does(syntax: str, row: JsonDataset) -> None:
    """PS3.4 C.4.1.1.3.2"""
    request = find_request(
        {key: {"vr": dictionary_VR(int(key, 16))} for key in ELEMENTS} | TAIL, STUDY_ROOT, Negotiated(relational=True)
    )
    empty = {key: {"vr": dictionary_VR(int(key, 16))} for key in ELEMENTS if int(key, 16) not in request.unknown}
    expected = empty | {key: element for key, element in row.items() if key in empty} | TAIL
    assert Matches(request, "RELAIS", syntax).encode(row) == identifier.encode(expected, syntax)


def test_an_answer_has_what_was_asked_and_no_more() -> None:
    """PS3.4 C.4.1.1.3.2"""
    request = asking(Level.STUDY, PatientName=None, StudyID=None, Rows=None)
    row = keys(StudyInstanceUID="1.2", PatientName={"Alphabetic": "A"}, PatientID="7", Rows=5)
    assert answered(request, row) == keys(
        StudyInstanceUID="1.2",
        PatientName={"Alphabetic": "A"},
        StudyID=None,
        level="STUDY",
        RetrieveAETitle="RELAIS",
        InstanceAvailability="ONLINE",
    )


def test_of_a_sequence_only_the_attributes_of_the_key_are_answered() -> None:
    """PS3.4 C.2.2.2.6"""
    item = keys(ScheduledProcedureStepID="S", RequestedProcedureID="R")
    row = keys(SeriesInstanceUID="1.2", RequestAttributesSequence=[item, {}])
    for asked, expected in (
        (None, [item, {}]),
        ([{}], [item, {}]),
        ([keys(RequestedProcedureID=None)], [keys(RequestedProcedureID="R"), keys(RequestedProcedureID=None)]),
    ):
        assert answered(asking(RequestAttributesSequence=asked), row)["00400275"]["Value"] == expected


def test_a_name_is_no_item_that_names_what_is_asked() -> None:
    """One that came as a sequence is answered whole."""
    row = keys(StudyInstanceUID="1.2") | {"00100010": {"vr": "SQ", "Value": [keys(AccessionNumber="A")]}}
    told = answered(asking(Level.STUDY, PatientName={"Alphabetic": "*"}), row)
    assert told["00100010"] == row["00100010"]


def test_only_what_is_not_ascii_needs_a_character_set() -> None:
    """PS3.5 6.1.2.3"""
    request = asking(Level.STUDY, PatientName=None)
    assert "00080005" not in answered(request, keys(PatientName={"Alphabetic": "Muller"}))
    told = answered(request, keys(PatientName={"Alphabetic": "Müller"}))
    assert told["00080005"]["Value"] == ["ISO_IR 192"]
    assert told["00100010"]["Value"] == [{"Alphabetic": "Müller"}]
