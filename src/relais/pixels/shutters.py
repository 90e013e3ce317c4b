"""Display shutters and overlay planes (PS3.3 C.7.6.11, C.9.2), drawn over a picture of the whole image. Knows shapes.

An overlay is shown where the presentation state activates its group, be it the state's own or the image's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from pydicom import Dataset

from relais.pixels.attributes import number, numbers

OVERLAY_GROUPS = range(0x6000, 0x6020, 2)

_ROWS, _COLUMNS, _ORIGIN, _ALLOCATED, _ACTIVATION, _DATA = 0x0010, 0x0011, 0x0050, 0x0100, 0x1001, 0x3000
_WHITE = 0xFFFF


@dataclass(frozen=True, slots=True)
class Overlay:
    """*plane* is 255 where there is ink; *left* and *top* place it on the image, from 0."""

    group: int
    plane: Image.Image
    left: int
    top: int


def overlay_tags() -> list[int]:
    """The attributes of overlay planes."""
    return [
        (group << 16) | element for group in OVERLAY_GROUPS for element in (_ROWS, _COLUMNS, _ORIGIN, _ALLOCATED, _DATA)
    ]


def overlays(state: Dataset, image: Dataset) -> Iterator[Overlay]:
    """The planes that *state* activates, but for the one that is a shutter. Malformed ones are left out."""
    for group in OVERLAY_GROUPS:
        activation = state.get((group, _ACTIVATION))
        if (
            activation is None
            or not str(activation.value or "").strip()
            or group == number(state, "ShutterOverlayGroup")
        ):
            continue
        if found := _overlay(state, group) or _overlay(image, group):
            yield found


def draw_overlay(picture: Image.Image, overlay: Overlay) -> None:
    """Ink is white."""
    ink = 255 if picture.mode == "L" else (255, 255, 255)
    picture.paste(ink, (overlay.left, overlay.top), overlay.plane)


def close(picture: Image.Image, state: Dataset) -> None:
    """Cover what lies outside the shutters of *state*."""
    shapes = state.get("ShutterShape") or []
    names = {shapes.strip()} if isinstance(shapes, str) else {str(shape).strip() for shape in shapes}
    is_open = Image.new("L", picture.size, 255)
    for name in sorted(names & _SHAPES.keys()):
        is_open = ImageChops.multiply(is_open, _SHAPES[name](state, picture.size))
    if names & _SHAPES.keys():
        value = round((number(state, "ShutterPresentationValue") or 0) / _WHITE * 255)
        level = min(max(value, 0), 255)
        picture.paste(level if picture.mode == "L" else (level,) * 3, (0, 0), ImageChops.invert(is_open))


def number_of_entries(ds: Dataset) -> int:
    """How many colours the palette of *ds* has."""
    descriptor = numbers(ds.get("RedPaletteColorLookupTableDescriptor"))
    return (int(descriptor[0]) or 65536) if descriptor else 1


def _rectangle(state: Dataset, size: tuple[int, int]) -> Image.Image:
    """Edges are counted from 1 and still seen themselves (PS3.3 C.7.6.11)."""
    names = ("LeftVerticalEdge", "UpperHorizontalEdge", "RightVerticalEdge", "LowerHorizontalEdge")
    left, top, right, bottom = (number(state, f"Shutter{name}") for name in names)
    mask = Image.new("L", size)
    box = (left or 1) - 1, (top or 1) - 1, (right or size[0]) - 1, (bottom or size[1]) - 1
    if box[0] <= box[2] and box[1] <= box[3]:
        ImageDraw.Draw(mask).rectangle(_near(box), fill=255)
    return mask


def _circle(state: Dataset, size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    centre, radius = numbers(state.get("CenterOfCircularShutter")), number(state, "RadiusOfCircularShutter")
    if len(centre) == 2 and radius is not None and radius >= 0:
        row, column = centre[0] - 1, centre[1] - 1
        box = column - radius, row - radius, column + radius, row + radius
        ImageDraw.Draw(mask).ellipse(_near(box), fill=255)
    return mask


def _polygon(state: Dataset, size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    values = _near(tuple(value - 1 for value in numbers(state.get("VerticesOfThePolygonalShutter"))))
    points = list(zip(values[1::2], values[::2], strict=False))  # rows come first
    if len(points) > 2:
        ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask


def _bitmap(state: Dataset, size: tuple[int, int]) -> Image.Image:
    """Where the overlay has ink, the shutter is closed (PS3.3 C.7.6.15)."""
    mask = Image.new("L", size, 255)
    overlay = _overlay(state, int(number(state, "ShutterOverlayGroup") or 0))
    if overlay is not None:
        mask.paste(0, (overlay.left, overlay.top), overlay.plane)
    return mask


_SHAPES = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon, "BITMAP": _bitmap}


def _overlay(ds: Dataset, group: int) -> Overlay | None:
    element = ds.get((group, _DATA)) if group in OVERLAY_GROUPS else None
    if element is None or not isinstance(element.value, bytes):
        return None
    rows, columns = (int((_values(ds, group, tag) or [0])[0]) for tag in (_ROWS, _COLUMNS))
    if not (0 < rows <= 65535 and 0 < columns <= 65535 and len(element.value) * 8 >= rows * columns):
        return None
    bits = np.unpackbits(np.frombuffer(element.value, np.uint8), count=rows * columns, bitorder="little")
    origin = _values(ds, group, _ORIGIN)
    top, left = (int(value) - 1 for value in origin) if len(origin) == 2 else (0, 0)
    return Overlay(group, Image.fromarray(bits.reshape(rows, columns) * np.uint8(255)), left, top)


def _values(ds: Dataset, group: int, element: int) -> list[float]:
    found = ds.get((group, element))
    return numbers(found.value) if found is not None else []


def _near(values: tuple[float, ...]) -> tuple[float, ...]:
    """What draws counts in 32 bits."""
    return tuple(min(max(value, -1e5), 2e5) for value in values)
