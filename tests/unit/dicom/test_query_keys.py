"""PS3.4 C.2.2.2 and PS3.18 8.3.4.1: keys of requests as conditions."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import DataElement, Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from relais.dicom.json_model import JsonDataset, from_dataset, from_element, tag_key
from relais.dicom.query import Match, MatchKind
from relais.dicom.query_keys import (
    MAX_VALUES,
    every_value,
    match_from_text,
    matches_from_json,
)
from relais.errors import InvalidRequest

REQUEST, ACCESSION = 0x00400275, 0x00080050


def key(keyword: str, raw: str, separators: str = "\\,") -> tuple[MatchKind, tuple[str, ...]] | None:
    match = match_from_text(tag_for_keyword(keyword) or 0, raw, separators=separators)
    return match and (match.kind, match.values)


def match_from_element(elem: DataElement | RawDataElement, charsets: Sequence[str] = ()) -> Match | None:
    """The condition of an Identifier with that one element."""
    found = matches_from_json({tag_key(int(elem.tag)): from_element(elem, charsets)})
    return found[0] if found else None


@pytest.mark.parametrize("keyword", ["PatientID", "StudyDate", "StudyInstanceUID", "Rows", "PatientName", "Modality"])
@pytest.mark.parametrize("raw", ["", " ", "*", "**", " * ", "\0"])
def test_nothing_and_a_star_ask_for_everything(keyword: str, raw: str) -> None:
    assert key(keyword, raw) is None


@pytest.mark.parametrize(
    ("keyword", "raw"),
    [("PatientName", "^^"), ("PatientName", "="), ("PatientID", "A\\*"), ("PatientID", "\\"), ("Modality", ",")],
)
def test_what_everything_meets_is_no_condition(keyword: str, raw: str) -> None:
    assert key(keyword, raw) is None


@pytest.mark.parametrize("keyword", ["PatientID", "StudyDate", "StudyInstanceUID", "Rows", "RequestAttributesSequence"])
def test_two_quotation_marks_ask_for_what_is_empty(keyword: str) -> None:
    assert key(keyword, '""') == (MatchKind.EMPTY_VALUE, ())


@pytest.mark.parametrize(
    ("keyword", "raw", "kind", "values"),
    [
        ("PatientID", " A 1 ", MatchKind.SINGLE_VALUE, ("A 1",)),
        ("PatientID", "A%_[1]", MatchKind.SINGLE_VALUE, ("A%_[1]",)),
        ("PatientID", "A,B", MatchKind.SINGLE_VALUE, ("A,B",)),
        ("PatientID", "A\\B", MatchKind.MULTIPLE_VALUES, ("A", "B")),
        ("PatientID", "A\\", MatchKind.SINGLE_VALUE, ("A",)),
        ("PatientID", "A*", MatchKind.WILD_CARD, ("A*",)),
        ("PatientID", "A*\\B", MatchKind.MULTIPLE_VALUES, ("A*", "B")),
        ("PatientName", "DOE^?", MatchKind.WILD_CARD, ("DOE^?",)),
        ("Modality", "CT", MatchKind.SINGLE_VALUE, ("CT",)),
        ("ModalitiesInStudy", "CT,MR", MatchKind.MULTIPLE_VALUES, ("CT", "MR")),
        ("ModalitiesInStudy", "CT\\ MR ", MatchKind.MULTIPLE_VALUES, ("CT", "MR")),
        ("StudyInstanceUID", "1.2.3", MatchKind.SINGLE_VALUE, ("1.2.3",)),
        ("StudyInstanceUID", "1.2,1.3", MatchKind.LIST_OF_UID, ("1.2", "1.3")),
        ("StudyInstanceUID", "1.2\\1.3", MatchKind.LIST_OF_UID, ("1.2", "1.3")),
        ("StudyDate", "20240101", MatchKind.SINGLE_VALUE, ("20240101",)),
        ("StudyDate", "2024.01.01", MatchKind.SINGLE_VALUE, ("2024.01.01",)),
        ("StudyDate", "20240101-20240201", MatchKind.RANGE, ("20240101", "20240201")),
        ("StudyDate", "-20240201", MatchKind.RANGE, ("", "20240201")),
        ("StudyDate", "20240101-", MatchKind.RANGE, ("20240101", "")),
        ("StudyDate", "20240101,20240103-", MatchKind.MULTIPLE_VALUES, ("20240101", "20240103-")),
        ("StudyTime", "10-1130", MatchKind.RANGE, ("10", "1130")),
        ("AcquisitionDateTime", "2024-0500", MatchKind.SINGLE_VALUE, ("2024-0500",)),
        ("AcquisitionDateTime", "2023-2024", MatchKind.RANGE, ("2023", "2024")),
        ("InstanceNumber", "7", MatchKind.SINGLE_VALUE, ("7",)),
        ("InstanceNumber", "7,8", MatchKind.MULTIPLE_VALUES, ("7", "8")),
        ("PatientComments", "a\\b", MatchKind.SINGLE_VALUE, ("a\\b",)),
        ("PatientAge", "051Y", MatchKind.SINGLE_VALUE, ("051Y",)),
    ],
)
def test_a_value_becomes_the_kind_of_matching_that_its_vr_allows(
    keyword: str, raw: str, kind: MatchKind, values: tuple[str, ...]
) -> None:
    assert key(keyword, raw) == (kind, values)


def test_only_a_query_string_divides_values_by_commas() -> None:
    assert key("ModalitiesInStudy", "CT,MR", "\\") == (MatchKind.SINGLE_VALUE, ("CT,MR",))
    with pytest.raises(InvalidRequest):
        key("StudyInstanceUID", "1.2,1.3", "\\")


@pytest.mark.parametrize(
    ("keyword", "raw", "sentence"),
    [
        ("StudyDate", "2024", "StudyDate: '2024' is neither yyyymmdd nor a range of them."),
        ("StudyDate", "20240230", "neither"),
        ("StudyDate", "2024-01-01", "neither"),
        ("StudyDate", "20240101-x", "neither"),
        ("StudyDate", "202401*", "neither"),
        ("StudyDate", "-", "neither"),
        ("StudyDate", "20240201-20240101", "ends before it begins"),
        ("StudyTime", "2500", "neither hhmmss"),
        ("StudyTime", "22-02", "StudyTime: the range '22-02' ends before it begins."),
        ("StudyDate", "20240101\\20240201-20240101", "ends before it begins"),
        ("AcquisitionDateTime", "x-y", "neither yyyymmddhhmmss"),
        ("StudyInstanceUID", "1.2.*", "not a UID"),
        ("StudyInstanceUID", "../../etc/passwd", "not a UID"),
        ("StudyInstanceUID", "1." * 40, "not a UID"),
        ("InstanceNumber", "1*", "not a number"),
        ("Rows", "x", "not a number"),
        ("PatientAge", "05?Y", "cannot be matched with wild cards"),
        ("RequestAttributesSequence", "x", "(SQ) cannot be matched with a text"),
        ("EncapsulatedDocument", "x", "(OB) cannot be matched with a text"),
    ],
)
def test_a_value_that_its_vr_does_not_allow_is_refused_with_a_sentence(keyword: str, raw: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        key(keyword, raw)
    assert sentence in caught.value.message


def test_a_message_repeats_little_of_a_value_and_no_control_characters() -> None:
    with pytest.raises(InvalidRequest) as caught:
        key("StudyDate", "\r\nSet-Cookie: x" + "y" * 1000)
    assert "\r" not in caught.value.message
    assert len(caught.value.message) < 200


def test_the_number_of_values_of_a_key_has_a_limit() -> None:
    many = "\\".join(f"1.{number}" for number in range(MAX_VALUES))
    assert key("StudyInstanceUID", many) is not None
    with pytest.raises(InvalidRequest, match="at most"):
        key("StudyInstanceUID", many + "\\1.2")


def test_a_tag_that_nobody_knows_takes_any_text() -> None:
    assert match_from_text(0x00091001, "a*b") == Match(0x00091001, MatchKind.SINGLE_VALUE, ("a*b",))
    assert match_from_text(0x00091001, "a*b", vr="LO") == Match(0x00091001, MatchKind.WILD_CARD, ("a*b",))


@given(
    st.text(max_size=30),
    st.sampled_from([0x00080020, 0x00080030, 0x0008002A, 0x00100010, 0x0020000D, 0x00280010, 0x00102154, 0x00400275]),
)
def test_any_text_is_a_condition_or_none_or_refused(raw: str, tag: int) -> None:
    try:
        match = match_from_text(tag, raw)
    except InvalidRequest:
        return
    assert match is None or match.tag == tag


# Sequences


def test_every_value_must_match_where_that_was_negotiated() -> None:
    """PS3.4 C.2.2.2.8"""
    both = match_from_text(0x00080061, "CT\\PT")
    assert both is not None
    assert [one.values for one in every_value(both)] == [("CT",), ("PT",)]
    one = match_from_text(0x00080061, "CT")
    assert one is not None
    assert every_value(one) == (one,)
    inside = Match(REQUEST, MatchKind.SEQUENCE, items=(both,))
    assert [item.values for item in every_value(inside)[0].items] == [("CT",), ("PT",)]


@pytest.mark.parametrize(
    ("keyword", "raw", "values"),
    [
        ("PatientID", "A\\*", [("A",)]),
        ("PatientID", "*\\A*\\**\\B", [("A*",), ("B",)]),
        ("PatientID", "*\\**", None),
        ("PatientName", "DOE^*\\^^", [("DOE^*",)]),
        ("StudyDate", "*\\20240101-20240201", [("20240101", "20240201")]),
        ("StudyInstanceUID", "1.2\\*", None),
    ],
)
def test_what_everything_meets_leaves_the_other_values_where_every_one_must_match(
    keyword: str, raw: str, values: list[tuple[str, ...]] | None
) -> None:
    """PS3.4 C.2.2.2.8; of a list of UID any one matches (C.2.2.2.2)."""
    assert key(keyword, raw) is None
    match = match_from_text(tag_for_keyword(keyword) or 0, raw, every=True)
    assert (match and [one.values for one in every_value(match)]) == values


# Identifiers


def identifier() -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.QueryRetrieveLevel = "STUDY"
    ds.RetrieveAETitle = "RELAIS"
    ds.TimezoneOffsetFromUTC = "+0100"
    ds.PatientName = "Lefèbvre^*"
    ds.PatientID = ""
    ds.StudyDate = "20240101-20240201"
    ds.StudyInstanceUID = ["1.2", "1.3"]
    ds.ModalitiesInStudy = ["CT", "MR"]
    ds.AccessionNumber = '""'
    return ds


FOUND = {
    0x00100010: Match(0x00100010, MatchKind.WILD_CARD, ("Lefèbvre^*",)),
    0x00080020: Match(0x00080020, MatchKind.RANGE, ("20240101", "20240201")),
    0x0020000D: Match(0x0020000D, MatchKind.LIST_OF_UID, ("1.2", "1.3")),
    0x00080061: Match(0x00080061, MatchKind.MULTIPLE_VALUES, ("CT", "MR")),
    0x00080050: Match(0x00080050, MatchKind.EMPTY_VALUE),
}


def test_an_identifier_is_its_keys_without_those_that_are_never_matched() -> None:
    """PS3.4 C.2.2.2, C.4.1.1.3.1"""
    assert {match.tag: match for match in matches_from_json(from_dataset(identifier()))} == FOUND


def test_every_value_of_an_identifier_must_match_where_that_was_negotiated() -> None:
    """PS3.4 C.2.2.2.8"""
    step = {"00400009": {"vr": "SH", "Value": ["S1", "*"]}}
    asked = {"00100020": {"vr": "LO", "Value": ["A", "*", "B*"]}, "00400275": {"vr": "SQ", "Value": [step]}}
    assert matches_from_json(asked) == ()
    *ids, inside = matches_from_json(asked, every=True)
    assert [one.values for one in ids] == [("A",), ("B*",)]
    assert [one.values for one in inside.items] == [("S1",)]


def evening_to_morning(days: str) -> JsonDataset:
    return {"00080020": {"vr": "DA", "Value": [days]}, "00080030": {"vr": "TM", "Value": ["22-02"]}}


def test_a_time_range_may_go_from_evening_to_morning_if_it_is_joined_with_that_of_the_date() -> None:
    """PS3.4 C.2.2.2.5.4"""
    found = matches_from_json(evening_to_morning("20240101-20240102"), combined_date_time=True)
    assert found[1] == Match(0x00080030, MatchKind.RANGE, ("22", "02"))
    for days, is_combined in [("20240101-20240102", False), ("20240101-", True), ("20240101", True), ("", True)]:
        with pytest.raises(InvalidRequest, match=r"StudyTime.*ends before it begins"):
            matches_from_json(evening_to_morning(days), combined_date_time=is_combined)
    for days in ("20240101-20240101", "20240102-20240101"):
        with pytest.raises(InvalidRequest, match=r"StudyDate.*end before they begin"):
            matches_from_json(evening_to_morning(days), combined_date_time=True)
    open_ended = {"00080020": {"vr": "DA", "Value": ["20240101-"]}, "00080030": {"vr": "TM", "Value": ["22-"]}}
    assert len(matches_from_json(open_ended, combined_date_time=True)) == 2


def test_a_range_inside_a_sequence_must_not_end_before_it_begins() -> None:
    item = Dataset()
    item.ScheduledProcedureStepStartTime = "22-02"
    with pytest.raises(InvalidRequest, match="ends before it begins"):
        match_from_element(DataElement(REQUEST, "SQ", [item]))
    with pytest.raises(InvalidRequest, match="ends before it begins"):
        match_from_element(item[0x00400003])


def test_one_element_is_one_condition() -> None:
    for tag, match in FOUND.items():
        assert match_from_element(identifier()[tag]) == match
    assert match_from_element(identifier()[0x00100020]) is None


def test_a_key_is_decoded_by_the_character_set_of_its_identifier() -> None:
    raw = RawDataElement(Tag(0x00100010), "PN", 5, b"\xbb\xee\xda*", 0, False, True)
    assert match_from_element(raw, ["ISO_IR 144"]) == Match(0x00100010, MatchKind.WILD_CARD, ("Люк*",))


def test_groups_of_a_name_are_one_key() -> None:
    name = DataElement(0x00100010, "PN", "*=山田*")
    assert match_from_element(name) == Match(0x00100010, MatchKind.WILD_CARD, ("*=山田*",))


def test_numbers_and_tags_are_keys_too() -> None:
    assert match_from_element(DataElement(0x00280010, "US", 512)) == Match(0x00280010, MatchKind.SINGLE_VALUE, ("512",))
    pointer = DataElement(0x00280009, "AT", 0x00181063)
    assert match_from_element(pointer) == Match(0x00280009, MatchKind.SINGLE_VALUE, ("00181063",))


def test_a_private_key_is_taken_for_what_it_is() -> None:
    assert match_from_element(DataElement(0x00091001, "LO", "a*")) == Match(0x00091001, MatchKind.WILD_CARD, ("a*",))
    assert match_from_element(DataElement(0x00091001, "UN", b"ab ")) == Match(
        0x00091001, MatchKind.SINGLE_VALUE, ("ab",)
    )
    assert match_from_element(DataElement(0x00091001, "UN", b"")) is None
    sequence = DataElement(0x00091001, "SQ", [Dataset()])
    assert match_from_element(sequence) is None


def test_a_sequence_key_is_its_item() -> None:
    """PS3.4 C.2.2.2.6"""
    item = Dataset()
    item.AccessionNumber, item.RequestedProcedureID = "A*", ""
    found = match_from_element(DataElement(REQUEST, "SQ", [item]))
    assert found == Match(REQUEST, MatchKind.SEQUENCE, items=(Match(ACCESSION, MatchKind.WILD_CARD, ("A*",)),))


@pytest.mark.parametrize("items", [[], [Dataset()]])
def test_a_sequence_key_without_a_value_asks_for_everything(items: list[Dataset]) -> None:
    """PS3.4 C.2.2.2.6"""
    assert match_from_element(DataElement(REQUEST, "SQ", items)) is None


def test_a_sequence_key_of_several_items_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="2 Items"):
        match_from_element(DataElement(REQUEST, "SQ", [Dataset(), Dataset()]))


def test_a_text_for_a_sequence_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="is a sequence"):
        match_from_element(DataElement(REQUEST, "LO", "x"))
