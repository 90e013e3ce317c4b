from struct import pack
from typing import Any

import pytest

from fixtures.encoded import EXPLICIT, JPEG, SEQUENCE_END, element
from fixtures.framed import J2K, MPEG2, RLE, attributes, frames_of, pixels, table_of
from relais.dicom import frames, uids
from relais.dicom.frames import FrameTable, lacks_pixels, native_length
from relais.dicom.scan import scan
from relais.errors import NotFound

NATIVE_16_BIT = {"Rows": 2, "Columns": 3, "BitsAllocated": 16, "SamplesPerPixel": 1}


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, 0),
        ({}, 2),
        ({"NumberOfFrames": 3}, 2),
        ({"NumberOfFrames": 0}, 2),
        ({"BitsAllocated": 1, "Rows": 3, "Columns": 5, "NumberOfFrames": 3}, 1),  # 45 bits: 6 bytes
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "BitsAllocated": 8, "Rows": 4}, 2),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "BitsAllocated": 8, "Columns": 4}, 2),
    ],
)
def test_missing_bytes_of_native_pixels_are_seen(values: dict[str, Any], missing: int) -> None:
    """PS3.5 8.1.1; one byte more or less is padding where the number is odd."""
    said = NATIVE_16_BIT | values
    bits = said["Rows"] * said["Columns"] * said["BitsAllocated"] * said["SamplesPerPixel"]
    if said.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits // 3 * 2
    length = (bits * (said.get("NumberOfFrames") or 1) + 7) // 8 - missing
    data = element(0x7FE00010, "OB", bytes(length))
    assert lacks(data, EXPLICIT, **said) == (missing > 0)


@pytest.mark.parametrize(
    ("count", "syntax", "expected"), [(2, JPEG, False), (3, JPEG, True), (0, JPEG, False), (9, MPEG2, False)]
)
def test_a_missing_fragment_is_seen(count: int, syntax: str, expected: bool) -> None:
    data = pixels(b"ab", b"cd")
    assert lacks(data, syntax, NumberOfFrames=count) == expected
    assert lacks(pixels(), syntax, NumberOfFrames=count)


def test_what_is_no_image_or_tells_no_size_lacks_nothing() -> None:
    assert not lacks(element(0x00100010, "PN", b"A "), EXPLICIT, **NATIVE_16_BIT)
    assert not lacks(element(0x7FE00010, "OW", b""), EXPLICIT, Rows=2)


def lacks(data: bytes, syntax: str, **values: Any) -> bool:
    found = scan(lambda offset, length: data[offset : offset + length], 0, len(data), syntax)
    return lacks_pixels(found, attributes(**values), syntax)


# --- native ----------------------------------------------------------------------------------------------------------


def test_native_frames_lie_one_after_the_other() -> None:
    """PS3.3 C.7.6.3.1"""
    data = element(0x7FE00010, "OW", bytes(range(36)))
    table = table_of(data, EXPLICIT, **NATIVE_16_BIT, NumberOfFrames=3)
    assert frames_of(data, table) == [bytes(range(12)), bytes(range(12, 24)), bytes(range(24, 36))]
    assert table is not None
    assert table.pieces(2) == ((12 + 12, 12),)


def test_the_table_of_a_native_image_takes_a_few_bytes() -> None:
    table = table_of(element(0x7FE00010, "OW", bytes(524288)), EXPLICIT, Rows=512, Columns=512, BitsAllocated=16)
    assert table is not None
    assert len(table.pack()) <= 8


@pytest.mark.parametrize("values", [{}, {"NumberOfFrames": 0}])
def test_an_image_without_number_of_frames_has_one(values: dict[str, Any]) -> None:
    table = table_of(element(0x7FE00010, "OW", bytes(12)), EXPLICIT, **NATIVE_16_BIT, **values)
    assert table is not None
    assert table.count == 1


