"""Colour spaces of rendered images (PS3.18 8.3.5.1.5), judged by Little CMS, which reads what is made here."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom import Dataset

from relais.pixels.icc import named, profiled

NAMES = ["srgb", "adobergb", "rommrgb", "displayp3"]
COLOURS = Image.fromarray(np.array([[[200, 30, 30], [30, 200, 30], [128, 128, 128], [255, 255, 255]]], np.uint8))


def with_profile(data: bytes) -> Dataset:
    ds = Dataset()
    ds.ICCProfile = data
    return ds


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_is_one_of_rgb_for_displays(name: str) -> None:
    profile = ImageCms.ImageCmsProfile(BytesIO(named(name))).profile
    assert (profile.xcolor_space, profile.connection_space, profile.device_class) == ("RGB ", "XYZ ", "mntr")
    assert profile.profile_description


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_again_is_the_same_colour(name: str) -> None:
    there, profile = profiled(COLOURS, Dataset(), name)
    assert profile is not None
    back, _ = profiled(there, with_profile(profile), "srgb")
    assert np.abs(np.asarray(back, int) - np.asarray(COLOURS, int)).max() <= 3
    assert np.ptp(np.asarray(there, int)[0, 2:], axis=1).max() <= 1  # grey stays grey


def test_the_known_red_of_adobe_rgb() -> None:
    """sRGB (255, 0, 0) is (219, 0, 0) in Adobe RGB (1998)."""
    there, _ = profiled(Image.new("RGB", (1, 1), (255, 0, 0)), Dataset(), "adobergb")
    assert np.abs(np.subtract(there.getpixel((0, 0)), (219, 0, 0))).max() <= 1


def test_yes_is_the_profile_of_the_image_and_no_is_none() -> None:
    own = named("displayp3")
    assert profiled(COLOURS, with_profile(own), "yes") == (COLOURS, own)
    assert profiled(COLOURS, Dataset(), "yes") == (COLOURS, named("srgb"))
    assert profiled(COLOURS, with_profile(own), "no") == (COLOURS, None)


def test_the_profile_of_an_optical_path_counts() -> None:
    ds = Dataset()
    ds.OpticalPathSequence = [with_profile(named("rommrgb"))]
    assert profiled(COLOURS, ds, "yes")[1] == named("rommrgb")


@pytest.mark.parametrize(
    "data", [b"", b"nonsense" * 20, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_profile_that_cannot_be_used_is_taken_as_missing(data: bytes) -> None:
    assert profiled(COLOURS, with_profile(data), "yes")[1] == named("srgb")


def test_grey_becomes_equal_red_green_and_blue() -> None:
    picture, profile = profiled(Image.new("L", (2, 2), 77), with_profile(named("rommrgb")), "srgb")
    assert (picture.getpixel((0, 0)), profile) == ((77, 77, 77), named("srgb"))
