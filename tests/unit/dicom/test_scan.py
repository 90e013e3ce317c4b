"""The scan of an encoded Data Set: what it finds, how far it reads, and that it finds what pydicom finds."""

from io import BytesIO
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from fixtures.builders import a_ct, a_multiframe, a_sr, dataset_bytes
from fixtures.encoded import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
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
from fixtures.real import real_files
from fixtures.scanned import ROWS, refused, scanned
from relais.dicom import elements as encoding
from relais.dicom import scan as walk
from relais.dicom.part10 import parse_whole_head
from relais.dicom.scan import has_at_most, scan
from relais.errors import InvalidDataSet

DEFLATED = "1.2.840.10008.1.2.1.99"


def test_elements_are_found_where_they_are() -> None:
    data = b"head" + uids() + ROWS
    found = scanned(data, start=4)
    rows = found.elements[0x00280010]
    assert data[rows.offset : rows.end] == ROWS
    assert data[rows.value_offset : rows.value_offset + rows.length] == b"\2\0"
    assert (rows.vr, found.end, found.pixel, found.warnings) == ("US", len(data), None, ())


def test_an_empty_data_set_has_no_elements() -> None:
    assert scanned(b"").elements == {}


def test_only_what_is_wanted_is_kept_but_pixel_data_always() -> None:
    data = uids() + ROWS + element(0x7FE00010, "OW", bytes(8))
    found = scanned(data, wanted=frozenset({0x00280010}))
    assert set(found.elements) == {0x00280010, 0x7FE00010}
    assert found.pixel == found.elements[0x7FE00010]
    data = plain(0x00080060, b"CT") + plain(0x00280010, b"\2\0") + plain(0x00281053, b"1 ") + plain(0x00400275, b"")
    assert set(scanned(data, IMPLICIT, wanted=frozenset({0x00280010})).elements) == {0x00280010}
    odd = element(0x00100010, "PN", b"abc") + ROWS
    assert set(scanned(odd, wanted=frozenset({0x00280010})).elements) == {0x00280010}


@pytest.mark.parametrize(("tag", "vr"), [(0x7FE00008, "OF"), (0x7FE00009, "OD")])
def test_float_pixel_data_is_pixel_data(tag: int, vr: str) -> None:
    """PS3.3 C.7.6.24"""
    pixel = scanned(uids() + element(tag, vr, bytes(8))).pixel
    assert pixel is not None
    assert (pixel.tag, pixel.vr) == (tag, vr)


def test_implicit_vr_has_no_vr() -> None:
    """PS3.5 A.1"""
    data = plain(0x00080060, b"CT") + plain(0x00280010, b"\2\0")
    found = scanned(data, IMPLICIT)
    assert [(e.tag, e.vr, e.length) for e in found.elements.values()] == [
        (0x00080060, None, 2),
        (0x00280010, None, 2),
    ]
    assert found.implicit


def test_big_endian_is_read_the_other_way_round() -> None:
    """PS3.5 A.3"""
    data = uids(">") + element(0x7FE00010, "OW", bytes(4), order=">")
    found = scanned(data, BIG_ENDIAN)
    assert found.pixel is not None
    assert found.pixel.length == 4


def test_elements_behind_pixel_data_are_found() -> None:
    data = element(0x7FE00010, "OW", bytes(8)) + element(0xFFFCFFFC, "OB", bytes(2))
    assert 0xFFFCFFFC in scanned(data).elements


@pytest.mark.parametrize("vr", ["OB", "OW", "UN", "UT", "UC", "OV", "SV"])
def test_values_of_long_vrs_have_a_long_length(vr: str) -> None:
    """PS3.5 table 7.1-1"""
    assert scanned(element(0x00091010, vr, bytes(70_000))).elements[0x00091010].length == 70_000


# --- sequences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [b"", item(), item(ROWS), item(ROWS) * 3])
def test_sequences_of_known_and_of_undefined_length_are_passed(inner: bytes) -> None:
    """PS3.5 7.5"""
    for data in (element(0x00400275, "SQ", inner), open_sequence(0x00400275, inner)):
        found = scanned(data + element(0x00400280, "LT", b"x "))
        assert found.elements[0x00400275].end == len(data)
        assert 0x00280010 not in found.elements
        assert 0x00400280 in found.elements


def test_items_of_undefined_length_are_passed() -> None:
    data = open_sequence(0x00400275, open_item(ROWS + open_sequence(0x00400008, open_item(ROWS))), open_item())
    assert scanned(data + element(0x00400280, "LT")).elements[0x00400275].end == len(data)


