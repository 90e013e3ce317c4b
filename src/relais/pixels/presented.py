"""A frame as a presentation state wants it seen: grey levels, shutter, overlays, area, rotation, graphics (PS3.4 N.2).

Knows pixels and Pillow, not where either came from.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels import graphics, shutters
from relais.pixels.attributes import LookupTable, Rescale, pixel_aspect_of
from relais.pixels.grey import Pipeline, through
from relais.pixels.image import ImageHeader, ImagePixel
from relais.pixels.palette import palette_to_rgb
from relais.pixels.presentation import Area, Presentation
from relais.pixels.request import MAX_SIDE_PX, RenderRequest, Window
from relais.pixels.viewing import factor_for

_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


def presented(
    stored: NDArray[Any],
    colours: Image.Image | None,
    image: ImageHeader,
    state: Presentation,
    request: RenderRequest,
    frame_number: int,
) -> Image.Image:
    """8-bit grey or RGB. *colours* is the picture of an image that is not grey."""
    picture = colours.copy() if colours else _shades(stored, image, state)
    for overlay in shutters.overlays(state.attributes, image.attributes):
        shutters.draw_overlay(picture, overlay)
    shutters.close(picture, state.attributes)
    if state.rotation not in (0, *_TURNS):
        raise NotAcceptable(f"A rotation by {state.rotation} degrees is not made here.")
    view = _view(picture, state, request, pixel_aspect_of(image.attributes, frame_number))
    shown = _shown(picture, view)
    graphics.draw(shown, state.annotations, state.attributes, view.place)
    return shown


def _shades(stored: NDArray[Any], image: ImageHeader, state: Presentation) -> Image.Image:
    """Photometric Interpretation does not count: the presentation LUT says which end is white (PS3.4 N.2.4)."""
    voi = state.voi or everything(image.pixel, state.modality)
    pipeline = Pipeline(state.modality, voi, state.is_inverted, state.presentation_lut)
    grey = through(stored, image.pixel, image.attributes, pipeline)
    if not state.is_pseudo_color:
        return Image.fromarray(grey)
    steps = shutters.number_of_entries(state.attributes)
    index = np.rint(grey.astype(np.float32) * ((steps - 1) / 255)).astype(np.int64)
    return Image.fromarray(palette_to_rgb(index, state.attributes, is_signed=False))


def everything(pixel: ImagePixel, modality: Rescale | LookupTable) -> Window:
    """The whole range that the modality LUT can give (PS3.3 C.11.8: without a VOI LUT it is the identity)."""
    if isinstance(modality, LookupTable):
        return Window((1 << modality.bits) / 2, 1 << modality.bits)
    if pixel.is_float:
        raise NotAcceptable("A presentation state without a window cannot be applied to numbers with fractions.")
    low = -(1 << pixel.bits_stored - 1) if pixel.is_signed else 0
    ends = [end * modality.slope + modality.intercept for end in (low, low + (1 << pixel.bits_stored) - 1)]
    return Window(sum(ends) / 2, abs(ends[1] - ends[0]) or 1.0, "LINEAR_EXACT")


@dataclass(frozen=True, slots=True)
class _View:
    """*area* of the image becomes *width* x *height* pixels, which are then turned and flipped."""

    area: Area
    width: int
    height: int
    rotation: int
    is_flipped: bool

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a position in the image is in the picture."""
        u = (x - self.area.left) * self.width / (self.area.right - self.area.left)
        v = (y - self.area.top) * self.height / (self.area.bottom - self.area.top)
        turned = {
            0: (u, v),
            90: (self.height - v, u),
            180: (self.width - u, self.height - v),
            270: (v, self.width - u),
        }
        u, v = turned[self.rotation]
        across = self.width if self.rotation in (0, 180) else self.height
        return (across - u if self.is_flipped else u), v


def _view(picture: Image.Image, state: Presentation, request: RenderRequest, own_aspect: float) -> _View:
    area = state.area or Area(0, 0, picture.width, picture.height)
    width, height = area.right - area.left, (area.bottom - area.top) * (area.aspect or own_aspect)
    if not (0 < width <= 1e6 and 0 < height <= 1e6):
        raise InvalidDataSet("A displayed area of the presentation state has no size.")
    sides = (width, height) if state.rotation in (0, 180) else (height, width)
    natural = min(area.magnification, MAX_SIDE_PX / max(sides))
    factor = factor_for(request, *sides, natural)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return _View(area, *size, state.rotation, state.is_flipped)


def _shown(picture: Image.Image, view: _View) -> Image.Image:
    """What lies beyond the image is black."""
    area = view.area
    canvas = Image.new(picture.mode, (view.width, view.height))
    box = max(area.left, 0), max(area.top, 0), min(area.right, picture.width), min(area.bottom, picture.height)
    if box[0] < box[2] and box[1] < box[3]:
        across, down = view.width / (area.right - area.left), view.height / (area.bottom - area.top)
        size = max(1, round((box[2] - box[0]) * across)), max(1, round((box[3] - box[1]) * down))
        part = picture.resize(size, Image.Resampling.LANCZOS, box=box)
        canvas.paste(part, (round((box[0] - area.left) * across), round((box[1] - area.top) * down)))
    if view.rotation:
        canvas = canvas.transpose(_TURNS[view.rotation])
    return canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.is_flipped else canvas
