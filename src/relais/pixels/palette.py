"""Palette Color Lookup Tables, segmented ones too (PS3.3 C.7.6.3.1.5, C.7.9.2). Knows tables, not files."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from relais.errors import InvalidDataSet
from relais.pixels.attributes import lookup_descriptor, lookup_values
from relais.pixels.blocks import in_blocks

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_COLOURS = ("Red", "Green", "Blue")


def palette_to_rgb(stored: NDArray[Any], attributes: Dataset, *, is_signed: bool) -> NDArray[np.uint8]:
    """(rows, columns) of stored values as (rows, columns, 3) of 8-bit RGB. Raises InvalidDataSet without a palette."""
    tables = [_table(attributes, colour, is_signed=is_signed) for colour in _COLOURS]

    def convert(values: NDArray[Any]) -> NDArray[np.uint8]:
        return np.stack([_look_up(values, *table) for table in tables], axis=-1)

    return in_blocks(convert, stored, len(_COLOURS))


def supplemented(
    grey: NDArray[np.uint8], stored: NDArray[Any], attributes: Dataset, *, is_signed: bool
) -> NDArray[np.uint8]:
    """*grey* as RGB, with those *stored* values in colours that the palette has entries for (PS3.3 C.7.6.19)."""
    first, _ = _table(attributes, _COLOURS[0], is_signed=is_signed)
    colours = palette_to_rgb(stored, attributes, is_signed=is_signed)
    return np.where((stored >= first)[..., None], colours, grey[..., None])


def _look_up(stored: NDArray[Any], first: int, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return values[np.clip(stored.astype(np.int64) - first, 0, len(values) - 1)]


def _table(ds: Dataset, colour: str, *, is_signed: bool) -> tuple[int, NDArray[np.uint8]]:
    """The first input and the 8-bit outputs."""
    name = f"{colour}PaletteColorLookupTable"
    descriptor, data = ds.get(f"{name}Descriptor"), ds.get(f"{name}Data")
    if not descriptor:
        raise InvalidDataSet("A PALETTE COLOR image has no palette.")
    entries, first, bits = lookup_descriptor(descriptor, is_signed=is_signed)
    is_segmented = data is None
    values = _segmented(ds.get(f"Segmented{name}Data"), entries, bits) if is_segmented else lookup_values(data, entries)
    if not len(values):
        raise InvalidDataSet("A PALETTE COLOR image has an empty palette.")
    # Seen: 16 bits announced, but entries of 8 bits only. They mean what they say.
    is_wide = bits > 8 and int(values.max()) > 0xFF
    return first, (values >> 8 if is_wide else values).astype(np.uint8)


def _segmented(data: Any, entries: int, bits: int) -> NDArray[np.uint16]:
    if not isinstance(data, bytes):
        raise InvalidDataSet("A PALETTE COLOR image has no palette.")
    numbers = np.frombuffer(data[: len(data) - len(data) % 2], np.uint8 if bits <= 8 else "<u2")
    expanded = _expand([int(number) for number in numbers], entries, bits)
    return np.asarray(expanded[:entries], np.uint16)


def _expand(numbers: list[int], entries: int, bits: int) -> list[int]:
    """PS3.3 C.7.9.2.1 to C.7.9.2.3. An indirect segment repeats earlier ones; it may not contain another.

    Stops at *entries*, whatever the segments say.
    """
    out: list[int] = []
    position = 0
    while position + 2 < len(numbers) and len(out) < entries:
        kind, count = numbers[position : position + 2]
        if kind == _INDIRECT:
            start, position = _indirect_offset(numbers, position + 2, bits)
            for _ in range(count):
                start = _direct(numbers, start, out)
                if len(out) >= entries:
                    break
        else:
            position = _direct(numbers, position, out)
    return out


def _direct(numbers: list[int], position: int, out: list[int]) -> int:
    """Expand one discrete or linear segment into *out*; returns where the next one begins."""
    if position + 2 >= len(numbers):
        raise InvalidDataSet("A segmented palette ends within a segment.")
    kind, count = numbers[position : position + 2]
    if kind == _DISCRETE:
        out.extend(numbers[position + 2 : position + 2 + count])
        return position + 2 + count
    if kind != _LINEAR or not out:
        raise InvalidDataSet("A segmented palette has a segment of unknown kind, or begins with a linear one.")
    start, end = out[-1], numbers[position + 2]
    out.extend(round(start + (end - start) * step / count) for step in range(1, count + 1))
    return position + 3


def _indirect_offset(numbers: list[int], position: int, bits: int) -> tuple[int, int]:
    """The index of the first repeated segment, and where the segment after this one begins."""
    width = 4 if bits <= 8 else 2
    parts = numbers[position : position + width]
    unit = 8 if bits <= 8 else 16
    offset_bytes = sum(part << unit * index for index, part in enumerate(parts))
    return offset_bytes // (unit // 8), position + width