def test_unknown_vr_of_undefined_length_is_in_implicit_vr_inside() -> None:
    """PS3.5 6.2.2"""
    inner = plain(0x00091010, item(plain(0x00091011, b"ab")), UNDEFINED) + SEQUENCE_END
    data = open_sequence(0x00091001, open_item(inner), vr="UN")
    assert scanned(data + ROWS).elements[0x00091001].end == len(data)


def test_implicit_elements_within_explicit_items_are_passed() -> None:
    """Some writers switch to Implicit VR inside sequences."""
    data = open_sequence(0x00400275, open_item(plain(0x00400007, b"abcd") + plain(0x00400009, b"xy")))
    assert scanned(data + element(0x00400280, "LT")).elements[0x00400275].end == len(data)


def test_a_compressed_icon_inside_a_sequence_is_not_the_pixel_data() -> None:
    icon = ROWS + open_sequence(0x7FE00010, item(), item(b"\xff\xd8"), vr="OB")
    for sequence in (open_sequence(0x00880200, open_item(icon)), element(0x00880200, "SQ", item(icon + bytes(0)))):
        found = scanned(sequence)
        assert (found.pixel, found.fragments) == (None, None)


def nested(depth: int, *, is_open: bool) -> bytes:
    data = ROWS
    for _ in range(depth):
        data = open_sequence(0x0040A730, open_item(data)) if is_open else element(0x0040A730, "SQ", item(data))
    return data


@pytest.mark.parametrize("is_open", [True, False])
def test_nesting_is_followed_to_its_limit_and_no_further(is_open: bool) -> None:
    assert scanned(nested(walk.MAX_DEPTH, is_open=is_open)).warnings == ()
    assert "nested more than 64 deep" in refused(nested(walk.MAX_DEPTH + 1, is_open=is_open))


@pytest.mark.parametrize("is_open", [True, False])
def test_nesting_a_thousand_deep_is_refused_with_a_sentence(is_open: bool) -> None:
    assert "nested more than 64 deep" in refused(uids() + nested(1000, is_open=is_open))


def test_nesting_hidden_behind_values_is_found() -> None:
    """What is long might be long for its values only: it is looked into."""
    data = ROWS
    for _ in range(70):
        data = element(0x0040A730, "SQ", item(element(0x00081030, "LO", b"x" * 40)) + item(data))
    assert "nested more than 64 deep" in refused(data)


def test_nesting_in_implicit_vr_and_unknown_vr_is_found() -> None:
    data = b""
    for _ in range(100):
        data = plain(0x0040A730, item(data))
    assert "nested more than 64 deep" in refused(plain(0x00080060, b"SR") + data, IMPLICIT)
    assert "nested more than 64 deep" in refused(element(0x0040A730, "UN", item(data)))


# --- how many there are ----------------------------------------------------------------------------------------------


def at_most(most: int, data: bytes, syntax: str = EXPLICIT) -> bool:
    return has_at_most(most, lambda at, length: data[at : at + length], 0, len(data), syntax)


PRIVATE_SEQUENCE = plain(0x00091010, item(plain(0x00091011)) * 100)  # 100 Items with an element each, and itself
COUNTED = {
    "elements": (b"".join(element(0x00090000 + n, "LO") for n in range(0x1000, 0x1200)), 512, EXPLICIT),
    "Items": (element(0x00081140, "SQ", item() * 511), 512, EXPLICIT),
    "short sequences": (b"".join(element(0x00081140 + n, "SQ", item() * 31) for n in range(16)), 512, EXPLICIT),
    "short Items": (element(0x00081140, "SQ", item(element(0x00081140, "SQ", item() * 5)) * 73), 512, EXPLICIT),
    "sequences as UN": (element(0x00081140, "UN", item(plain(0x00080060)) * 255) + ROWS, 512, EXPLICIT),
    "sequences in Implicit VR": (plain(0x00081140, item(plain(0x00080060)) * 255) + plain(0x00280010), 512, IMPLICIT),
    "private sequences": (PRIVATE_SEQUENCE, 201, IMPLICIT),
    "private sequences in Items": (plain(0x00081140, item(PRIVATE_SEQUENCE)), 203, IMPLICIT),
}


@pytest.mark.parametrize(("data", "count", "syntax"), COUNTED.values(), ids=COUNTED.keys())
def test_data_elements_and_items_are_counted_at_any_depth(data: bytes, count: int, syntax: str) -> None:
    assert at_most(count, data, syntax)
    assert not at_most(count - 1, data, syntax)


