"""What the scan makes of Data Sets that break the rules: warnings for what does no harm, refusal of the rest."""

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.builders import a_sr, dataset_bytes
from fixtures.encoded import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    ITEM_END,
    JPEG,
    SEQUENCE_END,
    UNDEFINED,
    element,
    item,
    open_item,
    open_sequence,
    plain,
    uids,
)
from fixtures.scanned import ROWS, refused, scanned
from relais.dicom import scan as walk
from relais.dicom.scan import scan
from relais.errors import InvalidDataSet


@pytest.mark.parametrize(
    "inner",
    [
        item(b"ab"),  # no delimiter
        item(b"ab", length=100),  # longer than the Data Set
        item(b"ab", length=UNDEFINED) + SEQUENCE_END,
        ITEM_END + SEQUENCE_END,
        ROWS + SEQUENCE_END,
        b"",
        item(b"ab") + SEQUENCE_END[:5],
    ],
)
def test_malformed_fragments_are_refused(inner: bytes) -> None:
    assert refused(uids() + element(0x7FE00010, "OB", inner, UNDEFINED), JPEG)


def test_too_many_fragments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_FRAGMENTS", 10)
    assert "more than 10 fragments" in refused(open_sequence(0x7FE00010, item() * 11, vr="OB"), JPEG)


def test_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_ELEMENTS", 100)
    many = b"".join(element(0x00091000 + n, "US", b"\0\0") for n in range(101))
    assert "more than 100" in refused(many)
    assert "more than 100" in refused(many + element(0x00100010, "PN", bytes(100)))
    assert "more than 100" in refused(open_sequence(0x00400275, item() * 101))
    assert "more than 100" in refused(open_sequence(0x7FE00010, item() * 101, vr="OB"), JPEG)


# --- what is odd but does no harm ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 8, 200_000])
def test_zeros_behind_the_data_set_are_padding(count: int) -> None:
    found = scanned(uids() + bytes(count))
    assert found.warnings == (f"{count} zero bytes follow the Data Set.",)
    assert found.end == len(uids())


def test_an_odd_length_is_a_warning() -> None:
    found = scanned(element(0x00100010, "PN", b"abc") + ROWS)
    assert 0x00280010 in found.elements
    assert found.warnings == ("PatientName (0010,0010) has an odd length.",)


def test_an_odd_length_inside_a_sequence_is_a_warning() -> None:
    assert scanned(open_sequence(0x00400275, open_item(element(0x00400007, "LO", b"abc")))).warnings


def test_tags_out_of_order_are_a_warning_and_the_last_of_two_counts() -> None:
    data = ROWS + element(0x00080060, "CS", b"CT") + element(0x00280010, "US", b"\3\0")
    found = scanned(data)
    assert found.elements[0x00280010].offset == len(data) - len(ROWS)
    assert found.warnings == (
        "Modality (0008,0060) is out of order or comes twice.",
        "Rows (0028,0010) is out of order or comes twice.",
    )


def test_a_delimiter_that_delimits_nothing_is_a_warning() -> None:
    found = scanned(ROWS + SEQUENCE_END + element(0x00280011, "US", b"\0\0"))
    assert 0x00280011 in found.elements
    assert found.warnings == ("SequenceDelimitationItem (FFFE,E0DD) delimits nothing.",)


def test_a_sequence_of_known_length_may_be_malformed_inside() -> None:
    broken = element(0x00400275, "SQ", item(ROWS * 200 + b"\x28\x00"))
    found = scanned(broken + element(0x00400280, "LT", b"xy"))
    assert 0x00400280 in found.elements
    assert "RequestAttributesSequence (0040,0275) is malformed inside" in found.warnings[0]


@pytest.mark.parametrize("inner", [ITEM_END, SEQUENCE_END, item(), ROWS])
def test_an_item_of_known_length_within_an_open_sequence_may_be_malformed_inside(inner: bytes) -> None:
    padding = element(0x00081030, "LO", b"x" * 2000)
    data = open_sequence(0x00400275, item(padding + inner + b"\x01"))
    assert "malformed inside" in scanned(data + element(0x00400280, "LT")).warnings[0]


def test_warnings_are_limited() -> None:
    data = b"".join(element(0x00091000 + n, "LO", b"x") for n in range(100))
    assert len(scanned(data).warnings) == walk.MAX_WARNINGS


def test_a_data_set_in_the_other_vr_encoding_is_read_with_a_warning() -> None:
    implicit = plain(0x00080060, b"CT") + plain(0x00280010, b"\2\0")
    found = scanned(implicit, EXPLICIT)
    assert set(found.elements) == {0x00080060, 0x00280010}
    assert "encoded in Implicit VR, against its announcement" in found.warnings[0]
    found = scanned(uids(), IMPLICIT)
    assert 0x0020000E in found.elements
    assert "encoded in Explicit VR, against its announcement" in found.warnings[0]


@pytest.mark.parametrize("vr", ["ZZ", "??", "  ", "--", "\0\0"])
def test_elements_of_a_vr_that_is_none_with_a_short_length_are_passed(vr: str) -> None:
    odd = pack("<HH2sH", 0x0009, 0x1010, vr.encode(), 4) + b"abcd"
    found = scanned(element(0x00080060, "CS", b"CT") + odd + ROWS)
    assert found.elements[0x00091010].length == 4
    assert 0x00280010 in found.elements


