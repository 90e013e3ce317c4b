"""PS3.18 F.2, from JSON to a Data Set: what is read from JSON, and what is none."""

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian

from fixtures import builders
from fixtures.by_pydicom import read, written
from relais.dicom import json_model
from relais.dicom.json_model import MAX_DEPTH, from_dataset, to_dataset, values
from relais.errors import InvalidDataSet

DATA = Path(__file__).parents[2] / "conformance" / "data"
EXAMPLES = [one for name in ("ps3_18_f_2_1", "query_result") for one in json.loads((DATA / f"{name}.json").read_text())]


@pytest.mark.parametrize("example", EXAMPLES)
def test_results_survive_the_way_to_a_data_set_and_back(example: json_model.JsonDataset) -> None:
    """PS3.18 F.2.1, F.4"""
    ds = to_dataset(example)
    assert from_dataset(ds) == example
    assert from_dataset(read(written(ds, implicit=False), implicit=False)) == example


def test_a_data_set_from_json_is_one_to_work_with() -> None:
    ds = to_dataset(EXAMPLES[3])
    assert ds.PatientName.ideographic == "王^小东"
    assert ds.NumberOfStudyRelatedSeries == 5
    assert ds.ModalitiesInStudy == ["CT", "PET"]
    assert ds.OtherPatientIDsSequence[1].PatientID == "24680"


TEXTS = st.text("aZ é山\U0001f600,;%", min_size=1, max_size=8).map(str.strip).filter(bool)
INTEGERS = {"US": (0, 2**16 - 1), "SS": (-(2**15), 2**15 - 1), "UL": (0, 2**32 - 1), "SL": (-(2**31), 2**31 - 1)}


NOT_FINITE = st.sampled_from(["NaN", "Infinity", "-Infinity"])
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
ASCII = TEXTS.map(lambda value: value.encode("ascii", "ignore").decode().strip() or "x")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **{vr: st.integers(*ends) for vr, ends in INTEGERS.items()},
    "UV": st.integers(0, 2**64 - 1).map(lambda n: n if n <= 2**53 else str(n)),
    "SV": st.integers(-(2**63), 2**63 - 1).map(lambda n: n if abs(n) <= 2**53 else str(n)),
    "FL": st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.sampled_from(["NaN", "Infinity", "-Infinity"]),
    "FD": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "Infinity", "-Infinity"]),
    "AT": st.integers(0, 2**32 - 1).map(lambda n: f"{n:08X}"),
    "PN": st.none()
    | st.dictionaries(st.sampled_from(GROUPS), TEXTS, min_size=1).map(
        lambda found: {name: found[name] for name in GROUPS if name in found}
    ),
    "IS": st.none() | st.integers(-(2**31), 2**31 - 1) | st.just("12a"),
    "DS": st.none()
    | st.integers(-(10**15), 10**15)
    | st.just("1,5")
    | st.floats(-1e9, 1e9).map(lambda n: float(f"{n:.8g}")).map(lambda n: int(n) if n.is_integer() else n),
    "UI": st.none() | st.just("1.2.3"),
    **{vr: st.none() | TEXTS for vr in ("LO", "SH", "UC", "LT", "ST", "UT")},
    **{vr: st.none() | ASCII for vr in ("AE", "AS", "CS", "DA", "DT", "TM", "UR")},
}


@st.composite
def json_elements(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    vr = draw(st.sampled_from(sorted(json_model.VRS - (set() if depth else {"SQ"}))))
    if vr == "SQ":
        items = draw(st.lists(json_datasets(depth - 1), max_size=2))
        return {"vr": vr, "Value": items} if items else {"vr": vr}
    if vr in json_model.BULK_VRS:
        value = draw(st.binary(max_size=6).map(lambda some: some * 2))
        return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()} if value else {"vr": vr}
    several = 1 if vr in ("LT", "ST", "UT", "UR") else 3
    found = draw(st.lists(VALUES[vr], max_size=several))
    return {"vr": vr, "Value": found} if found and found != [None] else {"vr": vr}