@pytest.mark.parametrize(("tag", "vr", "bits"), [(0x7FE00008, "OF", 32), (0x7FE00009, "OD", 64)])
def test_float_frames_are_found(tag: int, vr: str, bits: int) -> None:
    """PS3.3 C.7.6.24"""
    data = element(tag, vr, bytes(range(6 * bits // 8 * 2)))
    table = table_of(data, EXPLICIT, Rows=2, Columns=3, BitsAllocated=bits, NumberOfFrames=2)
    assert b"".join(frames_of(data, table)) == data[12:]


def test_single_bit_frames_that_begin_on_a_byte_are_found() -> None:
    """PS3.5 8.1.1"""
    data = element(0x7FE00010, "OB", bytes(range(8)))
    table = table_of(data, EXPLICIT, Rows=4, Columns=4, BitsAllocated=1, NumberOfFrames=4)
    assert frames_of(data, table) == [b"\0\1", b"\2\3", b"\4\5", b"\6\7"]


def test_single_bit_frames_that_begin_within_a_byte_have_no_table() -> None:
    data = element(0x7FE00010, "OB", bytes(8))
    assert table_of(data, EXPLICIT, Rows=3, Columns=3, BitsAllocated=1, NumberOfFrames=4) is None


def test_one_single_bit_frame_may_end_within_a_byte() -> None:
    data = element(0x7FE00010, "OB", b"\xff\1")
    table = table_of(data, EXPLICIT, Rows=3, Columns=3, BitsAllocated=1)
    assert frames_of(data, table) == [b"\xff\1"]


def test_subsampled_chrominance_takes_two_thirds() -> None:
    """PS3.3 C.7.6.3.1.2"""
    values = {"Rows": 2, "Columns": 2, "BitsAllocated": 8, "SamplesPerPixel": 3, "NumberOfFrames": 2}
    data = element(0x7FE00010, "OB", bytes(range(16)))
    table = table_of(data, EXPLICIT, PhotometricInterpretation="YBR_FULL_422", **values)
    assert frames_of(data, table) == [bytes(range(8)), bytes(range(8, 16))]
    assert table_of(data, EXPLICIT, PhotometricInterpretation="YBR_FULL", **values) is None


def test_pixel_data_of_full_size_is_not_subsampled_whatever_it_says() -> None:
    values = {"Rows": 2, "Columns": 2, "BitsAllocated": 8, "SamplesPerPixel": 3, "NumberOfFrames": 2}
    data = element(0x7FE00010, "OB", bytes(24))
    table = table_of(data, EXPLICIT, PhotometricInterpretation="YBR_FULL_422", **values)
    assert [len(frame) for frame in frames_of(data, table)] == [12, 12]


@pytest.mark.parametrize(
    ("values", "length", "of_frames"),
    [
        ({}, 12, 12),
        ({}, 13, 12),
        ({}, 9, 9),
        ({"NumberOfFrames": 3}, 500, 36),
        ({"NumberOfFrames": 0}, 500, 12),
        ({"BitsAllocated": 1, "Rows": 3, "Columns": 5, "NumberOfFrames": 3}, 500, 6),  # 45 bits
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "Columns": 4}, 32, 32),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "Columns": 4}, 40, 32),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "Columns": 4}, 500, 48),
        ({"Rows": None}, 12, None),
        ({"NumberOfFrames": -1}, 12, None),
        ({"NumberOfFrames": "many"}, 12, None),
    ],
)
def test_frames_end_where_their_attributes_say(values: dict[str, Any], length: int, of_frames: int | None) -> None:
    """PS3.5 8.1.1"""
    assert native_length(attributes(**(NATIVE_16_BIT | values)), length) == of_frames


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"Rows": 0},
        {"Rows": "x"},
        {"Columns": None},
        {"Rows": 65535, "Columns": 65535},
        {"NumberOfFrames": 2},
        {"NumberOfFrames": -1},
        {"NumberOfFrames": "many"},
        {"NumberOfFrames": 2**31},
    ],
)
def test_pixel_data_that_cannot_hold_what_it_should_has_no_table(values: dict[str, Any]) -> None:
    data = element(0x7FE00010, "OW", bytes(12))
    assert table_of(data, EXPLICIT, **(NATIVE_16_BIT | values if values else {})) is None


def test_there_is_no_table_without_pixel_data() -> None:
    assert table_of(element(0x00280010, "US", b"\1\0"), EXPLICIT, **NATIVE_16_BIT) is None


def test_big_endian_pixels_have_no_table() -> None:
    data = element(0x7FE00010, "OW", bytes(12), order=">")
    assert table_of(data, uids.EXPLICIT_VR_BIG_ENDIAN, **NATIVE_16_BIT) is None


def test_fragments_under_a_native_syntax_and_native_pixels_under_another_have_no_table() -> None:
    assert table_of(pixels(b"ab"), EXPLICIT, **NATIVE_16_BIT) is None
    assert table_of(element(0x7FE00010, "OW", bytes(12)), JPEG, **NATIVE_16_BIT) is None


# --- encapsulated ----------------------------------------------------------------------------------------------------


def test_as_many_fragments_as_frames_are_one_each() -> None:
    """PS3.5 A.4"""
    data = pixels(b"ab", b"cdef", b"gh")
    table = table_of(data, RLE, NumberOfFrames=3)
    assert frames_of(data, table) == [b"ab", b"cdef", b"gh"]