@pytest.mark.parametrize("length", [0, 4, 100_000])
def test_elements_of_a_future_vr_have_a_long_length(length: int) -> None:
    """PS3.5 7.1.2"""
    future = pack("<HH2s2xI", 0x0009, 0x1010, b"ZZ", length) + b"a" * length
    found = scanned(element(0x00080060, "CS", b"CT") + future + ROWS)
    assert found.elements[0x00091010].length == length
    assert 0x00280010 in found.elements


def test_a_last_element_of_unknown_vr_ends_with_the_data_set() -> None:
    assert scanned(ROWS + pack("<HH2sH", 0x0029, 0x1010, b"ZZ", 2) + b"ab").elements[0x00291010].length == 2
    assert scanned(ROWS + pack("<HH2sH", 0x0029, 0x1010, b"ZZ", 0)).elements[0x00291010].length == 0


def test_an_implicit_sequence_among_explicit_elements_is_passed() -> None:
    data = plain(0x00400275, item(), UNDEFINED) + SEQUENCE_END
    assert 0x00400280 in scanned(ROWS + data + element(0x00400280, "LT")).elements


# --- what cannot be kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [0x00020010, 0x00000002, 0xFFFEE000])
def test_what_does_not_belong_into_a_data_set_is_refused(tag: int) -> None:
    """PS3.5 7.1"""
    assert "does not belong into a Data Set" in refused(ROWS + element(tag, "UI", b"1.2\0"))


def test_a_truncated_element_is_named() -> None:
    assert refused(element(0x00100010, "PN", b"abcd", 1000)) == "The Data Set ends inside PatientName (0010,0010)."
    assert refused(plain(0x00100010, b"abcd", 1000), IMPLICIT) == "The Data Set ends inside PatientName (0010,0010)."
    private = element(0x00091010, "OB", b"abcd", 0xFFFFFFF0)
    assert refused(private) == "The Data Set ends inside (0009,1010)."


@pytest.mark.parametrize(
    "data",
    [
        element(0x00400275, "SQ", item(ROWS), UNDEFINED),  # no delimiter
        element(0x00400275, "SQ", b"", UNDEFINED),
        element(0x00400275, "SQ", ROWS, UNDEFINED) + SEQUENCE_END,  # no Item
        element(0x00400275, "SQ", item(ROWS, 1000) + SEQUENCE_END, UNDEFINED),
        element(0x00400275, "SQ", item(ROWS, UNDEFINED) + SEQUENCE_END, UNDEFINED),  # Item without delimiter
        element(0x00400275, "SQ", item(item(ROWS), UNDEFINED), UNDEFINED),
        element(0x00400275, "SQ", ITEM_END, UNDEFINED),
        element(0x00400275, "SQ", item(element(0x00280010, "US", b"", 1000), UNDEFINED), UNDEFINED),
        element(0x00081030, "UT", b"", UNDEFINED),
        pack("<HH2sHI", 0x0009, 0x1010, b"ZZ", 0, 0x7FFFFFFF),
        b"\x28",
        ROWS + b"\x28\x00",
        ROWS + pack("<HH2s2x", 0x0028, 0x1010, b"OB"),
    ],
)
def test_what_ends_inside_is_refused(data: bytes) -> None:
    assert refused(uids() + data).endswith(".")


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_every_truncation_is_refused_or_leaves_whole_elements(syntax: str) -> None:
    data = dataset_bytes(a_sr(transfer_syntax=syntax))
    ends = {element.end for element in scanned(data, syntax).elements.values()} | {0}
    for end in range(len(data)):
        if end in ends:
            assert scanned(data[:end], syntax).end == end
        elif not any(data[max(ends & set(range(end))) : end]):
            assert "zero bytes follow" in scanned(data[:end], syntax).warnings[0]
        else:
            assert refused(data[:end], syntax)


def test_an_object_that_is_shorter_than_it_says_is_refused() -> None:
    data = uids()
    with pytest.raises(InvalidDataSet):
        scan(lambda offset, length: data[offset : offset + length], 0, len(data) + 100, EXPLICIT)


# --- whatever comes --------------------------------------------------------------------------------------------------

SOURCES = [(dataset_bytes(a_sr(transfer_syntax=syntax)), syntax) for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN)] + [
    (uids() + open_sequence(0x7FE00010, item(), item(b"ab"), item(b"cd"), vr="OB"), JPEG)
]


@settings(max_examples=300)
@given(
    st.sampled_from(SOURCES), st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), max_size=4)
)
def test_mutated_data_sets_are_scanned_or_refused(source: tuple[bytes, str], changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(source[0])
    for place, replacement in changes:
        at = place % len(data)
        data[at : at + len(replacement)] = replacement
    try:
        found = scanned(bytes(data), source[1])
    except InvalidDataSet as exc:
        assert exc.message.endswith(".")
    else:
        assert found.end <= len(data)
        assert all(0 <= e.offset < e.value_offset <= e.end <= len(data) for e in found.elements.values())


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG]))
def test_any_bytes_are_scanned_or_refused(data: bytes, syntax: str) -> None:
    try:
        scanned(data, syntax)
    except InvalidDataSet as exc:
        assert exc.message.endswith(".")
