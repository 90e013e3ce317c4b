"""Metadata as lines of a table."""

from fixtures.builders import a_ct, a_sr
from relais.dicom.json_model import from_dataset
from relais.ui import attributes
from relais.ui.attributes import MAX_LINES, lines, name_of


def test_an_attribute_has_the_name_that_the_standard_gives_it() -> None:
    found = {line.tag: line for line in lines(from_dataset(a_ct(PatientName="MOREAU^Hélène")))}
    assert found["(0010,0010)"].name == "Patient's Name"
    assert found["(0010,0010)"].value == "MOREAU^Hélène"
    assert found["(0028,0030)"].value == "0.7 \\ 0.7"


def test_items_follow_their_sequence_one_step_in() -> None:
    listed = list(lines(from_dataset(a_sr())))
    start = next(number for number, line in enumerate(listed) if line.tag == "(0040,A730)")
    assert listed[start].value == "1 Item"
    assert listed[start + 1].is_item
    assert listed[start + 1].name == "Item 1"
    assert listed[start + 2].depth == 1


def test_private_attributes_are_named_after_their_creator() -> None:
    json = {
        "00291008": {"vr": "CS", "Value": ["IMAGE NUM 4"]},
        "00290010": {"vr": "LO", "Value": ["SIEMENS CSA HEADER"]},
        "00311099": {"vr": "LO", "Value": ["x"]},
        "00330010": {"vr": "LO", "Value": ["NOBODY KNOWS"]},
        "00331001": {"vr": "LO", "Value": ["y"]},
    }
    found = {line.tag: line.name for line in lines(json)}
    assert found["(0029,0010)"] == "Private Creator"
    assert found["(0029,1008)"] == "CSA Image Header Type"
    assert found["(0031,1099)"] == "Private attribute"
    assert found["(0033,1001)"] == "Private attribute of NOBODY KNOWS"


def test_an_empty_private_creator_is_no_error() -> None:
    assert len(list(lines({"00290010": {"vr": "LO", "Value": []}}))) == 1
    assert len(list(lines({"00290010": {"vr": "LO"}}))) == 1


def test_unknown_attributes_have_a_name_too() -> None:
    assert name_of("00080003") == "Unknown attribute"


def test_bulk_data_is_told_not_shown() -> None:
    (line,) = lines({"7FE00010": {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"}})
    assert (line.value, line.bulk) == ("bulk data", "bulkdata/7FE00010")
    (inline,) = lines({"00420011": {"vr": "OB", "InlineBinary": "AAAA"}})
    assert inline.value == "3 bytes"
    sizes = [
        line.value
        for line in lines(
            {f"000910{n}0": {"vr": "OB", "InlineBinary": b} for n, b in enumerate(("AQ==", "AQI=", "AQIDBA=="))}
        )
    ]
    assert sizes == ["1 bytes", "2 bytes", "4 bytes"]


def test_long_and_many_values_are_cut() -> None:
    (long,) = lines({"00081030": {"vr": "LO", "Value": ["x" * 1000]}})
    assert len(long.value) == attributes.MAX_CHARACTERS + 1
    (many,) = lines({"00280106": {"vr": "US", "Value": [1] * 500}})
    assert many.value.endswith("… 500 values")


def test_deep_nesting_and_many_attributes_end() -> None:
    json = {"00081115": {"vr": "SQ", "Value": []}}
    for _ in range(200):
        json = {"00081115": {"vr": "SQ", "Value": [json]}}
    assert max(line.depth for line in lines(json)) == attributes.MAX_DEPTH
    wide = {"00081115": {"vr": "SQ", "Value": [{"00080018": {"vr": "UI", "Value": ["1.2"]}}] * 9000}}
    assert len(list(lines(wide))) == MAX_LINES