def test_all_fragments_are_the_only_frame() -> None:
    data = pixels(b"ab", b"cdef", b"gh")
    assert frames_of(data, table_of(data, JPEG)) == [b"abcdefgh"]


def test_the_basic_offset_table_tells_frames_of_several_fragments_apart() -> None:
    """PS3.5 A.4"""
    data = pixels(b"ab", b"cd", b"efgh", offsets=pack("<II", 0, 20))
    assert frames_of(data, table_of(data, RLE, NumberOfFrames=2)) == [b"abcd", b"efgh"]


def test_the_extended_offset_table_tells_frames_of_several_fragments_apart() -> None:
    """PS3.3 C.7.6.3.1.8"""
    extended = element(0x7FE00001, "OV", pack("<QQ", 0, 10)) + element(0x7FE00002, "OV", pack("<QQ", 2, 6))
    data = pixels(b"ab", b"cd", b"efgh", before=extended)
    assert frames_of(data, table_of(data, RLE, NumberOfFrames=2)) == [b"ab", b"cdefgh"]


@pytest.mark.parametrize(
    "offsets",
    [
        b"",
        pack("<I", 0),
        pack("<III", 0, 10, 20),
        pack("<II", 0, 11),  # within a fragment
        pack("<II", 10, 20),  # not from the beginning
        pack("<II", 0, 0),
        pack("<II", 20, 0),
        pack("<II", 0, 4000),
        b"\0\0\0\0\n\0",
    ],
)
def test_an_offset_table_that_is_wrong_is_not_believed(offsets: bytes) -> None:
    data = pixels(b"ab", b"cd", b"efgh", offsets=offsets)
    assert table_of(data, RLE, NumberOfFrames=2) is None
    data = pixels(b"ab", b"cd", b"efgh", before=element(0x7FE00001, "OV", offsets))
    assert table_of(data, RLE, NumberOfFrames=2) is None


def test_jpeg_frames_are_told_apart_by_their_markers() -> None:
    """ISO/IEC 10918-1 B.1"""
    data = pixels(b"\xff\xd8ab", b"cd", b"\xff\xd8ef")
    assert frames_of(data, table_of(data, JPEG, NumberOfFrames=2)) == [b"\xff\xd8abcd", b"\xff\xd8ef"]


def test_jpeg_2000_frames_are_told_apart_by_their_markers() -> None:
    """ISO/IEC 15444-1 A.4"""
    data = pixels(b"\xff\x4f\xff\x51", b"cd", b"\xff\x4f\xff\x51ef")
    table = table_of(data, J2K, NumberOfFrames=2)
    assert frames_of(data, table) == [b"\xff\x4f\xff\x51cd", b"\xff\x4f\xff\x51ef"]


@pytest.mark.parametrize(
    "fragments",
    [
        (b"\xff\xd8", b"\xff\xd8", b"\xff\xd8"),
        (b"ab", b"\xff\xd8", b"\xff\xd8"),
        (b"\xff\xd8", b"ab", b"cd"),
        (b"\xff\xd8",),
        (),
    ],
)
def test_markers_that_do_not_fit_the_number_of_frames_are_not_believed(fragments: tuple[bytes, ...]) -> None:
    assert table_of(pixels(*fragments), JPEG, NumberOfFrames=2) is None


def test_too_many_fragments_are_not_searched_for_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MARKED_FRAGMENTS", 2)
    assert table_of(pixels(b"\xff\xd8", b"cd", b"\xff\xd8"), JPEG, NumberOfFrames=2) is None


def test_a_video_is_one_bitstream_whatever_its_number_of_frames() -> None:
    """PS3.5 8.2.5"""
    data = pixels(b"abcd")
    assert frames_of(data, table_of(data, MPEG2, NumberOfFrames=250)) == [b"abcd"]
    data = pixels(b"abcd", b"ef")
    assert frames_of(data, table_of(data, f"{MPEG2}.1", NumberOfFrames=250)) == [b"abcdef"]


def test_pixel_data_without_even_an_offset_table_has_no_frames() -> None:
    data = element(0x7FE00010, "OB", SEQUENCE_END, 0xFFFFFFFF)
    assert table_of(data, JPEG) is None


@pytest.mark.parametrize("number", [0, -1, 4])
def test_frames_out_of_range_are_not_found(number: int) -> None:
    with pytest.raises(NotFound, match="has 3 frames"):
        FrameTable(3, 100, size=10).pieces(number)
