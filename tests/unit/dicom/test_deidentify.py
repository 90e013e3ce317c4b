"""The Basic Application Level Confidentiality Profile (PS3.15 E.2) on invented Data Sets."""

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    BasicTextSRStorage,
    BasicVoiceAudioWaveformStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)

from fixtures.builders import a_code, a_ct
from relais.dicom.deidentify import deidentify, keeps, obstacle

ROWS = [
    line.split("\t")
    for line in (resources.files("relais.dicom") / "basic_profile.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]

BYTES, NUMBERS = dict.fromkeys(("OB", "OW", "UN"), b"MOREL!"), dict.fromkeys(("US", "UL", "SS", "SL", "FD", "FL"), 7)
VALUES = {
    "SQ": [a_code("1", "X", "MOREL")],
    "DA": "20240310",
    "DT": "20240310",
    "TM": "0915",
    "AS": "063Y",
    "UI": "1.2.3",
    "IS": "7",
    "DS": "7",
    "AT": 0x00100010,
    **BYTES,
    **NUMBERS,
}


def remap(uid: str) -> str:
    return f"2.25.{abs(hash(uid))}"


def cleaned(ds: Dataset) -> Dataset:
    deidentify(ds, remap)
    return ds


def test_the_table_names_what_the_data_dictionary_names() -> None:
    """PS3.15 table E.1-1"""
    known = [(tag, name) for tag, _, name in ROWS if dictionary_has_tag(int(tag, 16))]
    assert len(ROWS) > 600
    assert len(known) > len(ROWS) - 30  # newer ones than those of pydicom
    plain = [("".join(filter(str.isalnum, text.lower()))) for text in ("Patient's Name", "Study Instance UID")]
    named = {tag: "".join(filter(str.isalnum, name.lower())) for tag, _, name in ROWS}
    assert [named["00100010"], named["0020000D"]] == plain
    differing = [
        tag
        for tag, _ in known
        if named[tag] != "".join(filter(str.isalnum, dictionary_description(int(tag, 16)).lower()))
    ]
    assert len(differing) < 25, differing  # spelled in another way


def test_every_action_is_one_of_the_profile() -> None:
    assert {action for _, action, _ in ROWS} <= {"D", "Z", "X", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"}


def test_no_attribute_of_the_table_keeps_its_value() -> None:
    kept = []
    for name, action, _ in ROWS:
        tag, ds = int(name, 16), Dataset()
        if not dictionary_has_tag(tag) or tag >> 16 < 8 or action == "X/Z/U*":  # Items of those are gone through
            continue
        vr = dictionary_VR(tag).split(" or ")[0]
        ds.add_new(tag, vr, VALUES.get(vr, "MOREL"))
        before = ds[tag].value
        deidentify(ds, remap)
        kept += [name] if tag in ds and ds[tag].value == before else []
    assert kept == []


def test_what_the_standard_wants_said_is_said() -> None:
    """PS3.15 E.1.1 d), e)"""
    ds = cleaned(a_ct())
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.DeidentificationMethod
    assert [item.CodeValue for item in ds.DeidentificationMethodCodeSequence] == ["113100"]
    assert ds.LongitudinalTemporalInformationModified == "REMOVED"
    clean = cleaned(a_ct(BurnedInAnnotation="NO"))
    assert [item.CodeValue for item in clean.DeidentificationMethodCodeSequence] == ["113100", "113101"]


def test_an_image_is_still_one() -> None:
    ds = cleaned(a_ct())
    assert (ds.SOPClassUID, ds.Modality, ds.Rows, ds.WindowCenter) == (CTImageStorage, "CT", 32, 40)
    emptied = (ds.PatientName, ds.PatientBirthDate, ds.StudyDate, ds.AccessionNumber)
    assert [str(value or "") for value in emptied] == [""] * 4
    assert ds.InstitutionName == "ANONYMIZED"


def test_uids_are_replaced_at_every_depth_but_for_those_of_the_standard() -> None:
    """PS3.15 E.3.9: the Basic Profile replaces them."""
    ds, item, inner = a_ct(), Dataset(), Dataset()
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3.4"
    item.SeriesInstanceUID, item.ReferencedImageSequence = "1.2.3", [inner]
    ds.ReferencedSeriesSequence, ds.RelatedFrameOfReferenceUID = [item], "1.2.840.10008.1.4.1.1"
    study = ds.StudyInstanceUID
    deidentify(ds, remap)
    found = ds.ReferencedSeriesSequence[0]
    assert ds.StudyInstanceUID == remap(study)
    assert found.SeriesInstanceUID == remap("1.2.3")
    assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == remap("1.2.3.4")
    assert found.ReferencedImageSequence[0].ReferencedSOPClassUID == CTImageStorage
    assert ds.RelatedFrameOfReferenceUID == "1.2.840.10008.1.4.1.1"


def test_empty_and_several_uids_stay_empty_and_several() -> None:
    ds = Dataset()
    ds.FailedSOPInstanceUIDList, ds.FrameOfReferenceUID = ["1.2.3", "1.2.4"], ""
    deidentify(ds, remap)
    assert list(ds.FailedSOPInstanceUIDList) == [remap("1.2.3"), remap("1.2.4")]
    assert ds.FrameOfReferenceUID == ""


def test_private_unknown_curves_and_overlays_go() -> None:
    ds = a_ct()
    ds.private_block(0x0099, "NORTH", create=True).add_new(1, "LO", "MOREL")
    ds.add_new(0x00109998, "LO", "MOREL")
    ds.add_new(0x50000010, "US", 1)
    ds.add_new(0x60003000, "OW", b"\xff\xff")
    ds.add_new(0x60000010, "US", 1)
    deidentify(ds, remap)
    assert not [e for e in ds if e.tag.group in (0x0099, 0x5000, 0x6000) or e.tag == 0x00109998]


def test_names_and_dates_that_the_table_does_not_know_are_emptied() -> None:
    ds = Dataset()
    ds.DocumentAuthorTrial, ds.EvaluatorName = "MOREL^Paul", "MOREL^Anna"
    ds.StudyUpdateDateTime, ds.ExpiryDate = "202403100915", "20240310"
    deidentify(ds, remap)
    assert "MOREL" not in str(ds)
    assert "20240310" not in str(ds)


def test_dates_in_another_calendar_and_numbers_of_orders_go() -> None:
    ds, item = Dataset(), Dataset()
    ds.PatientBirthDateInAlternativeCalendar, ds.PatientDeathDateInAlternativeCalendar = "1362/11/14", "1403/01/02"
    ds.PatientAlternativeCalendar = "PERSIAN"
    for tag in (0x00401006, 0x00401007, 0x00402006, 0x00402007):
        item.add_new(tag, "SH", "A2024")
    ds.ReferencedRequestSequence = [item]
    assert not cleaned(ds).ReferencedRequestSequence[0]
    assert not {element.tag for element in ds} & {0x00100033, 0x00100034, 0x00100035}


def test_addresses_go_but_for_those_that_are_codes() -> None:
    """They hold the UIDs that were replaced."""
    ds, code = Dataset(), a_code("1", "LN", "Finding")
    ds.RetrieveURL = ds.RetrieveURI = ds.PixelDataProviderURL = ds.StorageURL = "http://pacs/studies/1.2.3"
    code.CodingSchemeURL, code.URNCodeValue = "http://loinc.org", "urn:lex:1"
    ds.AnatomicRegionSequence = [code]
    assert "1.2.3" not in str(cleaned(ds))
    kept = ds.AnatomicRegionSequence[0]
    assert (kept.CodingSchemeURL, kept.URNCodeValue) == ("http://loinc.org", "urn:lex:1")


def test_what_belongs_into_a_directory_or_a_command_goes() -> None:
    ds = Dataset()
    ds.add_new(0x00041500, "CS", ["MOREL", "HELENE"])
    ds.add_new(0x00041511, "UI", "1.2.3")
    assert not [element for element in cleaned(ds) if element.tag.group < 8]
    assert not keeps(0x00041500, "CS")


def test_the_scheme_and_the_list_of_a_code_stay() -> None:
    code = a_code("11524-6", "LN", "EKG study")
    code.CodingSchemeUID, code.ContextUID, code.MappingResourceUID = "2.16.840.1.113883.6.1", "1.2.3.4", "1.2.3.5"
    ds = Dataset()
    ds.AnatomicRegionSequence = [code]
    kept = cleaned(ds).AnatomicRegionSequence[0]
    assert (kept.CodingSchemeUID, kept.ContextUID, kept.MappingResourceUID) == (
        "2.16.840.1.113883.6.1",
        "1.2.3.4",
        "1.2.3.5",
    )


@given(st.text(st.characters(codec="ascii", categories=("Lu",)), min_size=6, max_size=12))
def test_the_name_of_a_patient_is_nowhere(name: str) -> None:
    marked = f"ZZ{name}ZZ"
    ds, item = a_ct(PatientName=marked, PatientID=marked, OtherPatientIDs=marked), Dataset()
    item.PatientName = item.PatientID = marked
    ds.RequestAttributesSequence, ds.ReferencedStudySequence = [item], [item]
    assert marked not in str(cleaned(ds))


@pytest.mark.parametrize(
    ("attributes", "is_refused"),
    [
        ({}, False),
        ({"BurnedInAnnotation": "YES"}, True),
        ({"BurnedInAnnotation": "NO"}, False),
        ({"BurnedInAnnotation": ""}, False),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER"]}, True),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SCREEN SAVE"]}, True),
        ({"ConversionType": "WSD"}, True),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, True),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "BurnedInAnnotation": "NO"}, False),
        ({"SOPClassUID": BasicTextSRStorage, "ContentSequence": []}, True),
        ({"SOPClassUID": EncapsulatedPDFStorage, "BurnedInAnnotation": "NO"}, True),
        ({"SOPClassUID": RTStructureSetStorage, "Rows": None}, False),
        ({"SOPClassUID": BasicVoiceAudioWaveformStorage, "Rows": None}, True),
    ],
)
def test_what_cannot_be_done_honestly_has_an_obstacle(attributes: dict[str, object], is_refused: bool) -> None:
    assert bool(obstacle(a_ct(**attributes))) is is_refused


