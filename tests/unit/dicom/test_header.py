import time
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from fixtures.builders import a_code, a_ct, a_multiframe, a_pdf, a_sr, part10
from fixtures.encoded import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    deflate,
    element,
    item,
    open_sequence,
    uids,
)
from fixtures.fuzz import for_a_while
from fixtures.real import real_files
from relais.dicom import header as headers
from relais.dicom import inflate
from relais.dicom.frames import FrameTable
from relais.dicom.header import KEPT, Header, read_header
from relais.dicom.json_model import JsonDataset, from_dataset
from relais.dicom.layout import Layout
from relais.dicom.part10 import parse_whole_head
from relais.dicom.refs import InstanceRef
from relais.errors import InvalidDataSet

SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]
NAME = element(0x00100010, "PN", b"DUPONT^Anna ")


def read(data: bytes, syntax: str = EXPLICIT, start: int = 0) -> Header:
    return read_header(lambda offset, length: data[offset : offset + length], len(data), start, syntax)


def read_part10(data: bytes) -> Header:
    meta, start = parse_whole_head(data)
    return read(data, meta.transfer_syntax_uid, start)


def by_pydicom(data: bytes) -> JsonDataset:
    return from_dataset(dcmread(BytesIO(data)), wanted=KEPT)


def refused(data: bytes, syntax: str = EXPLICIT) -> str:
    with pytest.raises(InvalidDataSet) as caught:
        read(data, syntax)
    return caught.value.message


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_uids_and_attributes_are_read(syntax: str) -> None:
    ds = a_ct(transfer_syntax=syntax)
    header = read_part10(part10(ds))
    assert header.ref == InstanceRef(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    assert (header.sop_class_uid, header.transfer_syntax_uid) == (ds.SOPClassUID, syntax)
    assert header.attributes["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "MOREL^Hélène"}]}
    assert header.attributes["00280010"] == {"vr": "US", "Value": [32]}
    assert header.warnings == ()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("build", [a_ct, a_sr, a_pdf, a_multiframe])
def test_attributes_are_those_of_the_table_as_pydicom_reads_them(build: Any, syntax: str) -> None:
    data = part10(build(transfer_syntax=syntax))
    assert read_part10(data).attributes == by_pydicom(data)


def test_derived_attributes_are_not_taken_from_the_data_set() -> None:
    header = read_part10(part10(a_ct(NumberOfStudyRelatedInstances=7, ModalitiesInStudy="MR")))
    assert not {"00201208", "00080061"} & header.attributes.keys()


@pytest.mark.filterwarnings("ignore")
def test_real_files_are_read_as_pydicom_reads_them() -> None:
    reasons: dict[str, set[str]] = {}
    equal = 0
    for path in real_files():
        data = path.read_bytes()
        try:
            header = read_part10(data)
        except InvalidDataSet as exc:
            reasons.setdefault(exc.message, set()).add(path.name)
            continue
        assert header.attributes == by_pydicom(data), path
        equal += 1
    assert equal > 140
    no_study = reasons.pop("StudyInstanceUID (0020,000D) is missing.")
    assert {"DICOMDIR", "hotiron.dcm", "UN_sequence.dcm", "JPEGLSNearLossless_08.dcm"} < no_study
    assert set().union(*reasons.values()) == {"MR_truncated.dcm", "rtplan_truncated.dcm"}


# --- UIDs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_missing_or_malformed_uid_is_named(keyword: str) -> None:
    for value, reason in ((None, "is missing"), ("", "is missing"), ("1.2/..", "is not a UID"), ("x", "is not a UID")):
        data = part10_of(a_ct(), keyword, value)
        with pytest.raises(InvalidDataSet, match=f"{keyword} .* {reason}"):
            read_part10(data)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def part10_of(ds: Dataset, keyword: str, value: str | None) -> bytes:
    data = part10(ds)
    old = ds[keyword].value.encode()
    at = data.rindex(old)
    start = parse_whole_head(data)[1]
    assert at > start
    whole = element(ds[keyword].tag, "UI", old + b"\0" * (len(old) % 2))
    new = b"" if value is None else element(ds[keyword].tag, "UI", value.encode() + b"\0" * (len(value) % 2))
    return data[:start] + data[start:].replace(whole, new)


def test_two_uids_are_none() -> None:
    data = uids().replace(element(0x0020000D, "UI", b"1.2.3\0"), element(0x0020000D, "UI", b"1.2\\1.3\0"))
    assert refused(data).startswith("StudyInstanceUID (0020,000D) is not a UID")


@pytest.mark.parametrize(("vr", "value"), [("PN", b"A^B "), ("OB", b"1.2\0"), ("FD", bytes(8)), ("SQ", b"")])
def test_a_uid_of_another_kind_is_none(vr: str, value: bytes) -> None:
    data = uids().replace(element(0x0020000D, "UI", b"1.2.3\0"), element(0x0020000D, vr, value))
    assert refused(data).startswith("StudyInstanceUID (0020,000D) is")


def test_uids_lose_their_padding() -> None:
    data = uids().replace(element(0x0020000D, "UI", b"1.2.3\0"), element(0x0020000D, "UI", b" 1.2.3  \0\0"))
    assert read(data).ref.study_instance_uid == "1.2.3"


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "encoded", "name"),
    [
        (b"ISO_IR 192", "山田^太郎".encode(), "山田^太郎"),
        (b"ISO_IR 144 ", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (b"GB18030 ", "王^小东".encode("gb18030"), "王^小东"),
        (b"\\ISO 2022 IR 87 ", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎"),
    ],
)
def test_text_is_read_by_its_character_set(terms: bytes, encoded: bytes, name: str) -> None:
    """PS3.3 C.12.1.1.2"""
    encoded += b" " * (len(encoded) % 2)
    data = element(0x00080005, "CS", terms) + uids() + element(0x00100010, "PN", encoded)
    assert read(data).attributes["00100010"]["Value"] == [{"Alphabetic": name}]


def test_values_without_a_known_vr_get_that_of_the_dictionary() -> None:
    """PS3.5 6.2.2"""
    header = read(uids() + element(0x00200011, "UN", b"12"))
    assert header.attributes["00200011"] == {"vr": "IS", "Value": [12]}


def test_the_items_of_sequences_are_read() -> None:
    request = Dataset()
    request.RequestedProcedureID, request.AccessionNumber = "R1", "A1"
    request.ScheduledProtocolCodeSequence = [a_code("X1", "99NORD", "Thorax")]
    for syntax in SYNTAXES:
        data = part10(a_ct(RequestAttributesSequence=[request], transfer_syntax=syntax))
        items = read_part10(data).attributes["00400275"]["Value"]
        assert items[0]["00401001"] == {"vr": "SH", "Value": ["R1"]}
        assert items[0]["00400008"]["Value"][0]["00080100"]["Value"] == ["X1"]
        assert read_part10(data).attributes == by_pydicom(data)


def test_a_value_that_is_too_long_is_left_out_with_a_warning() -> None:
    long = element(0x00204000, "UT", b"x" * (headers.MAX_VALUE_BYTES + 2))
    sequence = open_sequence(0x00400275, *[item(element(0x00400007, "LO", b"x" * 60))] * 2000)
    header = read(uids() + long + sequence)
    assert not {"00204000", "00400275"} & header.attributes.keys()
    assert ["too long" in warning for warning in header.warnings] == [True, True]
    assert header.warnings[0].startswith("ImageComments (0020,4000)")


def test_a_sequence_that_cannot_be_read_is_left_out_with_a_warning() -> None:
    header = read(uids() + element(0x00400275, "SQ", b"no Item"))
    assert "00400275" not in header.attributes
    assert header.warnings[-1] == "The sequence (0040,0275) cannot be read."


def test_what_the_scan_found_odd_is_told() -> None:
    assert read(uids() + b"\0\0").warnings == ("2 zero bytes follow the Data Set.",)


# --- layout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_the_layout_says_where_pixel_data_begins_and_where_the_frames_are(syntax: str) -> None:
    data = part10(a_multiframe(frames=3, rows=4, columns=4, transfer_syntax=syntax))
    layout = read_part10(data).layout
    assert layout.pixel_offset is not None
    assert layout.frame_table is not None
    assert data[layout.pixel_offset : layout.pixel_offset + 4] == b"\xe0\x7f\x10\x00"
    ((offset, length),) = FrameTable.unpack(layout.frame_table).pieces(2)
    assert data[offset : offset + length] == b"\2" * 16


def test_an_instance_without_pixels_has_no_pixel_offset() -> None:
    data = part10(a_sr())
    assert read_part10(data).layout == Layout(parse_whole_head(data)[1])


def test_pixels_of_a_deflated_data_set_begin_with_it_and_have_no_table() -> None:
    data = part10(a_ct(transfer_syntax=DEFLATED))
    start = parse_whole_head(data)[1]
    assert read_part10(data).layout == Layout(start, pixel_offset=start)
    assert read(deflate(uids()), DEFLATED).layout == Layout(0)


def test_big_endian_pixels_have_an_offset_and_no_table() -> None:
    layout = read_part10(part10(a_ct(transfer_syntax=BIG_ENDIAN))).layout
    assert layout.pixel_offset is not None
    assert layout.frame_table is None


def test_compressed_frames_are_found() -> None:
    fragments = open_sequence(0x7FE00010, item(), item(b"\xff\xd8ab"), item(b"\xff\xd8cd"), vr="OB")
    data = uids() + element(0x00280008, "IS", b"2 ") + fragments
    packed = read(data, JPEG).layout.frame_table
    assert packed is not None
    assert FrameTable.unpack(packed).count == 2


# --- deflated --------------------------------------------------------------------------------------------------------


def test_a_deflated_data_set_is_read_however_large() -> None:
    """PS3.5 A.5"""
    data = uids() + NAME + element(0x7FE00010, "OW", bytes(3_000_000)) + element(0xFFFCFFFC, "OB", b"\1\2")
    assert read(deflate(data), DEFLATED).attributes["00100010"]["Value"] == [{"Alphabetic": "DUPONT^Anna"}]


def test_a_bomb_is_refused_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "MAX_INFLATED_BYTES", 1_000_000)
    assert "inflates to more than 1000000 bytes" in refused(deflate(uids() + bytes(2_000_000)), DEFLATED)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_truncated_or_damaged_deflated_data_set_is_refused(cut: int) -> None:
    data = deflate(uids() + NAME)
    assert refused(data[:-cut], DEFLATED) == "The deflated Data Set is truncated."
    assert refused(b"\xff" * cut + data, DEFLATED) == "The deflated Data Set is damaged."


def test_inflated_bytes_can_be_read_in_any_order() -> None:
    data = bytes(range(256)) * 4000
    compressed = deflate(data)
    source = inflate.Inflated(lambda offset, length: compressed[offset : offset + length], 0, len(compressed))
    assert source.size_bytes == len(data)
    for offset, length in ((0, 10), (900_000, 5000), (10, 600_000), (1_023_990, 100), (2_000_000, 5), (0, 0)):
        assert source.read_at(offset, length) == data[offset : offset + length]


# --- whatever comes --------------------------------------------------------------------------------------------------

TEXT = st.text(alphabet="abcÉé山^=\\ \0-1", max_size=12)
KEYWORDS = {
    "PatientName": TEXT,
    "PatientID": TEXT,
    "StudyDescription": TEXT,
    "PatientComments": TEXT,
    "InstanceNumber": st.integers(-(2**31), 2**31 - 1),
    "PatientWeight": st.floats(0, 500).map(lambda number: f"{number:.3f}"),
    "Rows": st.integers(0, 65535),
    "StudyDate": st.sampled_from(["20240229", "2024.02.29", ""]),
    "ImageType": st.lists(st.sampled_from(["ORIGINAL", "", "A B"]), max_size=3),
    "SOPClassUID": st.just("1.2"),
}
ITEMS = st.lists(
    st.dictionaries(st.sampled_from(["CodeMeaning", "CodeValue", "PatientName"]), TEXT, max_size=3), max_size=3
)


def sequence(items: list[dict[str, str]]) -> list[Dataset]:
    made = []
    for values in items:
        ds = Dataset()
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        ds.add_new(0x00091010, "UN" if "CodeValue" in values else "FD", b"ab" if "CodeValue" in values else 1.5)
        made.append(ds)
    return made


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional=KEYWORDS), ITEMS, ITEMS, st.sampled_from(SYNTAXES), st.booleans())
def test_any_header_is_read_as_pydicom_reads_it(
    values: dict[str, Any], outer: list[dict[str, str]], inner: list[dict[str, str]], syntax: str, is_open: bool
) -> None:
    ds = a_ct(transfer_syntax=syntax, SpecificCharacterSet="ISO_IR 192", **values)
    requests = sequence(outer)
    for request in requests:
        request.ScheduledProtocolCodeSequence = sequence(inner)
        request["ScheduledProtocolCodeSequence"].is_undefined_length = is_open
    ds.RequestAttributesSequence = requests
    ds["RequestAttributesSequence"].is_undefined_length = is_open
    data = part10(ds)
    assert read_part10(data).attributes == by_pydicom(data)


