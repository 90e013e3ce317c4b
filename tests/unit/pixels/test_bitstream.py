"""What compressed frames say of themselves."""

from struct import pack

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.images import texture
from relais.errors import InvalidDataSet
from relais.pixels.bitstream import Bitstream, find_codestream, read_jpeg, read_jpeg_2000


def segment(marker: int, content: bytes) -> bytes:
    return pack(">BBH", 0xFF, marker, len(content) + 2) + content


def frame_header(marker: int = 0xC0, identifiers: bytes = b"\x01") -> bytes:
    components = b"".join(bytes([one]) + b"\x11\x00" for one in identifiers)
    return segment(marker, pack(">BHHB", 12, 20, 30, len(identifiers)) + components)


SOI, SOS = b"\xff\xd8", b"\xff\xda\x00\x08"


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xC3, 0xF7])
def test_size_components_and_precision_are_in_the_frame_header(marker: int) -> None:
    """ISO/IEC 10918-1 B.2.2, 14495-1 C.2.2"""
    assert read_jpeg(SOI + frame_header(marker) + SOS) == Bitstream(20, 30, 1, 12)


def test_whatever_stands_before_the_frame_header_is_passed() -> None:
    before = segment(0xE0, b"JFIF\0" + bytes(9)) + b"\xff\xff\xff\x01" + b"\xff\xd0" + segment(0xC4, bytes(20))
    assert read_jpeg(SOI + before + frame_header() + SOS).rows == 20


def test_the_first_frame_header_counts() -> None:
    second = segment(0xC0, pack(">BHHB", 8, 9, 9, 1) + b"\x01\x11\x00")
    assert read_jpeg(SOI + frame_header() + second + SOS).rows == 20


@pytest.mark.parametrize(
    ("marked", "is_transformed"),
    [
        (segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01"), True),
        (segment(0xEE, b"Adobe\0\x64\0\0\0\0\x00"), False),
        (segment(0xEE, b"Adobe"), None),
        (segment(0xEE, b"Other\0\x64\0\0\0\0\x01"), None),
        (b"", None),
    ],
)
def test_an_adobe_segment_tells_of_a_colour_transform(marked: bytes, is_transformed: bool | None) -> None:
    """ISO/IEC 10918-6 6.5.3"""
    assert read_jpeg(SOI + marked + frame_header(identifiers=b"\1\2\3") + SOS).has_colour_transform is is_transformed


def test_components_named_r_g_b_are_not_transformed() -> None:
    assert read_jpeg(SOI + frame_header(identifiers=b"RGB") + SOS).has_colour_transform is False


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        SOI,
        SOI + SOS + frame_header(),
        SOI + b"\x00" + frame_header(),
        SOI + segment(0xC0, b"\x08\x00"),
        SOI + b"\xff\xe0\x00\x01" + frame_header(),
        SOI + frame_header()[:8],
    ],
)
def test_without_a_frame_header_it_is_no_jpeg(data: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        read_jpeg(data)


def test_the_size_of_a_codestream_is_that_of_its_image_area() -> None:
    """ISO/IEC 15444-1 A.5.1"""
    codestream = imagecodecs.jpeg2k_encode(texture(12), level=0, codecformat="j2k", bitspersample=12)
    assert read_jpeg_2000(find_codestream(codestream)) == Bitstream(37, 42, 1, 12)
    wrapped = imagecodecs.jpeg2k_encode(np.zeros((5, 6, 3), np.int16), level=0, codecformat="jp2")
    assert read_jpeg_2000(find_codestream(wrapped)) == Bitstream(5, 6, 3, 16)


@pytest.mark.parametrize("data", [b"", b"\xff\x4f", b"\0\0\0\x0cjP  ", SOI])
def test_without_its_markers_it_is_no_codestream(data: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        find_codestream(data)


@given(st.binary(max_size=60))
def test_garbage_is_refused_with_a_sentence(data: bytes) -> None:
    for read in (lambda: read_jpeg(SOI + data), lambda: read_jpeg_2000(b"\xff\x4f\xff\x51" + data)):
        try:
            assert isinstance(read(), Bitstream)
        except InvalidDataSet as refused:
            assert refused.message.endswith(".")
