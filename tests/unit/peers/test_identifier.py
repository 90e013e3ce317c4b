import zlib
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filereader import read_dataset

from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Match, MatchKind, Query
from relais.errors import InvalidRequest
from relais.peers import commitment
from relais.peers.identifier import MAX_BYTES, MAX_PARTS, decode, encode, of_query

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]

ANSWER: JsonDataset = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
    "00080052": {"vr": "CS", "Value": ["SERIES"]},
    "00080060": {"vr": "CS", "Value": ["CT"]},
    "00081030": {"vr": "LO"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
    "0020000E": {"vr": "UI", "Value": ["1.2.3"]},
    "00200011": {"vr": "IS", "Value": [7]},
    "00280010": {"vr": "US", "Value": [512]},
    "00281050": {"vr": "DS", "Value": [40, 40.5]},
    "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["SPS-7"]}}, {}]},
    "00280009": {"vr": "AT", "Value": ["00181063"]},
    "00189087": {"vr": "FD", "Value": [0.5]},
}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_encoded_is_what_pydicom_reads(syntax: str) -> None:
    ds = as_pydicom(encode(ANSWER, syntax), syntax)
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.PatientName == "Yamada^Tarou=山田^太郎"
    assert (ds.SeriesNumber, ds.Rows, ds.WindowCenter, ds.DiffusionBValue) == (7, 512, [40, 40.5], 0.5)
    assert (ds.StudyDescription, ds.SeriesInstanceUID, ds.FrameIncrementPointer) == ("", "1.2.3", 0x00181063)
    assert [len(item) for item in ds.RequestAttributesSequence] == [1, 0]
    assert list(ds.keys()) == sorted(ds.keys())


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_identifier_survives_the_way_there_and_back(syntax: str) -> None:
    assert decode(encode(ANSWER, syntax), syntax) == ANSWER | {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}


def test_plain_ascii_names_no_character_set() -> None:
    """PS3.3 C.12.1.1.2"""
    ds = as_pydicom(encode({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "SURYA"}]}}, EXPLICIT), EXPLICIT)
    assert "SpecificCharacterSet" not in ds


def test_text_too_long_for_its_vr_is_sent_as_un() -> None:
    """PS3.5 6.2.2"""
    ds = as_pydicom(encode({"00204000": {"vr": "LT", "Value": ["x" * 70_000]}}, EXPLICIT), EXPLICIT)
    assert ds.get_item("ImageComments").VR == "UN"  # type: ignore[union-attr]
    assert len(ds.get_item("ImageComments").value) == 70_000  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        b"\x08\x00\x52\x00CS\xff\x00STUDY",
        b"\xff" * 100,
        b"\x08\x00\x52\x00CS\x06\x00STUDY \x10\x00\x20\x00LO\x04\x00ab",
    ],
)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_no_identifier_or_cut_off_is_refused(data: bytes, syntax: str) -> None:
    with pytest.raises(InvalidRequest):
        decode(data, syntax)


def test_an_identifier_beyond_the_limit_is_refused_also_when_it_arrives_small() -> None:
    value = (
        b"\x08\x00\x05\x00CS\x00\x00"
        + b"\x09\x00\x10\x00UN\0\0"
        + (2 * MAX_BYTES).to_bytes(4, "little")
        + bytes(2 * MAX_BYTES)
    )
    with pytest.raises(InvalidRequest, match="too long"):
        decode(value, EXPLICIT)
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    with pytest.raises(InvalidRequest, match="too long"):
        decode(deflate.compress(value) + deflate.flush(), DEFLATED)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_identifier_of_very_many_items_is_refused(syntax: str) -> None:
    """hardening.md 3: an empty Item is eight bytes there, and some seven hundred here."""
    some, many = ({"00081110": {"vr": "SQ", "Value": [{}] * count}} for count in (MAX_PARTS - 1, MAX_PARTS))
    assert len(decode(encode(some, syntax), syntax)["00081110"]["Value"]) == MAX_PARTS - 1
    with pytest.raises(InvalidRequest, match="more than 10000"):
        decode(encode(many, syntax), syntax)


def test_a_commitment_report_of_twenty_thousand_failures_is_read() -> None:
    failed = [
        {
            "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
            "00081155": {"vr": "UI", "Value": [f"1.2.826.0.1.3680043.{number}"]},
            "00081197": {"vr": "US", "Value": [0x0112]},
        }
        for number in range(20_000)
    ]
    encoded = encode({"00081198": {"vr": "SQ", "Value": failed}}, IMPLICIT)
    found = decode(encoded, IMPLICIT, commitment.MAX_BYTES, commitment.MAX_PARTS)
    assert found["00081198"]["Value"] == failed


def test_sequences_nested_a_thousand_deep_are_refused() -> None:
    data = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 1000
    with pytest.raises(InvalidRequest):
        decode(data, EXPLICIT)


@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_any_bytes_are_an_identifier_or_refused(data: bytes, syntax: str) -> None:
    with suppress(InvalidRequest):
        decode(data, syntax)


def test_a_query_becomes_the_keys_that_ask_it() -> None:
    """PS3.4 C.2.2.2"""
    query = Query(
        Level.SERIES,
        (
            Match(0x0020000D, MatchKind.SINGLE_VALUE, ("1.2.3",)),
            Match(0x00080021, MatchKind.RANGE, ("20240101", "")),
            Match(0x00080060, MatchKind.MULTIPLE_VALUES, ("CT", "MR")),
            Match(0x00100010, MatchKind.WILD_CARD, ("MOREL*",)),
            Match(0x00181030, MatchKind.EMPTY_VALUE),
            Match(0x00400275, MatchKind.SEQUENCE, items=(Match(0x00400009, MatchKind.SINGLE_VALUE, ("SPS-7",)),)),
            Match(0x00200011, MatchKind.SINGLE_VALUE, ("7",)),
        ),
        return_keys=frozenset({0x0008103E}),
    )
    ds = as_pydicom(encode(of_query(query), EXPLICIT), EXPLICIT)
    assert ds.QueryRetrieveLevel == "SERIES"
    assert (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID) == ("1.2.3", "", "")
    assert (ds.SeriesDate, ds.Modality, ds.PatientName) == ("20240101-", ["CT", "MR"], "MOREL*")
    assert (ds.ProtocolName, ds.SeriesDescription, ds.SeriesNumber) == ('""', "", 7)
    assert ds.RequestAttributesSequence[0].ScheduledProcedureStepID == "SPS-7"


@pytest.mark.parametrize(("level", "present"), [(Level.STUDY, False), (Level.IMAGE, True)])
def test_a_query_for_everything_names_every_attribute_at_or_above_its_level(level: Level, present: bool) -> None:
    asked = of_query(Query(level, all_keys=True))
    assert ("00280010" in asked) is present
    assert "00100010" in asked


def as_pydicom(data: bytes, syntax: str) -> Dataset:
    if syntax == DEFLATED:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    found: Any = read_dataset(BytesIO(data), syntax == IMPLICIT, syntax != BIG_ENDIAN)
    return found  # type: ignore[no-any-return]
