"""Stored values to grey levels (PS3.3 C.11, PS3.4 N.2)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pydicom import Dataset

from fixtures.images import Pixels, an_image, part10_split
from relais.dicom import uids
from relais.pixels.decode import decode_frame, stored_values
from relais.pixels.grey import to_grey
from relais.pixels.image import read_part10_header
from relais.pixels.request import Window

NATIVE = uids.EXPLICIT_VR_LITTLE_ENDIAN


def row(*values: int, kind: str = "i2") -> Pixels:
    return np.array([values], kind)


def a_dataset(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def a_lut(first: int, bits: int, values: list[int]) -> Dataset:
    """An Item of a Modality or VOI LUT Sequence."""
    ds = a_dataset(LUTDescriptor=[len(values), first, bits], LUTData=np.array(values, "<u2").tobytes())
    ds["LUTDescriptor"].VR, ds["LUTData"].VR = "SS" if first < 0 else "US", "OW"
    return ds


def grey(pixels: Pixels, window: Window | None = None, frame_number: int = 1, **attributes: Any) -> list[int]:
    """The grey levels of one row, as a viewer gets them."""
    header, frame = part10_split(an_image(pixels, **attributes))
    image = read_part10_header(header, NATIVE)
    stored = stored_values(decode_frame(frame, NATIVE, image.pixel).samples, image.pixel)
    return to_grey(stored, image.pixel, image.attributes, window, frame_number)[0].tolist()


def test_a_linear_window_follows_the_formula_of_the_standard() -> None:
    """PS3.3 C.11.2.1.2.1: center 2048, width 4096 shows 0 as black and 4095 as white."""
    assert grey(row(-1, 0, 2047, 2048, 4095, 4096), Window(2048, 4096)) == [0, 0, 127, 128, 255, 255]


def test_a_linear_window_of_width_one_is_a_threshold() -> None:
    """PS3.3 C.11.2.1.2.1, note 4"""
    assert grey(row(49, 50, 51), Window(50.5, 1)) == [0, 0, 255]


def test_an_exact_window_reaches_from_edge_to_edge() -> None:
    """PS3.3 C.11.2.1.3.2"""
    assert grey(row(-10, 0, 50, 100, 110), Window(50, 100, "LINEAR_EXACT")) == [0, 0, 128, 255, 255]


def test_a_sigmoid_window_is_steepest_in_its_middle() -> None:
    """PS3.3 C.11.2.1.3.1"""
    low, middle, high = grey(row(-32768, 0, 32767), Window(0, 100, "SIGMOID"))
    assert (low, middle, high) == (0, 128, 255)
    assert grey(row(25, 0), Window(0, 100, "SIGMOID"))[0] == round(255 / (1 + np.exp(-1)))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(
    center=st.floats(-70000, 70000), width=st.floats(1, 70000), values=st.lists(st.integers(-32768, 32767), min_size=2)
)
def test_a_greater_value_is_never_darker(function: str, center: float, width: float, values: list[int]) -> None:
    shown = grey(row(*sorted(values)), Window(center, width, function))
    assert shown == sorted(shown)


def test_the_stored_window_is_used_and_a_requested_one_takes_its_place() -> None:
    stored = {"WindowCenter": ["50.5", "1000"], "WindowWidth": ["101", "10"]}
    assert grey(row(0, 50, 100), **stored) == [0, 128, 255]
    assert grey(row(0, 50, 100), Window(25.5, 51), **stored) == [0, 255, 255]


def test_the_stored_function_is_followed() -> None:
    stored = {"WindowCenter": "50", "WindowWidth": "100", "VOILUTFunction": "LINEAR_EXACT"}
    assert grey(row(0, 25, 100), **stored) == [0, 64, 255]


def test_a_window_is_in_modality_values() -> None:
    """PS3.3 C.11.1: slope and intercept come first."""
    assert grey(row(0, 1024, 2048), Window(0, 2049), RescaleSlope="1", RescaleIntercept="-1024") == [0, 128, 255]
    assert grey(row(0, 10), Window(-9.5, 21), RescaleSlope="-2", RescaleIntercept="0") == [255, 0]


def test_a_slope_of_zero_is_taken_as_missing() -> None:
    assert grey(row(0, 50, 100), Window(50.5, 101), RescaleSlope="0", RescaleIntercept="0") == [0, 128, 255]


@pytest.mark.parametrize(
    "stored",
    [
        {"WindowCenter": "50", "WindowWidth": "0"},
        {"WindowCenter": "50"},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": "50", "WindowWidth": "-1", "VOILUTFunction": "SIGMOID"},
    ],
)
def test_without_a_possible_window_the_values_that_occur_are_spread(stored: dict[str, str]) -> None:
    assert grey(row(-100, 0, 100), **stored) == [0, 128, 255]


def test_an_image_of_one_value_is_shown() -> None:
    assert grey(row(7, 7)) == [128, 128]


def test_pixel_padding_does_not_count_for_the_range() -> None:
    """PS3.3 C.7.5.1.1.2"""
    assert grey(row(-2000, 0, 50, 100), PixelPaddingValue=-2000) == [0, 0, 128, 255]
    ranged = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1000}
    assert grey(row(-2000, -1500, 0, 100), **ranged) == [0, 0, 0, 255]


@pytest.mark.parametrize(("kind", "type_"), [("Float", "f4"), ("DoubleFloat", "f8")])
def test_padding_of_floats_does_not_count_either(kind: str, type_: str) -> None:
    """PS3.3 C.7.6.24, C.7.6.25"""
    pixels = row(-99999.1, 0, 0.5, 1, kind=type_)  # type: ignore[arg-type]
    header, _ = part10_split(an_image(pixels, **{f"{kind}PixelPaddingValue": -99999.1}))
    image = read_part10_header(header, NATIVE)
    assert to_grey(pixels, image.pixel, image.attributes)[0].tolist() == [0, 0, 128, 255]


def test_an_image_of_nothing_but_padding_is_shown() -> None:
    assert grey(row(-2000, -2000), PixelPaddingValue=-2000) == [0, 0]


def test_monochrome1_shows_its_least_value_white() -> None:
    """PS3.3 C.7.6.3.1.2"""
    assert grey(row(0, 50, 100), Window(50.5, 101), PhotometricInterpretation="MONOCHROME1") == [255, 128, 0]


def test_a_modality_lut_comes_before_the_window() -> None:
    """PS3.3 C.11.1.1: what is beyond its ends gets their values."""
    sequence = [a_lut(10, 16, [0, 1000, 500])]
    assert grey(row(0, 10, 11, 12, 99), Window(500, 1001), ModalityLUTSequence=sequence) == [0, 0, 255, 128, 128]


def test_without_a_window_a_modality_lut_is_shown_in_the_range_of_its_bits() -> None:
    assert grey(row(0, 1, 2), ModalityLUTSequence=[a_lut(0, 8, [0, 128, 255])]) == [0, 128, 255]


def test_a_voi_lut_is_used_where_there_is_no_window() -> None:
    """PS3.3 C.11.2.1.1"""
    sequence = [a_lut(-1, 12, [0, 4095, 1024])]
    assert grey(row(-9, -1, 0, 1, 9), VOILUTSequence=sequence) == [0, 0, 255, 64, 64]
    assert grey(row(-9, 0), Window(0, 100), VOILUTSequence=sequence) == [106, 129]


def test_a_frame_has_a_voi_lut_of_its_own() -> None:
    """PS3.3 C.7.6.16.2.10b: in a Frame VOI LUT Sequence, before one of the Data Set."""
    group = a_dataset(FrameVOILUTSequence=[a_dataset(VOILUTSequence=[a_lut(0, 8, [255, 128, 0])])])
    whole = {"VOILUTSequence": [a_lut(0, 8, [0, 128, 255])]}
    assert grey(row(0, 1, 2), SharedFunctionalGroupsSequence=[group], **whole) == [255, 128, 0]
    assert grey(row(0, 1, 2), **whole) == [0, 128, 255]


def test_a_voi_lut_of_bytes_or_of_numbers_means_the_same() -> None:
    for data, vr in ((bytes([0, 255, 64, 0]), "OW"), ([0, 255, 64, 0], "US")):
        item = a_dataset(LUTDescriptor=[4, 0, 8], LUTData=data)
        item["LUTDescriptor"].VR, item["LUTData"].VR = "US", vr
        assert grey(row(0, 1, 2, 3), VOILUTSequence=[item]) == [0, 255, 64, 0]


def test_a_lut_without_data_is_taken_as_missing() -> None:
    item = a_dataset(LUTDescriptor=[4, 0, 8])
    item["LUTDescriptor"].VR = "US"
    assert grey(row(0, 50, 100), VOILUTSequence=[item]) == [0, 128, 255]


def test_an_enhanced_image_has_a_window_and_a_slope_for_every_frame() -> None:
    """PS3.3 C.7.6.16.2.9, C.7.6.16.2.10"""

    def groups(center: int, intercept: int | None) -> Dataset:
        found = a_dataset(FrameVOILUTSequence=[a_dataset(WindowCenter=str(center + 0.5), WindowWidth="101")])
        if intercept is not None:
            values = a_dataset(RescaleSlope="1", RescaleIntercept=str(intercept))
            found.PixelValueTransformationSequence = [values]
        return found

    enhanced = {
        "SharedFunctionalGroupsSequence": [groups(0, 50)],
        "PerFrameFunctionalGroupsSequence": [groups(50, 0), groups(100, None)],
    }
    pixels = row(0, 50, 100)
    assert grey(pixels, frame_number=1, **enhanced) == [0, 128, 255]
    assert grey(pixels, frame_number=2, **enhanced) == [0, 128, 255]  # its own window, the shared intercept
    assert grey(pixels, frame_number=3, **enhanced) == [255, 255, 255]  # nothing of its own


def test_bits_beyond_those_stored_are_not_shown() -> None:
    """PS3.5 8.1.1: an overlay may be in the upper bits."""
    pixels = row(0x0000, 0xF000, 0x0FFF, 0x1FFF, kind="u2")
    assert grey(pixels, BitsStored=12, HighBit=11) == [0, 0, 255, 255]


def test_single_bits_are_black_and_white_even_if_all_are_alike() -> None:
    bits = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    assert grey(np.zeros((1, 4), np.uint8), PixelData=b"\x0a\x00", **bits) == [0, 255, 0, 255]
    assert grey(np.zeros((1, 4), np.uint8), PixelData=b"\x0f\x00", **bits) == [255] * 4


def test_wide_integers_are_shown_without_a_table() -> None:
    assert grey(np.array([[0, 1 << 31, (1 << 32) - 1]], np.uint32)) == [0, 128, 255]


def test_floats_are_shown_and_what_is_no_number_is_not() -> None:
    pixels = np.array([[-1.0, 0.0, 1.0, np.nan, np.inf, -np.inf]], np.float32)
    header, frame = part10_split(an_image(pixels))
    image = read_part10_header(header, NATIVE)
    shown = to_grey(pixels, image.pixel, image.attributes)
    assert frame
    assert_array_equal(shown, [[0, 128, 255, 128, 255, 0]])


NUMBERS = st.one_of(st.integers(2, 4096), st.floats(2, 70000))


@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=50),
    NUMBERS,
    NUMBERS,
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    st.sampled_from(["1", "0.5", "-1.7", "1e5", "1e-5"]),
)
def test_a_table_a_straight_line_and_the_formula_give_the_same(
    values: list[int], center: float, width: float, function: str, photometric: str, slope: str
) -> None:
    """A table is made where it is smaller than the image, and a line taken where it says the same as the table."""
    window = Window(center, width, function)
    says: dict[str, Any] = {"PhotometricInterpretation": photometric, "RescaleSlope": slope, "RescaleIntercept": "-9"}
    wide = np.array([values + [0] * (65536 - len(values) - 1)], np.uint16)
    assert grey(wide, window, **says)[: len(values)] == grey(np.array([values], np.uint16), window, **says)