@st.composite
def json_datasets(draw: st.DrawFn, depth: int = 2) -> json_model.JsonDataset:
    """Private tags, so that any VR may stand anywhere."""
    tags = draw(st.lists(st.integers(0x1000, 0x10FF), max_size=4, unique=True))
    found = {f"0009{tag:04X}": draw(json_elements(depth)) for tag in sorted(tags)}
    return ({"00090010": {"vr": "LO", "Value": ["RELAIS TEST"]}} if found else {}) | found


def without_character_set(found: json_model.JsonDataset) -> json_model.JsonDataset:
    return {key: element for key, element in found.items() if key != "00080005"}


@settings(deadline=None)
@given(json_datasets())
def test_json_survives_the_way_to_a_data_set_and_back(found: json_model.JsonDataset) -> None:
    assert without_character_set(from_dataset(to_dataset(found))) == found


@settings(deadline=None)
@given(json_datasets())
def test_json_survives_the_way_to_bytes_and_back(found: json_model.JsonDataset) -> None:
    again = from_dataset(read(written(to_dataset(found), implicit=False), implicit=False))
    assert without_character_set(again) == found


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "rtstruct.dcm", "reportsi.dcm", "JPEG2000.dcm"]
)
def test_real_data_sets_survive_the_way_to_json_and_back(name: str) -> None:
    ds = dcmread(get_testdata_file(name), force=True)
    found = from_dataset(ds)
    assert from_dataset(to_dataset(found)) == found


# Its character set


@pytest.mark.parametrize(
    ("declared", "name", "kept"),
    [
        (None, "Doe", None),
        (None, "Zoé", ["ISO_IR 192"]),
        (["ISO_IR 100"], "Zoé", ["ISO_IR 100"]),
        (["ISO_IR 100"], "山", ["ISO_IR 192"]),
        ([None, "ISO 2022 IR 87"], "Doe", [None, "ISO 2022 IR 87"]),
        ([None, "ISO 2022 IR 87"], "山", ["ISO_IR 192"]),
    ],
)
def test_a_data_set_says_the_character_set_that_can_hold_its_text(
    declared: list[Any] | None, name: str, kept: list[Any] | None
) -> None:
    found: json_model.JsonDataset = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}
    if declared:
        found = {"00080005": {"vr": "CS", "Value": declared}} | found
    again = from_dataset(read(written(to_dataset(found), implicit=True)))
    assert values(again, 0x00080005) == (kept or [])
    assert values(again, 0x00100010) == [{"Alphabetic": name}]


def test_the_text_of_items_counts_too_and_items_have_their_own_say() -> None:
    item = {"00080005": {"vr": "CS", "Value": ["ISO_IR 144"]}, "00100020": {"vr": "LO", "Value": ["山", "é"]}}
    found: json_model.JsonDataset = {"00101002": {"vr": "SQ", "Value": [item, None]}}
    ds = to_dataset(found)
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.OtherPatientIDsSequence[0].SpecificCharacterSet == "ISO_IR 192"
    assert len(ds.OtherPatientIDsSequence) == 2


# What is no DICOM JSON


def element(**parts: Any) -> dict[str, Any]:
    return {"00091001": parts}


