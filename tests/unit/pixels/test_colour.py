"""Colour spaces and palettes become RGB (PS3.3 C.7.6.3.1.2, C.7.6.3.1.5, C.7.9)."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from fixtures.images import texture
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels.colour import to_rgb
from relais.pixels.palette import palette_to_rgb


def test_rgb_is_rgb() -> None:
    pixels = texture(8, samples=3)
    assert np.array_equal(to_rgb(pixels, "RGB", 8), pixels)


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_PARTIAL"])
def test_grey_in_ybr_is_grey(photometric: str) -> None:
    black, white = (0, 255) if photometric == "YBR_FULL" else (16, 235)
    pixels = np.array([[[black, 128, 128], [white, 128, 128]]], np.uint8)
    assert to_rgb(pixels, photometric, 8).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_full_ybr_is_what_pydicom_makes_of_it() -> None:
    pixels = texture(8, samples=3)
    expected = convert_color_space(pixels, "YBR_FULL", "RGB").astype(int)
    assert np.abs(to_rgb(pixels, "YBR_FULL", 8) - expected).max() <= 1


def test_sixteen_bit_colours_become_eight() -> None:
    pixels = np.array([[[0, 32768, 65535]]], np.uint16)
    assert to_rgb(pixels, "RGB", 16).tolist() == [[[0, 128, 255]]]


def test_an_unknown_colour_space_is_not_shown() -> None:
    with pytest.raises(NotAcceptable, match="CMYK"):
        to_rgb(texture(8, samples=3), "CMYK", 8)


def a_palette(descriptor: list[int], tables: list[bytes], *, segmented: bool = False, vr: str = "US") -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    for colour, data in zip(("Red", "Green", "Blue"), tables, strict=True):
        name = f"{colour}PaletteColorLookupTable"
        setattr(ds, f"{name}Descriptor", descriptor)
        ds[f"{name}Descriptor"].VR = vr
        setattr(ds, f"{'Segmented' * segmented}{name}Data", data)
    return ds


def indexes(*values: int, kind: str = "u1") -> np.ndarray[Any, Any]:
    return np.array([values], kind)


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def test_a_palette_of_bytes_is_looked_up() -> None:
    ds = a_palette([4, 0, 8], [bytes([0, 10, 20, 30]), bytes([1, 11, 21, 31]), bytes([2, 12, 22, 32])])
    assert palette_to_rgb(indexes(0, 3, 9), ds, is_signed=False).tolist() == [[[0, 1, 2], [30, 31, 32], [30, 31, 32]]]


def test_a_palette_of_words_is_reduced_to_bytes() -> None:
    ds = a_palette([3, 0, 16], [words(0, 0x8000, 0xFFFF)] * 3)
    assert palette_to_rgb(indexes(0, 1, 2), ds, is_signed=False)[0, :, 0].tolist() == [0, 128, 255]


def test_a_palette_of_words_that_hold_bytes_is_believed() -> None:
    ds = a_palette([3, 0, 16], [words(0, 128, 255)] * 3)
    assert palette_to_rgb(indexes(0, 1, 2), ds, is_signed=False)[0, :, 0].tolist() == [0, 128, 255]


def test_a_palette_may_begin_below_zero() -> None:
    ds = a_palette([3, -1, 8], [bytes([7, 8, 9, 0])] * 3, vr="SS")
    assert palette_to_rgb(indexes(-5, -1, 0, 1, kind="i2"), ds, is_signed=True)[0, :, 0].tolist() == [7, 7, 8, 9]


def test_no_entries_are_65536() -> None:
    """PS3.3 C.7.6.3.1.5"""
    ds = a_palette([0, 0, 16], [words(*range(65536))] * 3)
    assert palette_to_rgb(indexes(0, 65535, kind="u2"), ds, is_signed=False)[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("bits", [8, 16])
def test_segments_expand_as_in_pydicom(bits: int) -> None:
    """PS3.3 C.7.9.2: discrete, linear, then the first two once more."""
    top = (1 << bits) - 1
    start = [0, 3, 0, top, 5, 1, 5, top]
    offset = [0, 0, 0, 0] if bits == 8 else [0, 0]
    numbers = [*start, 2, 2, *offset]
    data = bytes(numbers) if bits == 8 else words(*numbers)
    ds = a_palette([16, 0, bits], [data] * 3, segmented=True)
    pixels = indexes(*range(16))
    expected = apply_color_lut(pixels, ds)
    assert palette_to_rgb(pixels, ds, is_signed=False).tolist() == (expected >> (bits - 8)).tolist()


@pytest.mark.parametrize(
    "numbers",
    [
        [1, 4, 9],  # linear without a start
        [3, 1, 9],  # an unknown kind
        [0, 1, 9, 2, 1, 0xFF, 0xFF, 0, 0],  # beyond the end
        [],
    ],
)
def test_segments_that_make_no_sense_are_refused(numbers: list[int]) -> None:
    ds = a_palette([4, 0, 8], [bytes(numbers)] * 3, segmented=True)
    with pytest.raises(InvalidDataSet):
        palette_to_rgb(indexes(0), ds, is_signed=False)


@given(st.binary(max_size=64))
def test_whatever_the_segments_say_they_end(data: bytes) -> None:
    ds = a_palette([256, 0, 8], [data] * 3, segmented=True)
    try:
        assert palette_to_rgb(indexes(0), ds, is_signed=False).shape == (1, 1, 3)
    except InvalidDataSet as refused:
        assert "palette" in refused.message


def test_a_palette_image_without_palette_is_refused() -> None:
    with pytest.raises(InvalidDataSet, match="no palette"):
        palette_to_rgb(indexes(0), Dataset(), is_signed=False)
    ds = a_palette([4, 0, 8], [b""] * 3)
    with pytest.raises(InvalidDataSet, match="palette"):
        palette_to_rgb(indexes(0), ds, is_signed=False)
