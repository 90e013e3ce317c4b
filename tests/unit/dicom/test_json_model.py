"""PS3.18 F.2, from a Data Set to JSON."""

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import DataElement, Dataset, dcmread, dcmwrite
from pydicom.data import get_charset_files
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from fixtures import builders
from fixtures.by_pydicom import read, written
from relais.dicom import json_model
from relais.dicom.json_model import MAX_DEPTH, from_dataset, from_element, text, to_dataset, values
from relais.dicom.json_values import from_bytes
from relais.dicom.person_name import from_json
from relais.errors import InvalidDataSet

CHARSET_FILES = sorted(path for path in get_charset_files() if path.endswith(".dcm"))


def implicit_element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


# One value or more, of every VR


@pytest.mark.parametrize(
    ("vr", "encoded", "found"),
    [
        ("AE", b" RELAIS ", ["RELAIS"]),
        ("AS", b"051Y", ["051Y"]),
        ("AT", b"\x08\x00\x20\x00\x28\x00\x06\x01", ["00080020", "00280106"]),
        ("CS", b"ORIGINAL\\PRIMARY ", ["ORIGINAL", "PRIMARY"]),
        ("DA", b"20240229", ["20240229"]),
        ("DS", b" 1.50\\-2\\1e3 ", [1.5, -2, 1000]),
        ("DT", b"20240229103015.5+0100 ", ["20240229103015.5+0100"]),
        ("FD", struct.pack("<2d", 0.1, -2), [0.1, -2]),
        ("FL", struct.pack("<f", 0.5), [0.5]),
        ("IS", b"007\\-1", [7, -1]),
        ("LO", b" a\\ b ", ["a", "b"]),
        ("LT", b" a\\b ", [" a\\b"]),
        ("PN", b"Doe^John \\=x", [{"Alphabetic": "Doe^John"}, {"Ideographic": "x"}]),
        ("SH", b"a\\b", ["a", "b"]),
        ("SL", struct.pack("<2i", -1, 2), [-1, 2]),
        ("SS", struct.pack("<h", -1), [-1]),
        ("ST", b"a\\b", ["a\\b"]),
        ("SV", struct.pack("<q", -(2**53)), [-(2**53)]),
        ("TM", b"1030\\", ["1030", None]),
        ("UC", b" a\\b ", [" a", "b"]),
        ("UI", b"1.2\\1.3\0", ["1.2", "1.3"]),
        ("UL", struct.pack("<I", 2**32 - 1), [2**32 - 1]),
        ("UR", b"http://x/a\\b ", ["http://x/a\\b"]),
        ("US", struct.pack("<2H", 1, 2), [1, 2]),
        ("UT", b" a\\b\r\n", [" a\\b\r\n"]),
        ("UV", struct.pack("<Q", 7), [7]),
    ],
)
def test_every_vr_has_its_json_form(vr: str, encoded: bytes, found: list[Any]) -> None:
    """PS3.18 F.2.3"""
    assert from_bytes(vr, encoded) == {"vr": vr, "Value": found}