REAL = [path.read_bytes() for path in real_files() if path.name in {"CT_small.dcm", "MR_small_RLE.dcm", "rtplan.dcm"}]
BUILT = [part10(a_sr(transfer_syntax=syntax)) for syntax in SYNTAXES] + [part10(a_ct(rows=2, columns=2))]


def test_whatever_comes_is_read_or_refused() -> None:
    """The fuzz test of the scan and of what is read from it."""

    @settings(max_examples=400, database=None)
    @given(
        st.sampled_from(REAL + BUILT),
        st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), max_size=5),
        st.integers(0, 100_000),
    )
    def fuzz(data: bytes, changes: list[tuple[int, bytes]], end: int) -> None:
        read_or_refused(data, changes, end)

    for_a_while(fuzz)


def read_or_refused(data: bytes, changes: list[tuple[int, bytes]], end: int) -> None:
    """*data*, changed in places and cut, is an instance or it is not: a sentence says so."""
    meta, start = parse_whole_head(data)
    damaged = bytearray(data[start:][: end or None])
    for place, replacement in changes if damaged else ():
        at = place % len(damaged)
        damaged[at : at + len(replacement)] = replacement
    try:
        header = read(bytes(damaged), meta.transfer_syntax_uid)
    except InvalidDataSet as exc:
        assert exc.message.endswith(".")
    else:
        assert header.ref.study_instance_uid


def test_nothing_large_is_asked_for() -> None:
    head = uids() + element(0x00280010, "US", b"\2\0") + element(0x7FE00010, "OW", b"", 1 << 30)
    asked = []

    def read_at(offset: int, length: int) -> bytes:
        asked.append(length)
        return head[offset : offset + length]

    read_header(read_at, len(head) + (1 << 30), 0, EXPLICIT)
    assert sum(asked) <= 256 * 1024


def test_a_header_is_read_in_less_time_than_pydicom_needs() -> None:
    data = part10(a_ct(rows=512, columns=512))

    def fastest(read_once: Any) -> float:
        times = []
        for _ in range(30):
            start = time.process_time_ns()
            read_once()
            times.append(time.process_time_ns() - start)
        return min(times)

    ours = fastest(lambda: read_part10(data))
    assert ours < fastest(lambda: dcmread(BytesIO(data), stop_before_pixels=True))