@pytest.mark.parametrize("said", ["yes", "Yes", "Y", "TRUE", "UNKNOWN", "NONE", ["NO", "YES"]])
def test_only_no_says_that_nothing_is_burned_in(said: object) -> None:
    assert "text" in obstacle(burned_in(said))


def test_no_says_so_however_it_is_written() -> None:
    assert not obstacle(burned_in("no"))
    assert len(cleaned(burned_in("No")).DeidentificationMethodCodeSequence) == 2


def burned_in(said: object) -> Dataset:
    ds = a_ct()
    ds.add(DataElement(0x00280301, "CS", said, validation_mode=IGNORE))
    return ds


@pytest.mark.parametrize(("element", "value"), [(0x0102, 12), (0x0100, 16)])
def test_overlays_within_the_pixels_are_an_obstacle(element: int, value: int) -> None:
    """PS3.3 C.9.2"""
    ds = a_ct()
    ds.add_new(0x60000000 | element, "US", value)
    assert "overlays" in obstacle(ds)


@pytest.mark.parametrize(
    ("tag", "vr", "is_kept"),
    [
        (0x7FE00010, "OW", True),
        (0x7FE00010, "OB", True),
        (0x00282000, "OB", True),  # ICC Profile
        (0x00281201, "OB", True),  # Red Palette Color Lookup Table Data, which is OW
        (0x00091001, "OB", False),
        (0x60003000, "OW", False),
        (0x00420011, "OB", False),
        (0x00400440, "OB", False),  # Protocol Context Sequence
        (0x00180015, "OB", False),  # Body Part Examined
        (0x00282000, "UN", False),
    ],
)
def test_large_values_are_judged_by_their_tag_and_vr(tag: int, vr: str, is_kept: bool) -> None:
    assert keeps(tag, vr) is is_kept