GARBAGE: list[Any] = [
    [],
    {"PatientName": {"vr": "PN"}},
    {"0010": {"vr": "PN"}},
    {"00100010": "x"},
    {"00100010": {}},
    element(vr="XX"),
    element(vr=["LO"]),
    element(vr="LO", Value="x"),
    element(vr="LO", Value=[1]),
    element(vr="LO", Value=["x"], InlineBinary="YWI="),
    element(vr="LO", InlineBinary="YWI="),
    element(vr="OB", Value=["x"]),
    element(vr="OB", InlineBinary="#"),
    element(vr="OB", InlineBinary=7),
    element(vr="OB", InlineBinary="é"),
    element(vr="OB", BulkDataURI="http://x"),
    element(vr="SQ", Value=["x"]),
    element(vr="PN", Value=["Doe^John"]),
    element(vr="PN", Value=[{"Name": "x"}]),
    element(vr="PN", Value=[{"Alphabetic": 7}]),
    element(vr="US", Value=[70000]),
    element(vr="US", Value=[-1]),
    element(vr="US", Value=[1.5]),
    element(vr="US", Value=[True]),
    element(vr="US", Value=[None]),
    element(vr="US", Value=["x"]),
    element(vr="US", Value=[{}]),
    element(vr="FD", Value=["x"]),
    element(vr="FL", Value=[1e300]),
    element(vr="AT", Value=["0x10"]),
    element(vr="AT", Value=[7]),
    element(vr="IS", Value=[True]),
    element(vr="DS", Value=[math.inf]),
    element(vr="DS", Value=[[]]),
    element(vr="LT", Value=["a", "b"]),
    {"00101002": {"vr": "SQ", "Value": [{"x": {}}]}},
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_what_is_no_dicom_json_is_refused_with_a_sentence(garbage: Any) -> None:
    with pytest.raises(InvalidDataSet, match=r"\.$"):
        to_dataset(garbage)


def test_sequences_in_json_nest_to_a_limit_and_no_deeper() -> None:
    found: json_model.JsonDataset = {}
    for _ in range(MAX_DEPTH + 1):
        found = {"00081115": {"vr": "SQ", "Value": [found]}}
    with pytest.raises(InvalidDataSet, match="nested more than"):
        to_dataset(found)


def test_file_meta_and_group_lengths_in_json_are_left_out() -> None:
    found = {
        "00020010": {"vr": "UI", "Value": ["1.2"]},
        "00100000": {"vr": "UL", "Value": [4]},
        "00100020": {"vr": "LO"},
    }
    assert list(to_dataset(found).keys()) == [0x00100020]


def test_bulk_data_is_fetched_by_its_uri() -> None:
    """PS3.18 F.2.6"""
    found = {
        "00100020": {"vr": "LO", "BulkDataURI": "b"},
        "00189087": {"vr": "FD", "BulkDataURI": "c"},
        "7FE00010": {"vr": "OW", "BulkDataURI": "a"},
    }
    held = {"a": b"abcd", "b": "é\\山".encode(), "c": struct.pack("<d", 1.5)}
    ds = to_dataset(found, held.__getitem__)
    assert ds.PixelData == b"abcd"
    assert ds.PatientID == ["é", "山"]
    assert ds[0x00189087].value == 1.5


def test_an_unknown_stays_unknown_though_a_dictionary_would_know_it() -> None:
    found = {"00280010": {"vr": "UN", "InlineBinary": "YWJjZA=="}}
    assert to_dataset(found)[0x00280010].VR == "UN"


@pytest.mark.parametrize(
    ("number", "written_as"),
    [
        (1.5, "1.5"),
        (0.1 + 0.2, "0.3"),
        (1 / 3, "0.33333333333333"),
        (-1e-300 / 3, "-3.3333333e-301"),
        (10**20, "1e+20"),
    ],
)
def test_a_decimal_is_written_in_sixteen_characters(number: float, written_as: str) -> None:
    """PS3.5 6.2"""
    ds = to_dataset({"00101030": {"vr": "DS", "Value": [number]}})
    encoded = written(ds, implicit=True)[8:].decode().strip()
    assert len(encoded) <= 16
    assert float(encoded) == pytest.approx(float(written_as), rel=1e-8)


def test_an_odd_value_is_padded() -> None:
    assert to_dataset(element(vr="OB", InlineBinary="YQ=="))[0x00091001].value == b"a\0"


def test_transfer_syntax_does_not_matter_to_json(tmp_path: Path) -> None:
    ct = builders.a_ct(PatientName="Buc^Jérôme", SpecificCharacterSet="ISO_IR 100")
    explicit = tmp_path / "explicit.dcm"
    implicit = tmp_path / "implicit.dcm"
    dcmwrite(explicit, ct, enforce_file_format=True)
    ct.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dcmwrite(implicit, ct, enforce_file_format=True, implicit_vr=True, little_endian=True)
    assert from_dataset(dcmread(explicit)) == from_dataset(dcmread(implicit))
