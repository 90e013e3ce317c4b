"""A frame as an image file (PS3.18 8.3.5.1, 8.7.4)."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from fixtures.images import JPEG, Pixels, an_image, compressed, encode, part10_split, ramp, texture
from relais.dicom import uids
from relais.errors import InvalidRequest, NotAcceptable
from relais.pixels.decode import decode_frame
from relais.pixels.image import read_part10_header
from relais.pixels.render import render
from relais.pixels.request import MAX_SIDE_PX, RenderRequest, Viewport, Window, from_fields, to_fields

PNG = RenderRequest("image/png")


def picture(ds: Dataset, request: RenderRequest = PNG, frame: bytes | None = None) -> Image.Image:
    transfer_syntax = str(ds.file_meta.TransferSyntaxUID)
    header, value = part10_split(ds)
    image = read_part10_header(header, transfer_syntax)
    decoded = decode_frame(frame or value, transfer_syntax, image.pixel)
    return Image.open(BytesIO(render(decoded, image, request, 1)))


def pixels_of(ds: Dataset, request: RenderRequest = PNG, frame: bytes | None = None) -> Pixels:
    return np.asarray(picture(ds, request, frame))


def a_png(**options: Any) -> RenderRequest:
    return RenderRequest("image/png", **options)


def test_grey_becomes_a_grey_png() -> None:
    shown = picture(an_image(ramp(12), BitsStored=12))
    assert (shown.format, shown.mode, shown.size) == ("PNG", "L", (32, 32))
    assert np.array_equal(np.asarray(shown).reshape(-1), np.sort(np.asarray(shown).reshape(-1)))


def test_colour_becomes_a_colour_png_without_loss() -> None:
    pixels = texture(8, samples=3)
    assert np.array_equal(pixels_of(an_image(pixels)), pixels)


def test_colour_by_plane_is_put_together() -> None:
    """PS3.3 C.7.6.3.1.3"""
    pixels = texture(8, samples=3)
    ds = an_image(pixels, PlanarConfiguration=1, PixelData=np.moveaxis(pixels, 2, 0).tobytes())
    assert np.array_equal(pixels_of(ds), pixels)


def test_a_window_has_no_effect_on_colour() -> None:
    pixels = texture(8, samples=3)
    assert np.array_equal(pixels_of(an_image(pixels), a_png(window=Window(1, 1))), pixels)


def test_a_palette_image_is_shown_in_its_colours() -> None:
    ds = an_image(np.array([[0, 1], [1, 0]], np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for colour, data in (("Red", b"\x00\xff"), ("Green", b"\x10\x20"), ("Blue", b"\x30\x40")):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, 8])
        setattr(ds, f"{colour}PaletteColorLookupTableData", data)
    assert pixels_of(ds)[0].tolist() == [[0, 16, 48], [255, 32, 64]]


def a_partly_coloured(**attributes: Any) -> Any:
    """Grey up to 99; from 100 on the colours of a supplemental palette."""
    ds = an_image(np.array([[0, 50], [100, 101]], np.uint8), WindowCenter="50.5", WindowWidth="101", **attributes)
    for colour, data in (("Red", b"\xff\x01"), ("Green", b"\x80\x02"), ("Blue", b"\x00\x03")):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [2, 100, 8])
        setattr(ds, f"{colour}PaletteColorLookupTableData", data)
    return ds


def a_frame_type(presentation: str) -> list[Dataset]:
    kind, group = Dataset(), Dataset()
    kind.PixelPresentation = presentation
    group.MRImageFrameTypeSequence = [kind]
    return [group]


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelPresentation": "COLOR"},
        {"PixelPresentation": "MIXED", "SharedFunctionalGroupsSequence": a_frame_type("COLOR")},
    ],
)
def test_a_supplemental_palette_colours_the_values_that_it_has_entries_for(attributes: dict[str, Any]) -> None:
    """PS3.3 C.7.6.19"""
    shown = pixels_of(a_partly_coloured(**attributes)).tolist()
    assert shown == [[[0, 0, 0], [128, 128, 128]], [[255, 128, 0], [1, 2, 3]]]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"PixelPresentation": "MONOCHROME"},
        {"PixelPresentation": "MIXED", "PerFrameFunctionalGroupsSequence": a_frame_type("MONOCHROME")},
    ],
)
def test_a_palette_that_is_not_to_be_used_changes_nothing(attributes: dict[str, Any]) -> None:
    assert pixels_of(a_partly_coloured(**attributes)).ndim == 2


def test_the_quality_of_a_jpeg_is_what_was_asked() -> None:
    ds = an_image(texture(8, rows=128, columns=128))
    sizes = []
    for quality in (10, 95):
        header, frame = part10_split(ds)
        image = read_part10_header(header, uids.EXPLICIT_VR_LITTLE_ENDIAN)
        decoded = decode_frame(frame, uids.EXPLICIT_VR_LITTLE_ENDIAN, image.pixel)
        data = render(decoded, image, RenderRequest("image/jpeg", quality=quality), 1)
        assert data.startswith(b"\xff\xd8")
        sizes.append(len(data))
    assert sizes[0] < sizes[1] / 2


def test_a_compressed_frame_is_shown_like_a_native_one() -> None:
    pixels = texture(8)
    bitstream = encode(pixels, JPEG + "80", 8)
    ds = compressed(an_image(pixels), JPEG + "80", bitstream)
    assert np.array_equal(pixels_of(ds, frame=bitstream), pixels_of(an_image(pixels)))


@pytest.mark.parametrize(
    ("viewport", "size"),
    [
        (Viewport(16, 16), (16, 8)),  # the image is twice as wide as high
        (Viewport(400, 100), (200, 100)),  # and may grow
        (Viewport(64, 64, 0, 0, 16, 32), (32, 64)),
        (Viewport(5, 400, 10, 10), (5, 2)),  # the rest of the image: 54 x 22
        (Viewport(1, 1), (1, 1)),
    ],
)
def test_a_region_fills_the_viewport_as_far_as_its_proportions_allow(viewport: Viewport, size: tuple[int, int]) -> None:
    """PS3.18 8.3.5.1.3"""
    assert picture(an_image(ramp(8, rows=32, columns=64)), a_png(viewport=viewport)).size == size


def test_a_region_of_its_own_size_is_cut_out_exactly() -> None:
    pixels = texture(8, samples=3, rows=32, columns=64)
    shown = pixels_of(an_image(pixels), a_png(viewport=Viewport(8, 4, 16, 20, 8, 4)))
    assert np.array_equal(shown, pixels[20:24, 16:24])


def test_a_negative_width_or_height_flips_the_region() -> None:
    pixels = texture(8, samples=3, rows=32, columns=64)
    shown = pixels_of(an_image(pixels), a_png(viewport=Viewport(8, 4, 16, 20, -8, -4)))
    assert np.array_equal(shown, pixels[20:24, 16:24][::-1, ::-1])


@pytest.mark.parametrize("region", [(60, 0, 10, 10), (0, 30, 10, 10), (64, 0, None, None), (0, 0, 65, 1)])
def test_a_region_that_leaves_the_image_is_an_impossible_request(region: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidRequest, match="inside the image"):
        picture(an_image(ramp(8, rows=32, columns=64)), a_png(viewport=Viewport(8, 8, *region)))


def test_max_size_limits_the_longer_side_and_never_enlarges() -> None:
    ds = an_image(ramp(8, rows=32, columns=64))
    assert picture(ds, a_png(max_size=16)).size == (16, 8)
    assert picture(ds, a_png(max_size=1000)).size == (64, 32)
    assert picture(ds, a_png(max_size=50, viewport=Viewport(400, 400))).size == (50, 25)


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"PixelAspectRatio": ["2", "1"], "PixelSpacing": None}, (32, 64)),
        ({"PixelSpacing": ["0.5", "1.0"]}, (64, 32)),
        ({"PixelSpacing": ["0.7", "0.7001"]}, (64, 64)),
        ({"PixelSpacing": ["0", "1"]}, (64, 64)),
    ],
)
def test_pixels_that_are_not_square_are_made_so_when_scaled(
    attributes: dict[str, list[str]], size: tuple[int, int]
) -> None:
    """PS3.3 C.7.6.3.1.7"""
    ds = an_image(ramp(8, rows=32, columns=32), **attributes)
    assert picture(ds, a_png(viewport=Viewport(64, 64))).size == size
    assert picture(ds).size == (32, 32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Window(0, 0.5),
        lambda: Window(0, 0, "SIGMOID"),
        lambda: Window(float("nan"), 1),
        lambda: Window(0, float("inf")),
        lambda: Window(0, 1, "CUBIC"),
        lambda: Viewport(0, 1),
        lambda: Viewport(1, MAX_SIDE_PX + 1),
        lambda: Viewport(1, 1, -1),
        lambda: Viewport(1, 1, 0, 0, 0),
        lambda: Viewport(1, 1, 0, 0, float("inf")),
        lambda: a_png(quality=0),
        lambda: a_png(quality=101),
        lambda: a_png(max_size=0),
    ],
)
def test_impossible_parameters_are_refused(make: Any) -> None:
    with pytest.raises(InvalidRequest):
        make()


def test_an_unknown_media_type_cannot_be_made() -> None:
    with pytest.raises(NotAcceptable):
        RenderRequest("image/tiff")


@pytest.mark.parametrize(
    "request_", [PNG, a_png(window=Window(1, 2, "SIGMOID"), viewport=Viewport(3, 4, 5, 6, -7, 8), max_size=9)]
)
def test_a_request_travels_as_plain_values(request_: RenderRequest) -> None:
    assert from_fields(to_fields(request_)) == request_
