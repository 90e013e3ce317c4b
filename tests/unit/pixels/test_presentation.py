"""What a presentation state does that no judge here knows: areas, shutters, overlays, graphics (PS3.3 C.10, C.11)."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, FileDataset
from pydicom.uid import (
    AdvancedBlendingPresentationStateStorage,
    ColorSoftcopyPresentationStateStorage,
    PseudoColorSoftcopyPresentationStateStorage,
)

from fixtures.builders import part10
from fixtures.images import an_image, part10_split, texture
from fixtures.states import a_graphic, a_state, a_text, an_area, annotations, layers
from relais.dicom import uids
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels.decode import decode_frame
from relais.pixels.image import read_part10_header
from relais.pixels.presentation import Presentation, read
from relais.pixels.render import render
from relais.pixels.request import RenderRequest, Viewport

Pixels = np.ndarray[Any, Any]

BLACK = an_image(np.zeros((100, 200), np.uint8), BitsStored=8)
IDENTITY = {"voi": (128, 256), "RescaleSlope": "1", "RescaleIntercept": "0"}


def applied(image: FileDataset, frame_number: int = 1, **attributes: Any) -> Presentation:
    return read(part10(a_state(image, **{**IDENTITY, **attributes})), image.SOPInstanceUID, frame_number)


def shown(image: FileDataset, viewport: Viewport | None = None, **attributes: Any) -> Pixels:
    header, frame = part10_split(image)
    found = read_part10_header(header, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    decoded = decode_frame(frame, uids.EXPLICIT_VR_LITTLE_ENDIAN, found.pixel)
    request = RenderRequest("image/png", viewport=viewport)
    return np.asarray(Image.open(BytesIO(render(decoded, found, request, 1, applied(image, **attributes)))))


def ink(pixels: Pixels) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is white."""
    rows, columns = np.nonzero(pixels > 200)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def drawn(*objects: Dataset, viewport: Viewport | None = None, **attributes: Any) -> Pixels:
    return shown(BLACK, viewport, GraphicAnnotationSequence=annotations(*objects), **attributes)


# Area


def test_the_displayed_area_is_what_is_seen() -> None:
    """PS3.3 C.10.4"""
    pixels = texture(8)
    area = an_area((11, 6), (30, 25))
    assert np.array_equal(shown(an_image(pixels), DisplayedAreaSelectionSequence=[area]), pixels[5:25, 10:30])


def test_beyond_the_image_is_black() -> None:
    pixels = np.full((10, 10), 255, np.uint8)
    found = shown(an_image(pixels), DisplayedAreaSelectionSequence=[an_area((-9, 1), (20, 10))])
    assert found.shape == (10, 30)
    assert found[:, 10:20].min() == 255
    assert found[:, :10].max() == found[:, 20:].max() == 0
    nothing = shown(an_image(pixels), DisplayedAreaSelectionSequence=[an_area((50, 50), (60, 60))])
    assert nothing.max() == 0


@pytest.mark.parametrize(
    ("attributes", "viewport", "size"),
    [
        ({"PresentationSizeMode": "MAGNIFY", "PresentationPixelMagnificationRatio": 2.0}, None, (200, 400)),
        ({"PresentationSizeMode": "TRUE SIZE", "PresentationPixelSpacing": [1, 1]}, None, (100, 200)),
        ({"PresentationPixelAspectRatio": [2, 1]}, None, (200, 200)),
        ({"PresentationPixelSpacing": [0.5, 1.0]}, None, (50, 200)),
        ({}, Viewport(50, 50), (25, 50)),
    ],
)
def test_the_area_says_how_large_pixels_are(
    attributes: dict[str, Any], viewport: Viewport | None, size: tuple[int, int]
) -> None:
    area = an_area((1, 1), (200, 100), **attributes)
    assert shown(BLACK, viewport, DisplayedAreaSelectionSequence=[area]).shape == size


@pytest.mark.parametrize("corner", [(10**9, 10**9), (10**9, 1)])
def test_an_area_without_bounds_is_refused(corner: tuple[int, int]) -> None:
    with pytest.raises(InvalidDataSet):
        shown(BLACK, DisplayedAreaSelectionSequence=[an_area((-(10**9), -(10**9)), corner)])


def test_an_area_may_be_about_one_frame() -> None:
    """PS3.3 C.10.4"""
    reference, area = Dataset(), an_area((1, 1), (5, 5))
    reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber = BLACK.SOPInstanceUID, 2
    area.ReferencedImageSequence = [reference]
    areas = [area, an_area((1, 1), (9, 9))]
    found = [applied(BLACK, frame, DisplayedAreaSelectionSequence=areas).area for frame in (1, 2)]
    assert [area.right for area in found if area] == [9, 5]


