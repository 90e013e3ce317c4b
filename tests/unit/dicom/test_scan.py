from io import BytesIO
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from fixtures.builders import a_ct, a_multiframe, a_sr, dataset_bytes
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
from fixtures.real import real_files
from relais.dicom import elements as encoding
from relais.dicom import scan as walk
from relais.dicom.part10 import parse_whole_head
from relais.dicom.scan import Scan, scan
from relais.errors import InvalidDataSet

ROWS = element(0x00280010, "US", b"\x02\x00")
DEFLATED = "1.2.840.10008.1.2.1.99"


def scanned(data: bytes, syntax: str = EXPLICIT, start: int = 0, wanted: frozenset[int] | None = None) -> Scan:
    return scan(lambda offset, length: data[offset : offset + length], start, len(data), syntax, wanted)


def refused(data: bytes, syntax: str = EXPLICIT) -> str:
    with pytest.raises(InvalidDataSet) as caught:
        scanned(data, syntax)
    assert type(caught.value) is InvalidDataSet
    return caught.value.message


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
