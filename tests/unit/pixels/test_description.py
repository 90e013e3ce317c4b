"""What compressed frames say of themselves, held against what they were made of."""

import io
from typing import Any

import pytest
from PIL import Image

from fixtures.images import an_image, encode, texture
from relais.errors import InvalidDataSet
from relais.pixels.description import describe

JPEG, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JPEG_LS, J2K, J2K_LOSSY, HTJ2K = (f"1.2.840.10008.1.2.4.{number}" for number in (80, 90, 91, 201))
KEYWORDS = {
    "00280002": "SamplesPerPixel",
    "00280010": "Rows",
    "00280011": "Columns",
    "00280100": "BitsAllocated",
    "00280101": "BitsStored",
    "00280102": "HighBit",
    "00280103": "PixelRepresentation",
}


def values(found: dict[str, Any]) -> dict[str, Any]:
    return {key: element["Value"][0] for key, element in found.items()}


@pytest.mark.parametrize(
    ("syntax", "bits"),
    [(JPEG_LOSSLESS, 8), (JPEG_LOSSLESS, 12), (JPEG_LS, 8), (JPEG_LS, 12), (J2K, 8), (J2K, 16), (HTJ2K, 16)],
)
def test_a_grey_frame_says_its_size_and_depth(syntax: str, bits: int) -> None:
    """PS3.3 C.7.6.3.1"""
    pixels = texture(bits, rows=64, columns=80)
    found = values(describe(syntax, encode(pixels, syntax, bits)))
    ds = an_image(pixels, BitsStored=bits, HighBit=bits - 1)
    assert found == {key: ds[keyword].value for key, keyword in KEYWORDS.items()} | {"00280004": "MONOCHROME2"}


@pytest.mark.parametrize(("syntax", "photometric"), [(JPEG_LS, {"RGB"}), (J2K, {"YBR_RCT", "RGB"})])
def test_a_frame_in_colour_says_so(syntax: str, photometric: set[str]) -> None:
    found = values(describe(syntax, encode(texture(8, samples=3), syntax, 8)))
    assert (found["00280002"], found["00280006"]) == (3, 0)
    assert found["00280004"] in photometric


@pytest.mark.parametrize(
    ("mode", "options", "photometric"),
    [("RGB", {}, "YBR_FULL_422"), ("RGB", {"keep_rgb": True}, "RGB"), ("L", {}, "MONOCHROME2")],
)
def test_a_jpeg_says_its_colours(mode: str, options: dict[str, Any], photometric: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (40, 24)).save(out, "JPEG", **options)
    found = values(describe(JPEG, out.getvalue()))
    assert (found["00280004"], found["00280010"], found["00280011"], found["00280101"]) == (photometric, 24, 40, 8)


@pytest.mark.parametrize(("transform", "wavelet", "photometric"), [(0, 1, "RGB"), (1, 1, "YBR_RCT"), (1, 0, "YBR_ICT")])
def test_the_colour_transform_of_jpeg_2000_is_told(transform: int, wavelet: int, photometric: str) -> None:
    codestream = bytearray(encode(texture(8, samples=3), J2K, 8))
    at = codestream.index(b"\xff\x52")
    codestream[at + 8], codestream[at + 13] = transform, wavelet
    assert values(describe(J2K_LOSSY, bytes(codestream)))["00280004"] == photometric


def test_signed_pixels_are_told() -> None:
    codestream = bytearray(encode(texture(12), J2K, 12))
    codestream[42] |= 0x80
    assert values(describe(J2K, bytes(codestream)))["00280103"] == 1


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.102"])
def test_what_says_nothing_of_itself_is_not_described(syntax: str) -> None:
    assert describe(syntax, b"whatever") == {}


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, J2K, HTJ2K])
@pytest.mark.parametrize(
    "start", [b"", b"no bitstream", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x51" + bytes(60)]
)
def test_what_is_no_bitstream_is_refused(syntax: str, start: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        describe(syntax, start)


def test_a_frame_of_two_components_is_refused() -> None:
    codestream = bytearray(encode(texture(8), J2K, 8))
    codestream[40:42] = (2).to_bytes(2)
    with pytest.raises(InvalidDataSet, match="not 2"):
        describe(J2K, bytes(codestream))