# Shutters and overlays

WHITE = an_image(np.full((40, 60), 255, np.uint8), BitsStored=8)


@pytest.mark.parametrize(
    ("attributes", "box"),
    [
        (
            {
                "ShutterShape": "RECTANGULAR",
                "ShutterLeftVerticalEdge": 11,
                "ShutterRightVerticalEdge": 30,
                "ShutterUpperHorizontalEdge": 5,
                "ShutterLowerHorizontalEdge": 20,
            },
            (10, 4, 29, 19),
        ),
        (
            {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [21, 31], "RadiusOfCircularShutter": 10},
            (20, 10, 40, 30),
        ),
        (
            {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [5, 5, 5, 40, 30, 40, 30, 5]},
            (4, 4, 39, 29),
        ),
        (
            {
                "ShutterShape": ["CIRCULAR", "RECTANGULAR"],
                "CenterOfCircularShutter": [21, 31],
                "RadiusOfCircularShutter": 10,
                "ShutterLeftVerticalEdge": 31,
            },
            (30, 10, 40, 30),
        ),
        ({"ShutterShape": "A NEW ONE"}, (0, 0, 59, 39)),
    ],
)
def test_a_shutter_covers_what_lies_outside(attributes: dict[str, Any], box: tuple[int, int, int, int]) -> None:
    """PS3.3 C.7.6.11"""
    assert ink(shown(WHITE, **attributes)) == box


