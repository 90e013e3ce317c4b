"""The Native DICOM Model, read back by an independent parser."""

from xml.etree import ElementTree

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from relais.dicom.json_model import from_dataset
from relais.dicomweb import native_xml

NS = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def tree(json: dict[str, dict[str, object]]) -> ElementTree.Element:
    return ElementTree.fromstring(native_xml.document(json))


def attribute(root: ElementTree.Element, tag: str) -> ElementTree.Element:
    (found,) = (element for element in root.iter(f"{NS}DicomAttribute") if element.get("tag") == tag)
    return found


def test_every_attribute_has_tag_vr_and_keyword_in_order() -> None:
    """PS3.19 A.1.5"""
    root = tree({"00100020": {"vr": "LO", "Value": ["A<1>&"]}, "00080060": {"vr": "CS"}})
    assert root.tag == f"{NS}NativeDicomModel"
    assert [(e.get("tag"), e.get("vr"), e.get("keyword")) for e in root] == [
        ("00080060", "CS", "Modality"),
        ("00100020", "LO", "PatientID"),
    ]
    assert root[1][0].text == "A<1>&"
    assert len(root[0]) == 0


def test_names_fall_into_groups_and_components() -> None:
    root = tree({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou^^Dr", "Ideographic": "山田^太郎"}]}})
    name = root[0][0]
    assert name.tag == f"{NS}PersonName"
    assert [(part.tag.removeprefix(NS), part.text) for part in name[0]] == [
        ("FamilyName", "Yamada"),
        ("GivenName", "Tarou"),
        ("NamePrefix", "Dr"),
    ]
    assert name[1].tag == f"{NS}Ideographic"


def test_there_is_an_element_for_every_value_empty_ones_too() -> None:
    """PS3.19 table A.1.5-2: numbers start with 1 and go up by 1."""
    root = tree({"00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL", None, None]}})
    texts = [(value.get("number"), value.text) for value in root[0]]
    assert texts == [("1", "ORIGINAL"), ("2", None), ("3", "AXIAL"), ("4", None), ("5", None)]
    names = tree({"00081070": {"vr": "PN", "Value": [{"Alphabetic": "A"}, None]}})[0]
    assert [(name.tag, name.get("number"), len(name)) for name in names] == [
        (f"{NS}PersonName", "1", 1),
        (f"{NS}PersonName", "2", 0),
    ]


def test_sequences_bulk_data_and_private_attributes_are_written() -> None:
    root = tree(
        {
            "00090010": {"vr": "LO", "Value": ["ACME"]},
            "00091001": {"vr": "OB", "InlineBinary": "AQI="},
            "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}}, {}]},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://x/?a&b"},
        }
    )
    assert attribute(root, "00090001").get("privateCreator") == "ACME"
    assert attribute(root, "00090001")[0].text == "AQI="
    assert [item.get("number") for item in attribute(root, "00400275")] == ["1", "2"]
    assert attribute(root, "7FE00010")[0].get("uri") == "http://x/?a&b"


def test_characters_that_xml_cannot_carry_are_replaced() -> None:
    assert tree({"00100020": {"vr": "LO", "Value": ["a\x01b\udfffc"]}})[0][0].text == "a�b�c"


@pytest.mark.parametrize("name", ["CT_small.dcm", "reportsi.dcm", "JPEG2000.dcm", "test-SR.dcm"])
def test_a_real_data_set_is_well_formed_and_complete(name: str) -> None:
    ds = dcmread(get_testdata_file(name), stop_before_pixels=True)  # type: ignore[arg-type]
    root = tree(from_dataset(ds))
    assert len(root) == len(Dataset(ds))
