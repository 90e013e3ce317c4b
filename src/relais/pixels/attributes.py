"""The attributes that say how to show one frame, wherever the IOD keeps them. Knows Data Sets, not pixels.

An Enhanced multi-frame image keeps them in functional groups: those of the frame, else those shared by all frames, else
the Data Set itself (PS3.3 C.7.6.16).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from relais.errors import InvalidRequest
from relais.pixels.request import VOI_LUT_FUNCTIONS, Window

_UNKNOWN_FRAME_MS = 100.0
_ENTRIES_FOR_ZERO = 65536  # PS3.3 C.11.1.1.1: 0 entries are 2^16


@dataclass(frozen=True, slots=True)
class LookupTable:
    """*values* for the inputs from *first* on; inputs beyond either end get that end's value (PS3.3 C.11.1.1.1)."""

    first: int
    bits: int
    values: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Rescale:
    """Rescale Slope and Intercept (PS3.3 C.11.1)."""

    slope: float = 1.0
    intercept: float = 0.0


def modality_of(ds: Dataset, frame_number: int) -> Rescale | LookupTable:
    """What turns stored values into modality values."""
    if table := lookup_table(first_item(ds, "ModalityLUTSequence")):
        return table
    group = _group(ds, "PixelValueTransformationSequence", frame_number)
    # Deviation: a slope of 0 would make every image one grey; it is taken as missing, as DCMTK does.
    return Rescale(number(group, "RescaleSlope") or 1.0, number(group, "RescaleIntercept") or 0.0)


def voi_of(ds: Dataset, frame_number: int) -> Window | LookupTable | None:
    """The first stored window, else the first VOI LUT, else None (PS3.3 C.11.2).

    A malformed or impossible window is taken as missing.
    """
    group = _group(ds, "FrameVOILUTSequence", frame_number)
    center, width = number(group, "WindowCenter"), number(group, "WindowWidth")
    if center is not None and width is not None:
        function = str(group.get("VOILUTFunction") or "LINEAR").strip()
        try:
            return Window(center, width, function if function in VOI_LUT_FUNCTIONS else "LINEAR")
        except InvalidRequest:
            pass
    return lookup_table(first_item(group, "VOILUTSequence") or first_item(ds, "VOILUTSequence"))


def padding_of(ds: Dataset) -> tuple[float, float] | None:
    """The range of stored values that only fill up the matrix (PS3.3 C.7.5.1.1.2, C.7.6.24, C.7.6.25)."""
    for kind in ("", "Float", "DoubleFloat"):
        first = number(ds, f"{kind}PixelPaddingValue")
        if first is not None:
            last = number(ds, f"{kind}PixelPaddingRangeLimit")
            low, high = sorted((first, first if last is None else last))
            return (low, high) if kind else (int(low), int(high))
    return None


def pixel_aspect_of(ds: Dataset, frame_number: int) -> float:
    """How many times a pixel is higher than wide (PS3.3 C.7.6.3.1.7); 1 where nothing is known."""
    measures = _group(ds, "PixelMeasuresSequence", frame_number)
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        values = numbers((measures if keyword in measures else ds).get(keyword))
        if len(values) == 2 and min(values) > 0:
            return values[0] / values[1]
    return 1.0


def is_partly_coloured(ds: Dataset, frame_number: int) -> bool:
    """Whether some values of the frame, which is grey, are to be seen in colours (PS3.3 C.7.6.19, C.8.16.2.1.1)."""
    if not ds.get("RedPaletteColorLookupTableDescriptor") or ds.get("PhotometricInterpretation") != "MONOCHROME2":
        return False
    for group in _groups(ds, frame_number):
        for element in group:
            kinds = element.value if element.VR == "SQ" and element.keyword.endswith("FrameTypeSequence") else ()
            if kinds and "PixelPresentation" in kinds[0]:
                return _is_colour(kinds[0])
    return _is_colour(ds)


def _is_colour(ds: Dataset) -> bool:
    return str(ds.get("PixelPresentation") or "").strip() in {"COLOR", "MIXED"}


def frame_time_ms(ds: Dataset, frame_number: int) -> float:
    """For how long the frame is shown (PS3.3 C.7.6.5); a tenth of a second where nothing is known."""
    steps = numbers(ds.get("FrameTimeVector"))
    if frame_number < len(steps) and steps[frame_number] > 0:  # the nth value is the time before frame n
        return steps[frame_number]
    if (time_ms := number(ds, "FrameTime") or 0) > 0:
        return time_ms
    rates = (number(ds, keyword) or 0 for keyword in ("RecommendedDisplayFrameRate", "CineRate"))
    return next((1000 / rate for rate in rates if rate > 0), _UNKNOWN_FRAME_MS)


def number(ds: Dataset, keyword: str) -> float | None:
    """The first value of *keyword*, None if it is missing or not a number."""
    raw = ds.get_item(keyword) if keyword in ds else None
    if isinstance(raw, RawDataElement) and raw.VR == "DS" and (values := numbers((raw.value or b"").split(b"\\"))):
        return values[0]  # as pydicom reads it, in a tenth of the time
    values = numbers(ds.get(keyword))
    return values[0] if values else None


def lookup_values(data: Any, entries: int) -> NDArray[np.uint16]:
    """LUT Data as it may come: numbers, or bytes with one or two for each entry, little endian."""
    if isinstance(data, bytes):
        return np.frombuffer(data, np.uint8 if len(data) < 2 * entries else "<u2")[:entries].astype(np.uint16)
    return np.atleast_1d(np.asarray(data)).astype(np.uint16)[:entries]


def lookup_descriptor(values: Any, *, is_signed: bool) -> tuple[int, int, int]:
    """Number of entries, first input, bits for each entry (PS3.3 C.11.1.1.1)."""
    entries, first, bits = (int(value) for value in values)
    first &= 0xFFFF  # US or SS, whatever pydicom took it for
    return entries & 0xFFFF or _ENTRIES_FOR_ZERO, first - 65536 if is_signed and first > 32767 else first, bits


def lookup_table(item: Dataset | None) -> LookupTable | None:
    """The table of an item of a LUT sequence; None where it has none that can be used."""
    if item is None or not item.get("LUTDescriptor") or item.get("LUTData") is None:
        return None
    is_signed = isinstance(item.LUTDescriptor[1], int) and item.LUTDescriptor[1] < 0
    entries, first, bits = lookup_descriptor(item.LUTDescriptor, is_signed=is_signed)
    values = lookup_values(item.LUTData, entries)
    if not len(values) or not 1 <= bits <= 16:
        return None
    return LookupTable(first, bits, values)


def _group(ds: Dataset, sequence: str, frame_number: int) -> Dataset:
    """The item of functional group *sequence* for the frame; *ds* itself where there is none."""
    for group in _groups(ds, frame_number):
        if (item := first_item(group, sequence)) is not None:
            return item
    return ds


def _groups(ds: Dataset, frame_number: int) -> list[Dataset]:
    """The functional groups of the frame, and those shared by all."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or ()
    own = [per_frame[frame_number - 1]] if frame_number <= len(per_frame) else []
    return [*own, *list(ds.get("SharedFunctionalGroupsSequence") or ())[:1]]


def first_item(ds: Dataset, sequence: str) -> Dataset | None:
    """The first Item of *sequence*."""
    items = ds.get(sequence)
    return items[0] if items else None


def numbers(value: Any) -> list[float]:
    """All values of an attribute; [] where there is none, or one that is not a finite number."""
    values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    try:
        found = [float(one) for one in values]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []
