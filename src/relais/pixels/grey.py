"""Stored values to grey levels: modality LUT, VOI LUT, presentation LUT (PS3.4 N.2). Knows numbers, not image formats.

Nearly always through a table over the stored values that occur, so that a pixel costs one look-up; or, sooner, along a
straight line, where that gives the very same for each of these values.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from relais.pixels.attributes import LookupTable, Rescale, modality_of, padding_of, voi_of
from relais.pixels.blocks import in_blocks
from relais.pixels.image import ImagePixel
from relais.pixels.request import Window

Grey = NDArray[np.uint8]
_Values = NDArray[Any]
_Line = tuple[float, float]  # slope and start, in 8-bit grey levels, rounded down afterwards
_WHITE = 255.0
_EXTREME = 1e6


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What stored values go through (PS3.4 N.2). Without *voi* it is from the least to the greatest value that occurs.

    *is_inverted* shows the least value white; *presentation* is a table over all that the VOI LUT gives.
    """

    modality: Rescale | LookupTable
    voi: Window | LookupTable | None = None
    is_inverted: bool = False
    presentation: LookupTable | None = None


def to_grey(
    stored: _Values, pixel: ImagePixel, attributes: Dataset, window: Window | None = None, frame_number: int = 1
) -> Grey:
    """8-bit grey levels of one frame: *window*, else what is stored for it, else from its least to its greatest value.

    Pixel padding does not count for the latter. MONOCHROME1 is shown with its least value white (PS3.3 C.7.6.3.1.2).
    """
    voi = window or voi_of(attributes, frame_number)
    is_inverted = pixel.photometric_interpretation == "MONOCHROME1"
    return through(stored, pixel, attributes, Pipeline(modality_of(attributes, frame_number), voi, is_inverted))


def through(stored: _Values, pixel: ImagePixel, attributes: Dataset, pipeline: Pipeline) -> Grey:
    """8-bit grey levels of one frame that goes through *pipeline*."""
    modality = pipeline.modality
    voi = pipeline.voi or _whole_range(stored, pixel, attributes, modality)

    def grey_of(values: _Values) -> Grey:
        shown = _apply_voi(to_modality(values, modality), voi)
        if pipeline.presentation is not None:
            shown = _apply_presentation(shown, pipeline.presentation)
        return ((1.0 - shown if pipeline.is_inverted else shown) * _WHITE + 0.5).astype(np.uint8)

    if stored.dtype.kind == "f":
        return in_blocks(lambda values: grey_of(np.nan_to_num(values.astype(np.float64))), stored)
    low, high = int(stored.min()), int(stored.max())
    if high - low >= stored.size:
        return in_blocks(grey_of, stored)
    occurring = np.arange(low, high + 1)
    table = grey_of(occurring)
    line = None if pipeline.presentation else _line(modality, voi, is_inverted=pipeline.is_inverted)
    if line and np.array_equal(_along(line, occurring), table):
        return in_blocks(partial(_along, line), stored)

    def looked_up(values: _Values) -> Grey:
        index = values.astype(np.intp)
        index -= low
        return table.take(index)

    return in_blocks(looked_up, stored)


def _line(modality: Rescale | LookupTable, voi: Window | LookupTable, *, is_inverted: bool) -> _Line | None:
    """What a stored value becomes between black and white, if that is a straight line whose numbers are not extreme."""
    if isinstance(modality, LookupTable) or isinstance(voi, LookupTable) or voi.function == "SIGMOID" or voi.width == 1:
        return None
    middle, width = (voi.center, voi.width) if voi.function == "LINEAR_EXACT" else (voi.center - 0.5, voi.width - 1.0)
    slope = modality.slope / width * _WHITE
    start = ((modality.intercept - middle) / width + 0.5) * _WHITE
    if abs(slope) > _EXTREME or abs(start) > _EXTREME:
        return None
    return (-slope, _WHITE - start + 0.5) if is_inverted else (slope, start + 0.5)


def _along(line: _Line, values: _Values) -> Grey:
    """*values* along a *line*: half as long as looking them up, and nearly as exact."""
    slope, start = line
    shown = values.astype(np.float32)
    shown *= slope
    shown += start
    return np.clip(shown, 0.0, _WHITE, out=shown).astype(np.uint8)


def to_modality(values: _Values, modality: Rescale | LookupTable) -> NDArray[np.float64]:
    """Stored values through the modality LUT (PS3.3 C.11.1)."""
    if isinstance(modality, LookupTable):
        return _look_up(values, modality).astype(np.float64)
    return values * np.float64(modality.slope) + modality.intercept


def _apply_voi(values: NDArray[np.float64], voi: Window | LookupTable) -> NDArray[np.float64]:
    """Between 0, black, and 1, white."""
    if isinstance(voi, LookupTable):
        return np.minimum(_look_up(values, voi) / float((1 << voi.bits) - 1), 1.0)
    if voi.function == "SIGMOID":  # PS3.3 C.11.2.1.3.1
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - voi.center) / voi.width, -700, 700)))
    if voi.function == "LINEAR_EXACT":  # PS3.3 C.11.2.1.3.2
        return np.clip((values - voi.center) / voi.width + 0.5, 0.0, 1.0)
    if voi.width == 1:
        return (values > voi.center - 0.5).astype(np.float64)
    return np.clip((values - (voi.center - 0.5)) / (voi.width - 1.0) + 0.5, 0.0, 1.0)  # PS3.3 C.11.2.1.2.1


def _apply_presentation(shown: NDArray[np.float64], table: LookupTable) -> NDArray[np.float64]:
    """PS3.3 C.11.6.1: the entries are spread over the whole range that the VOI LUT gives."""
    index = np.rint(shown * (len(table.values) - 1)).astype(np.int64)
    return np.minimum(table.values[index] / float((1 << table.bits) - 1), 1.0)


def _look_up(values: _Values, table: LookupTable) -> NDArray[np.uint16]:
    index = np.clip(values - float(table.first), 0, len(table.values) - 1)
    return table.values[index.astype(np.int64)]


def _whole_range(
    stored: _Values, pixel: ImagePixel, attributes: Dataset, modality: Rescale | LookupTable
) -> Window | LookupTable:
    """A window from the least to the greatest modality value that occurs."""
    if isinstance(modality, LookupTable):
        return Window((1 << modality.bits) / 2, 1 << modality.bits)
    if pixel.bits_stored == 1:
        low, high = 0.0, 1.0
    else:
        low, high = _extremes(stored, padding_of(attributes))
    ends = sorted(end * modality.slope + modality.intercept for end in (low, high))
    return Window((ends[0] + ends[1]) / 2, (ends[1] - ends[0]) or 1.0, "LINEAR_EXACT")


def _extremes(stored: _Values, padding: tuple[float, float] | None) -> tuple[float, float]:
    values = stored.reshape(-1)
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if padding is not None:
        values = values[(values < padding[0]) | (values > padding[1])]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
