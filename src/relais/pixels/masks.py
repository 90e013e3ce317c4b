"""Mask subtraction: a frame less the frames before the contrast medium came (PS3.3 C.7.6.10). Knows frames, no files.

It comes after the modality LUT and before the VOI LUT (PS3.4 N.2.1.2). A window that is stored in the image is about
its values as they are, so that it does not count; that of a presentation state does.

Reading: an image is subtracted if its own Recommended Viewing Mode says so, or a presentation state of it does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from relais.errors import NotAcceptable
from relais.pixels.attributes import LookupTable, Rescale, numbers
from relais.pixels.grey import to_modality

MOST_FRAMES = 64  # of one mask, or averaged with the contrast frame; more are refused

Values = NDArray[np.float64]
Frame = Callable[[int], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Mask:
    """The average of *frames* is taken from that of the *contrast* frames, after it has been moved by *shift*: so many
    rows down and so many columns to the left (PS3.3 C.7.6.10.1.2)."""

    contrast: tuple[int, ...]
    frames: tuple[int, ...]
    shift: tuple[float, float] = (0.0, 0.0)


def recommended(ds: Dataset, frame_number: int, number_of_frames: int) -> Mask | None:
    """What the image *ds* wants subtracted from that frame; None if nothing."""
    if str(ds.get("RecommendedViewingMode") or "").strip() != "SUB":
        return None
    return of(ds, frame_number, number_of_frames)


def of(ds: Dataset, frame_number: int, number_of_frames: int) -> Mask | None:
    """What the Mask Subtraction Sequence of *ds* wants subtracted from that frame: its first Item about it counts."""
    for item in ds.get("MaskSubtractionSequence") or ():
        if (start := _range_start(item, frame_number)) is not None:
            return _mask(item, frame_number, number_of_frames, start)
    return None


def subtracted(mask: Mask, frame: Frame, modality: Rescale | LookupTable) -> Values:
    """The difference in modality values; *frame* gives the stored values of a frame by its number."""
    contrast = _average(mask.contrast, frame, modality)
    return contrast - moved(_average(mask.frames, frame, modality), *mask.shift)


def moved(values: Values, down: float, left: float) -> Values:
    """*values*, moved by parts of a pixel; what comes in from beyond is what lies at the edge."""
    return _along(_along(values, -down, 0), left, 1)


def _range_start(item: Dataset, frame_number: int) -> int | None:
    """The first frame of the range that *frame_number* is in, None if *item* is not about it (PS3.3 C.7.6.10.1.1)."""
    ends = [int(value) for value in numbers(item.get("ApplicableFrameRange"))]
    if not ends:
        return 1
    pairs = zip(ends[::2], ends[1::2], strict=False)
    return next((first for first, last in pairs if first <= frame_number <= last), None)


def _mask(item: Dataset, frame_number: int, number_of_frames: int, start: int) -> Mask | None:
    operation = str(item.get("MaskOperation") or "").strip()
    offset = int((numbers(item.get("TIDOffset")) or [1])[0])
    frames = {
        "AVG_SUB": tuple(int(number) for number in numbers(item.get("MaskFrameNumbers"))),
        "TID": (frame_number - offset,),
        "REV_TID": (start - offset - (frame_number - start),),
    }.get(operation, ())
    several = max(1, int((numbers(item.get("ContrastFrameAveraging")) or [1])[0]))
    contrast = tuple(range(frame_number, min(frame_number + several, number_of_frames + 1)))
    if max(len(frames), len(contrast)) > MOST_FRAMES:
        raise NotAcceptable(f"Masks of more than {MOST_FRAMES} frames are not subtracted here.")
    if not frames or not all(1 <= number <= number_of_frames for number in frames):
        return None
    shift = numbers(item.get("MaskSubPixelShift"))
    return Mask(contrast, frames, (shift[0], shift[1]) if len(shift) == 2 else (0.0, 0.0))


def _average(frames: tuple[int, ...], frame: Frame, modality: Rescale | LookupTable) -> Values:
    total = to_modality(frame(frames[0]), modality)
    for number in frames[1:]:
        total = total + to_modality(frame(number), modality)
    return total / len(frames)


def _along(values: Values, by: float, axis: int) -> Values:
    """The values at *by* further along *axis*, between two of them in proportion."""
    if not by:
        return values
    whole, last = math.floor(by), values.shape[axis] - 1
    places = np.arange(last + 1)
    before, after = (values.take(np.clip(places + whole + step, 0, last), axis) for step in (0, 1))
    between: Values = before + (after - before) * (by - whole)
    return between
