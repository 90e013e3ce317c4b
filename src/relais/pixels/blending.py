"""Two grey images laid over each other by a blending presentation state (PS3.3 C.11.14). Knows pixels, not files.

The superimposed one goes through the palette of the state, is moved to where it is said to lie, and lets the underlying
one through as far as its opacity is less than 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from relais.dicom.planes import Affine
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels import shutters
from relais.pixels.attributes import number
from relais.pixels.grey import Pipeline, through
from relais.pixels.image import ImageHeader
from relais.pixels.palette import palette_to_rgb
from relais.pixels.presentation import modality_and_voi
from relais.pixels.presented import everything

UNDERLYING, SUPERIMPOSED = "UNDERLYING", "SUPERIMPOSED"


@dataclass(frozen=True, slots=True)
class Layer:
    """One frame of the image *sop_instance_uid*, as it is stored.

    *onto* says where the pixels of another lie among its own (relais.dicom.planes.Plane.onto).
    """

    stored: NDArray[Any]
    image: ImageHeader
    sop_instance_uid: str
    frame_number: int
    onto: Affine = (1, 0, 0, 0, 1, 0)


def blended(under: Layer, over: Layer | None, state: Dataset) -> Image.Image:
    """RGB, in the rows and columns of *under*. Raises InvalidDataSet, NotAcceptable."""
    below = Image.fromarray(_shades(under, state, UNDERLYING)).convert("RGB")
    if over is None:
        return below
    opacity = number(state, "RelativeOpacity")
    if opacity is None or not 0 <= opacity <= 1:
        raise InvalidDataSet("The presentation state has no opacity between 0 and 1.")
    above, cover = _moved(_colours(over, state), over.onto, below.size, opacity)
    return Image.composite(above, below, cover)


def _colours(over: Layer, state: Dataset) -> Image.Image:
    steps = shutters.number_of_entries(state)
    index = np.rint(_shades(over, state, SUPERIMPOSED).astype(np.float32) * ((steps - 1) / 255)).astype(np.int64)
    return Image.fromarray(palette_to_rgb(index, state, is_signed=False))


def _shades(layer: Layer, state: Dataset, position: str) -> NDArray[np.uint8]:
    pixel = layer.image.pixel
    if pixel.samples_per_pixel != 1:
        raise NotAcceptable("Images in colour are not blended.")
    modality, voi = modality_and_voi(_item(state, position), layer.sop_instance_uid, layer.frame_number)
    pipeline = Pipeline(modality, voi or everything(pixel, modality))
    return through(layer.stored, pixel, layer.image.attributes, pipeline)


def _item(state: Dataset, position: str) -> Dataset:
    items: list[Dataset] = list(state.get("BlendingSequence") or ())
    for item in items:
        if str(item.get("BlendingPosition") or "").strip() == position:
            return item
    raise InvalidDataSet(f"The presentation state says of no image that it is {position}.")


def _moved(
    picture: Image.Image, onto: Affine, size: tuple[int, int], opacity: float
) -> tuple[Image.Image, Image.Image]:
    """*picture* as it lies on pixels of the other image, and how much of it is seen there: nothing beyond its edge."""
    a, b, c, d, e, f = onto
    # Positions are those of the centres of pixels here, and of their corners there.
    places = (a, b, c + 0.5 - 0.5 * (a + b), d, e, f + 0.5 - 0.5 * (d + e))
    bilinear, affine = Image.Resampling.BILINEAR, Image.Transform.AFFINE
    cover = Image.new("L", picture.size, round(255 * opacity))
    return (
        picture.transform(size, affine, places, bilinear),
        cover.transform(size, affine, places, Image.Resampling.NEAREST),
    )