@pytest.mark.parametrize("vr", ["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
def test_bytes_are_never_in_value(vr: str) -> None:
    """PS3.18 F.2.7"""
    assert from_bytes(vr, bytes(range(8))) == {"vr": vr, "InlineBinary": base64.b64encode(bytes(range(8))).decode()}
    assert from_bytes(vr, b"") == {"vr": vr}


@pytest.mark.parametrize(
    ("vr", "encoded", "swapped"),
    [
        ("OB", b"abcd", b"abcd"),
        ("UN", b"abcd", b"abcd"),
        ("OW", b"abcde", b"badce"),
        ("OL", b"abcd", b"dcba"),
        ("OF", b"abcdefgh", b"dcbahgfe"),
        ("OD", b"abcdefgh", b"hgfedcba"),
        ("OV", b"abcdefgh", b"hgfedcba"),
    ],
)
def test_words_are_little_endian_in_json(vr: str, encoded: bytes, swapped: bytes) -> None:
    assert base64.b64decode(from_bytes(vr, encoded, is_big_endian=True)["InlineBinary"]) == swapped


def test_numbers_in_big_endian_are_the_same_numbers() -> None:
    assert from_bytes("US", b"\x01\x00", is_big_endian=True)["Value"] == [256]
    assert from_bytes("AT", b"\x00\x08\x00\x20", is_big_endian=True)["Value"] == ["00080020"]


@pytest.mark.parametrize("vr", ["LO", "PN", "IS", "DS", "US", "FD", "AT", "UT", "UI"])
@pytest.mark.parametrize("encoded", [b"", b"  ", b"\0"])
def test_an_empty_element_has_no_value(vr: str, encoded: bytes) -> None:
    """PS3.18 F.2.5"""
    if encoded and vr in ("US", "FD", "AT"):
        return
    assert from_bytes(vr, encoded) == {"vr": vr}


def test_an_empty_value_among_others_is_null() -> None:
    """PS3.18 F.2.5"""
    assert from_bytes("LO", b"a\\\\b\\")["Value"] == ["a", None, "b", None]
    assert from_bytes("IS", b"\\1")["Value"] == [None, 1]
    assert from_bytes("PN", b"A\\\\=\\^")["Value"] == [{"Alphabetic": "A"}, None, None, {"Alphabetic": "^"}]


@pytest.mark.parametrize(
    ("vr", "encoded", "found"),
    [
        ("IS", b"1.5", "1.5"),
        ("IS", b"12a", "12a"),
        ("IS", b"9007199254740993", "9007199254740993"),
        ("DS", b"1,5", "1,5"),
        ("DS", b"nan", "nan"),
        ("DS", b"1e999", "1e999"),
        ("DS", b"1_000", "1_000"),
        ("SV", struct.pack("<q", -(2**53) - 1), "-9007199254740993"),
        ("UV", struct.pack("<Q", 2**64 - 1), "18446744073709551615"),
    ],
)
def test_numbers_that_json_readers_would_change_stay_strings(vr: str, encoded: bytes, found: str) -> None:
    """PS3.18 F.2.3"""
    assert from_bytes(vr, encoded)["Value"] == [found]


def test_floating_point_values_that_are_not_finite_are_strings() -> None:
    encoded = struct.pack("<4d", math.nan, math.inf, -math.inf, 1)
    assert from_bytes("FD", encoded)["Value"] == ["NaN", "Infinity", "-Infinity", 1]


@pytest.mark.parametrize("vr", ["US", "UL", "FD", "AT", "SV"])
def test_bytes_that_a_vr_cannot_hold_are_kept_as_unknown(vr: str) -> None:
    assert from_bytes(vr, b"abc") == {"vr": "UN", "InlineBinary": "YWJj"}


@pytest.mark.parametrize("vr", ["ZZ", "??", "SQ "])
def test_an_unknown_vr_is_kept_as_unknown(vr: str) -> None:
    assert from_bytes(vr, b"ab") == {"vr": "UN", "InlineBinary": "YWI="}


@given(st.sampled_from(sorted(json_model.VRS - {"SQ"})), st.binary(max_size=40), st.booleans())
def test_no_bytes_are_too_strange_for_json(vr: str, encoded: bytes, is_big_endian: bool) -> None:
    found = from_bytes(vr, encoded, ["", "ISO 2022 IR 87"], is_big_endian=is_big_endian)
    json.dumps(found, allow_nan=False)
    assert len(found) <= 2


# Data Sets


def test_attributes_come_sorted_and_without_what_is_no_metadata() -> None:
    """PS3.18 F.2.2"""
    encoded = b"".join(
        implicit_element(tag, value)
        for tag, value in [
            (0x00020010, b"1.2 "),
            (0x00100000, b"\0\0\0\0"),
            (0x00100020, b"1 "),
            (0x00080060, b"CT"),
            (0xFFFCFFFC, b"\0\0"),
        ]
    )
    assert list(from_dataset(read(encoded))) == ["00080060", "00100020"]


def test_only_wanted_attributes_are_read() -> None:
    ds = builders.a_ct()
    assert list(from_dataset(ds, wanted={0x00100020, 0x00080060})) == ["00080060", "00100020"]


def test_specific_character_set_says_how_the_source_was_encoded() -> None:
    """PS3.18 F.2.2"""
    ds = dcmread(next(path for path in CHARSET_FILES if path.endswith("chrFren.dcm")))
    found = from_dataset(ds)
    assert found["00080005"]["Value"] == ["ISO_IR 100"]
    assert found["00100010"]["Value"] == [{"Alphabetic": "Buc^Jérôme"}]


@pytest.mark.parametrize("path", CHARSET_FILES, ids=lambda path: Path(path).stem)
def test_names_in_every_character_set_are_those_that_pydicom_reads(path: str) -> None:
    ds = dcmread(path)
    found = from_dataset(ds)
    for elem in ds:
        if elem.VR == "PN":
            names = elem.value if elem.VM > 1 else [elem.value]
            expected = [str(name).rstrip("= ") for name in names if name]
            assert [from_json(value) for value in values(found, elem.tag)] == expected


def test_an_item_has_the_character_set_that_it_declares_or_inherits() -> None:
    """PS3.5 7.5.3"""
    for name in ("chrSQEncoding.dcm", "chrSQEncoding1.dcm"):
        ds = dcmread(next(path for path in CHARSET_FILES if path.endswith(name)))
        item = values(from_dataset(ds), 0x00321064)[0]
        assert values(item, 0x00100010) == [
            {"Alphabetic": "ﾔﾏﾀﾞ^ﾀﾛｳ", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
        ]


def test_an_item_may_declare_that_it_has_no_character_set() -> None:
    item = implicit_element(0x00080005, b"") + implicit_element(0x00100020, b"\xe9 ")
    sequence = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    encoded = implicit_element(0x00080005, b"ISO_IR 144") + implicit_element(0x00101002, sequence)
    assert values(from_dataset(read(encoded)), 0x00101002)[0]["00100020"]["Value"] == ["é"]


def test_items_may_be_empty_and_sequences_too() -> None:
    """PS3.18 F.2.5"""
    ds = Dataset()
    ds.OtherPatientIDsSequence = [Dataset(), Dataset()]
    ds.RequestAttributesSequence = []
    found = from_dataset(ds)
    assert found["00101002"] == {"vr": "SQ", "Value": [{}, {}]}
    assert found["00400275"] == {"vr": "SQ"}
    empty = read(implicit_element(0x00400275, b""))
    assert from_dataset(empty)["00400275"] == {"vr": "SQ"}


def test_an_unknown_that_the_standard_knows_is_read_by_its_dictionary() -> None:
    item = implicit_element(0x00100020, b"7 ")
    sequence = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    encoded = b"".join(
        struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"UN", 0, len(value)) + value
        for tag, value in [
            (0x00100010, b"Doe^John"),
            (0x00101002, sequence),
            (0x00280010, b"\x02\0"),
            (0x00091001, b"ab"),
        ]
    )
    found = from_dataset(read(encoded, implicit=False))
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]}
    assert found["00101002"]["Value"] == [{"00100020": {"vr": "LO", "Value": ["7"]}}]
    assert found["00280010"] == {"vr": "US", "Value": [2]}
    assert found["00091001"] == {"vr": "UN", "InlineBinary": "YWI="}