def test_a_shutter_has_its_grey() -> None:
    attributes = {"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 31, "ShutterPresentationValue": 32768}
    assert shown(WHITE, **attributes)[0, 0] == 128


def test_a_malformed_shutter_covers_everything() -> None:
    assert shown(WHITE, ShutterShape="CIRCULAR").max() == 0
    assert shown(WHITE, ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=[1, 1]).max() == 0


def with_overlay(ds: FileDataset, *, activated: bool = True, shutter: bool = False) -> FileDataset:
    bits = np.zeros((10, 16), np.uint8)
    bits[2:5, 3:9] = 1
    ds.add_new(0x60000010, "US", 10)
    ds.add_new(0x60000011, "US", 16)
    ds.add_new(0x60000050, "SS", [11, 21])
    ds.add_new(0x60003000, "OW", np.packbits(bits, bitorder="little").tobytes())
    if activated:
        ds.add_new(0x60001001, "CS", "LAYER")
    if shutter:
        ds.ShutterShape, ds.ShutterOverlayGroup, ds.ShutterPresentationValue = "BITMAP", 0x6000, 0
    return ds


def shown_by(image: FileDataset, state: FileDataset) -> Pixels:
    header, frame = part10_split(image)
    found = read_part10_header(header, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    decoded = decode_frame(frame, uids.EXPLICIT_VR_LITTLE_ENDIAN, found.pixel)
    applied = read(part10(state), image.SOPInstanceUID, 1)
    return np.asarray(Image.open(BytesIO(render(decoded, found, RenderRequest("image/png"), 1, applied))))


def test_overlays_are_seen_where_they_are_activated() -> None:
    """PS3.3 C.11.7"""
    state = a_state(BLACK, **IDENTITY)
    assert ink(shown_by(BLACK, with_overlay(state))) == (23, 12, 28, 14)
    assert shown_by(BLACK, with_overlay(a_state(BLACK, **IDENTITY), activated=False)).max() == 0


def test_an_overlay_may_be_a_shutter() -> None:
    """PS3.3 C.7.6.15"""
    found = shown_by(WHITE, with_overlay(a_state(WHITE, **IDENTITY), shutter=True))
    assert found[12:15, 23:29].max() == 0
    assert (found == 0).sum() == 3 * 6


# Graphics


@pytest.mark.parametrize(
    ("graphic", "box"),
    [
        (a_graphic("POLYLINE", [20, 10, 60, 10, 60, 40]), (20, 10, 60, 40)),
        (a_graphic("POLYLINE", [0.1, 0.5, 0.5, 0.9], units="DISPLAY"), (20, 50, 100, 90)),
        (a_graphic("CIRCLE", [100, 50, 120, 50]), (80, 30, 120, 70)),
        (a_graphic("ELLIPSE", [60, 50, 140, 50, 100, 30, 100, 70]), (60, 30, 140, 70)),
        (a_graphic("ELLIPSE", [60, 50, 140, 50, 100, 30, 100, 70], filled=True), (60, 30, 140, 70)),
        (a_graphic("INTERPOLATED", [20, 20, 40, 20, 60, 20]), (20, 20, 60, 20)),
        (a_graphic("INTERPOLATED", [20, 20, 40, 20, 40, 40, 20, 40, 20, 20]), (18, 18, 42, 42)),
        (a_graphic("POINT", [50, 50]), (47, 47, 53, 53)),
    ],
    ids=lambda value: value.GraphicType if isinstance(value, Dataset) else "",
)
def test_every_graphic_is_where_it_belongs(graphic: Dataset, box: tuple[int, int, int, int]) -> None:
    """PS3.3 C.10.5.2"""
    assert np.abs(np.subtract(ink(drawn(graphic)), box)).max() <= 1


@pytest.mark.parametrize(
    "graphic",
    [
        a_graphic("POLYLINE", []),
        a_graphic("CIRCLE", [1, 2]),
        a_graphic("POLYLINE", [1e30, -1e30, 5, 5]),
        a_graphic("POINT", [1, 2, 3]),
        a_text("", [0, 0, 0, 0]),
        a_text("far", [9, 9, 9, 9]),
    ],
)
def test_malformed_graphics_do_no_harm(graphic: Dataset) -> None:
    assert drawn(graphic).shape == (100, 200)


def test_graphics_turn_and_grow_with_the_image() -> None:
    line = a_graphic("POLYLINE", [20, 10, 60, 10])
    assert ink(drawn(line, ImageRotation=90, ImageHorizontalFlip="Y")) == (10, 20, 10, 60)
    left, top, right, _ = ink(drawn(line, viewport=Viewport(400, 400)))
    assert np.abs(np.subtract((left, top, right), (40, 20, 120))).max() <= 1
    moved = drawn(line, DisplayedAreaSelectionSequence=[an_area((11, 6), (200, 100))])
    assert ink(moved) == (10, 5, 50, 5)


def test_layers_have_an_order_and_greys() -> None:
    """PS3.3 C.10.7"""
    below, above = (a_graphic("ELLIPSE", [60, 50, 140, 50, 100, 30, 100, 70], filled=True) for _ in range(2))
    sequence = [*annotations(above, layer="ABOVE"), *annotations(below, layer="BELOW")]
    layered = layers(BELOW=65535, ABOVE=32768)
    assert shown(BLACK, GraphicAnnotationSequence=sequence, GraphicLayerSequence=layered)[50, 100] == 128


def test_text_is_written_into_its_box_and_tied_to_its_anchor() -> None:
    """PS3.3 C.10.5.1.1"""
    text = a_text("Nodule\r\nsee prior", [0.5, 0.1, 0.9, 0.3])
    left, top, _, bottom = ink(drawn(text))
    assert left >= 98
    assert top >= 9
    assert bottom > 25  # two lines
    tied = a_text(
        "Nodule",
        [0.5, 0.1, 0.9, 0.3],
        AnchorPoint=[10, 90],
        AnchorPointAnnotationUnits="PIXEL",
        AnchorPointVisibility="Y",
    )
    assert ink(drawn(tied))[0] <= 11


# Kinds


def test_colour_images_keep_their_colours() -> None:
    """PS3.3 A.33.2"""
    pixels = texture(8, samples=3)
    image = an_image(pixels)
    state = a_state(image, SOPClassUID=ColorSoftcopyPresentationStateStorage, ImageRotation=180, RescaleSlope=None)
    assert np.array_equal(shown_by(image, state), pixels[::-1, ::-1])


def test_a_pseudo_colour_state_gives_colours() -> None:
    """PS3.3 A.33.3"""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = an_image(ramp, BitsStored=8)
    palette: dict[str, Any] = {"SOPClassUID": PseudoColorSoftcopyPresentationStateStorage, "PresentationLUTShape": None}
    for colour, values in (("Red", ramp), ("Green", 255 - ramp), ("Blue", ramp * 0)):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        palette[f"{colour}PaletteColorLookupTableData"] = values.tobytes()
    found = shown_by(image, a_state(image, **IDENTITY, **palette)).astype(int)
    assert np.abs(found - np.dstack([ramp, 255 - ramp, ramp * 0])).max() <= 1


def test_what_is_not_applied_is_refused() -> None:
    with pytest.raises(NotAcceptable):
        applied(BLACK, SOPClassUID=AdvancedBlendingPresentationStateStorage)
    with pytest.raises(NotAcceptable):
        shown(BLACK, ImageRotation=45)


def test_graphics_without_number_are_refused() -> None:
    many = annotations(*[a_graphic("POINT", [1, 1])] * 10_001)
    with pytest.raises(NotAcceptable):
        applied(BLACK, GraphicAnnotationSequence=many)


@pytest.mark.parametrize("garbage", [b"", b"DICM" * 100, part10(BLACK)])
def test_what_is_no_presentation_state_is_an_invalid_data_set(garbage: bytes) -> None:
    with pytest.raises((InvalidDataSet, NotAcceptable)):
        read(garbage, "1.2", 1)