def test_what_is_malformed_counts_as_much_as_it_may_hold() -> None:
    """A reader may make all Items of a sequence before it finds the one that is none."""
    malformed = item(element(0x00081140, "SQ", ROWS))
    assert not at_most(100, element(0x00081140, "SQ", malformed + item() * 1000))
    assert not at_most(100, open_sequence(0x00081140, *([item()] * 90), ROWS * 20))


# --- fragments -------------------------------------------------------------------------------------------------------


def test_fragments_are_listed() -> None:
    """PS3.5 A.4"""
    data = uids() + open_sequence(0x7FE00010, item(b"\0\0\0\0"), item(b"ab"), item(b"cdef"), vr="OB")
    found = scanned(data + element(0xFFFCFFFC, "OB"), JPEG)
    assert found.fragments is not None
    pieces = zip(found.fragments.offsets, found.fragments.lengths, strict=True)
    assert [data[offset : offset + length] for offset, length in pieces] == [b"\0\0\0\0", b"ab", b"cdef"]
    assert found.pixel is not None
    assert (found.pixel.length, found.pixel.end) == (UNDEFINED, len(data))


# --- how it reads ----------------------------------------------------------------------------------------------------


def test_what_follows_an_unknown_vr_is_not_read_beyond_the_end() -> None:
    data = element(0x00080060, "CS", b"CT") + pack("<HH2sH", 0x0009, 0x1010, b"??", 4) + b"abcd\x28\0"
    with pytest.raises(InvalidDataSet):
        scan(lambda offset, length: data[offset : offset + length], 0, len(data) + 100, EXPLICIT)


def test_a_large_instance_costs_a_few_short_reads() -> None:
    data = uids() + element(0x7FE00010, "OW", b"", 1 << 31)
    tail = element(0xFFFCFFFC, "OB", bytes(100))
    size, asked = len(data) + (1 << 31) + len(tail), []

    def read_at(offset: int, length: int) -> bytes:
        asked.append(length)
        start = size - len(tail)
        return tail[offset - start :][:length] if offset >= start else data[offset : offset + length]

    found = scan(read_at, 0, size, EXPLICIT)
    assert found.elements[0xFFFCFFFC].length == 100
    assert len(asked) <= 3
    assert sum(asked) <= 2 * encoding.WINDOW_BYTES


def test_declared_lengths_are_never_asked_for() -> None:
    data = uids() + element(0x7FE00010, "OW", b"", 0xFFFFFFF0)

    def read_at(offset: int, length: int) -> bytes:
        assert length <= encoding.WINDOW_BYTES
        return data[offset : offset + length]

    with pytest.raises(InvalidDataSet):
        scan(read_at, 0, len(data), EXPLICIT)


@given(st.integers(1, 40))
def test_the_size_of_the_window_does_not_matter(window: int) -> None:
    data = dataset_bytes(a_sr()) + dataset_bytes(a_multiframe(frames=3, rows=2, columns=2))[:0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "WINDOW_BYTES", window)
        patch.setattr(encoding, "JUMP_BYTES", window)
        assert scanned(data) == scanned(data)
        found = scanned(data)
    assert found == scanned(data)


# --- against pydicom -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
def test_real_files_have_the_elements_that_pydicom_finds() -> None:
    refused_names = set()
    for path in real_files():
        data = path.read_bytes()
        meta, start = parse_whole_head(data)
        if meta.transfer_syntax_uid == DEFLATED:
            continue
        try:
            found = scanned(data, meta.transfer_syntax_uid, start)
        except InvalidDataSet:
            refused_names.add(path.name)
            continue
        ds = dcmread(path)
        assert set(found.elements) == {int(tag) for tag in ds.keys()}, path  # noqa: SIM118 iterating would decode
        assert found.end <= len(data)
    assert refused_names == {"MR_truncated.dcm", "rtplan_truncated.dcm"}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_values_lie_where_pydicom_reads_them(syntax: str) -> None:
    ds: Any = a_ct(transfer_syntax=syntax)
    data = dataset_bytes(ds)
    found = scanned(data, syntax)
    head = bytes(128) + b"DICM" + element(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    for tag in (read := dcmread(BytesIO(head + data))).keys():  # noqa: SIM118
        raw, place = read.get_item(tag), found.elements[int(tag)]
        if raw is not None and isinstance(raw.value, bytes):
            assert data[place.value_offset : place.end] == raw.value