@pytest.mark.parametrize(
    ("representation", "vr", "value"), [(b"", "US", 65535), (b"\0\0", "US", 65535), (b"\1\0", "SS", -1)]
)
def test_an_ambiguous_vr_follows_pixel_representation(representation: bytes, vr: str, value: int) -> None:
    """PS3.5 A.1"""
    encoded = implicit_element(0x00280103, representation) + implicit_element(0x00280106, b"\xff\xff")
    assert from_dataset(read(encoded))["00280106"] == {"vr": vr, "Value": [value]}


def test_ambiguous_bytes_are_words() -> None:
    """PS3.5 A.1"""
    found = from_dataset(read(implicit_element(0x00283006, b"ab") + implicit_element(0x7FE00010, b"cd")))
    assert found["00283006"]["vr"] == found["7FE00010"]["vr"] == "OW"


@pytest.mark.parametrize(("creator", "vr"), [(b"GEMS_ACQU_01", "DS"), (b"NOBODY", "UN"), (b"", "UN"), (None, "UN")])
def test_a_private_element_without_vr_is_read_if_its_creator_is_known(creator: bytes | None, vr: str) -> None:
    """PS3.5 7.8.1"""
    encoded = b"" if creator is None else implicit_element(0x00190010, creator)
    found = from_dataset(read(encoded + implicit_element(0x0019100F, b"12")))
    assert found["0019100F"]["vr"] == vr
    assert creator is None or found["00190010"]["vr"] == "LO"


def test_an_element_that_nobody_knows_is_unknown() -> None:
    assert from_dataset(read(implicit_element(0x00080003, b"ab")))["00080003"]["vr"] == "UN"