@pytest.mark.parametrize("vr", ["OB", "OW", "UT", "LT", "LO"])
@pytest.mark.parametrize("keyword", ["ProtocolContextSequence", "ReferencedImageSequence", "EnergyWindowNumber"])
def test_what_comes_in_a_vr_of_another_kind_goes_at_every_depth(keyword: str, vr: str) -> None:
    """PS3.15 E.1.1: a sequence as something else holds whatever it held."""
    value = b"MOREL^Paul" if vr in BYTES else "MOREL^Paul"
    element, item, ds = DataElement(tag_for_keyword(keyword) or 0, vr, value, validation_mode=IGNORE), Dataset(), a_ct()
    item.add(element)
    ds.add(element)
    ds.AnatomicRegionSequence = [item]
    assert keyword not in cleaned(ds)
    assert keyword not in ds.AnatomicRegionSequence[0]


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("SecondaryReviewerName", "LO", "MOREL^Paul"),
        ("StudyUpdateDateTime", "LO", "20240310"),
        ("TargetFrameOfReferenceUID", "LO", "1.2.3"),
        ("RetrieveURL", "LO", "http://pacs/studies/1.2.3"),
        ("StudyInstanceUID", "LO", "1.2.3"),
    ],
)
def test_names_dates_uids_and_addresses_as_text_go(keyword: str, vr: str, value: str) -> None:
    ds = Dataset()
    ds.add_new(tag_for_keyword(keyword) or 0, vr, value)
    assert keyword not in cleaned(ds)


def test_what_the_table_empties_is_empty_in_whatever_vr_it_came() -> None:
    ds = Dataset()
    ds.add_new(0x00100010, "LO", "MOREL^Paul")
    assert not cleaned(ds).PatientName


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [("PixelRepresentation", "SS", 1), ("BodyPartExamined", "LO", "CHEST"), ("KVP", "IS", "7")],
)
def test_what_comes_in_a_vr_of_the_same_kind_stays(keyword: str, vr: str, value: object) -> None:
    ds = Dataset()
    ds.add_new(tag_for_keyword(keyword) or 0, vr, value)
    assert cleaned(ds)[keyword].value == value


def test_what_comes_as_un_and_cannot_be_read_goes() -> None:
    """PS3.5 6.2.2: of 64 KB and more, as what else than a sequence has no such length."""
    ds = a_ct()
    value = b"MOREL " * 20_000
    ds[0x00180015] = RawDataElement(Tag(0x00180015), "UN", len(value), value, 0, False, True)
    assert "BodyPartExamined" not in cleaned(ds)