def test_big_endian_data_sets_are_read() -> None:
    encoded = struct.pack(">HH2sHH", 0x0028, 0x0010, b"US", 2, 512)
    assert from_dataset(read(encoded, implicit=False, little=False))["00280010"]["Value"] == [512]


def test_bulk_data_gets_the_uri_that_the_caller_names() -> None:
    """PS3.18 F.2.6"""
    ds = builders.a_ct()
    item = Dataset()
    item.add_new(0x00091001, "UN", b"abcd")
    item.add_new(0x00091002, "OB", b"")
    ds.OtherPatientIDsSequence = [Dataset(), item]
    asked: dict[str, int] = {}

    def bulk(path: str, size: int) -> str | None:
        asked[path] = size
        return f"bulkdata/{path}" if size > 100 else None

    found = from_dataset(ds, bulk)
    assert asked == {"00101002/1/00091001": 4, "7FE00010": len(ds.PixelData)}
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"}
    assert values(found, 0x00101002)[1]["00091001"]["InlineBinary"] == "YWJjZA=="


def test_a_deferred_value_is_read_only_if_it_must_be(tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    ds = builders.a_ct()
    dcmwrite(path, ds, enforce_file_format=True)
    deferred = dcmread(path, defer_size=512)
    assert from_dataset(deferred, lambda path, size: f"{path}:{size}")["7FE00010"]["BulkDataURI"] == "7FE00010:2048"
    assert base64.b64decode(from_dataset(deferred)["7FE00010"]["InlineBinary"]) == ds.PixelData


def test_a_data_set_made_by_hand_reads_like_its_bytes() -> None:
    ds = builders.a_ct(
        OtherPatientNames=["A^B", "C"], PatientComments="a\\b", AcquisitionNumber="", PatientWeight="70.5"
    )
    ds.add_new(0x00280009, "AT", [0x00181063, 0x00181065])
    ds.add_new(0x00189087, "FD", [1.5, 2.5])
    ds.add_new(0x00100030, "DA", None)
    again = read(written(ds, implicit=False), implicit=False)
    assert from_dataset(ds) == from_dataset(again)


def test_a_value_of_bytes_that_is_none_is_refused() -> None:
    elem = DataElement(0x7FE00010, "OB", b"")
    elem._value = [1, 2]
    with pytest.raises(InvalidDataSet, match="not made of bytes"):
        from_element(elem)


def test_undecoded_text_is_decoded_by_the_character_set_given() -> None:
    elem = DataElement(0x00100020, "LO", "x")
    elem._value = b"\xe9"
    assert from_element(elem, "ISO_IR 144")["Value"] == ["щ"]
    raw = RawDataElement(Tag(0x00100020), "LO", 1, b"\xe9", 0, False, True)
    assert from_element(raw, ["ISO_IR 144"])["Value"] == ["щ"]


def nested(depth: int, *, implicit: bool = True) -> bytes:
    encoded = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(encoded)) + encoded
        encoded = implicit_element(0x00081115, item)
    return encoded


def test_sequences_nest_to_a_limit_and_no_deeper() -> None:
    found = from_dataset(read(nested(MAX_DEPTH)))
    assert from_dataset(to_dataset(found)) == found
    with pytest.raises(InvalidDataSet, match="nested more than"):
        from_dataset(read(nested(MAX_DEPTH + 1)))


def test_bytes_that_are_no_sequence_are_refused() -> None:
    with pytest.raises(InvalidDataSet, match=r"0008,1115"):
        from_dataset(read(implicit_element(0x00081115, b"abc")))


def test_values_and_text_find_what_is_there() -> None:
    found = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A", "Phonetic": "P"}]},
        "00100020": {"vr": "LO"},
        "00101001": {"vr": "PN", "Value": [{}, {"Alphabetic": "B"}]},
        "00200013": {"vr": "IS", "Value": [7, 8]},
        "00081030": {"vr": "LO", "Value": [None]},
    }
    assert values(found, 0x00200013) == [7, 8]
    assert values(found, 0x00100020) == values(found, 0x00100030) == []
    assert text(found, 0x00100010) == "A==P"
    assert text(found, 0x00200013) == "7"
    assert (
        text(found, 0x00101001) is text(found, 0x00100020) is text(found, 0x00081030) is text(found, 0x00100030) is None
    )
