"""The columns of a pack, each in as few bytes as what it says allows. Knows values and JSON, not what they mean.

Numbers that grow evenly are two numbers, others the first one and the steps to the next; what all share is said once;
what looks random goes beside the JSON as it is, into the *rest*.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

from relais.dicom.json_model import JsonDataset

TOKEN_BYTES = 4
_TOKEN = re.compile(r"(.*\.)([0-9a-f]{8})(\.dcm)", re.DOTALL)
_NUMBER = re.compile(r"0|[1-9][0-9]*")
_STEP = 2**62  # steps as large are not taken: JSON's numbers end there
_NEAR = 2**15  # tokens that are farther apart are random
_DIGITS = 18  # that surely make a number that is small enough
_TEXTS, _NUMBERS, _PADDED = 0, 1, 2  # kinds of UIDs


class Rest:
    """Bytes that are taken one part after the other. Raises ValueError where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, length: int) -> bytes:
        """The next *length* bytes."""
        found = self._data[self._at : self._at + length]
        if len(found) < length:
            raise ValueError(length)
        self._at += length
        return found

    def parts(self, count: int, width: int) -> list[bytes]:
        """The next *count* parts of *width* bytes each."""
        data = self.take(count * width)
        return [data[at : at + width] for at in range(0, count * width, width)]


# Numbers


def numbers(values: Sequence[int | None]) -> list[Any]:
    """The first and the step to the next, or all steps where they differ; where that cannot be, None and *values*."""
    whole = [value for value in values if value is not None]
    if not whole or len(whole) != len(values):
        return [None, values if whole else []]
    steps = [after - before for before, after in pairwise(whole)]
    if not all(-_STEP < step < _STEP for step in steps):
        return [None, values]
    if len(set(steps)) <= 1:
        return [whole[0], steps[0] if steps else 0]
    return [whole[0], steps]


def read_numbers(column: list[Any], count: int) -> Sequence[Any]:
    """The *count* values of which `numbers` made *column*."""
    first, steps = column
    if first is None:
        return steps or [None] * count
    if isinstance(steps, list):
        return list(accumulate(steps, initial=first))
    return [first + place * steps for place in range(count)]


# UIDs: what all begin with, and the numbers behind it, or digits, or texts.


def uids(values: Sequence[str], rest: bytearray) -> list[Any]:
    """UIDs as numbers between dots, or as digits, or as texts, behind what all begin with."""
    start = _common_start(values)
    ends = [value.removeprefix(start) for value in values]
    width = len(ends[0])
    if 0 < width <= _DIGITS and all(len(end) == width and end.isascii() and end.isdigit() for end in ends):
        return [start, [numbers([int(end) for end in ends]), width], _PADDED]
    dotted = start.rpartition(".")[0] + "."
    split = [value.removeprefix(dotted).split(".") for value in values]
    is_plain = dotted != "." and len({len(parts) for parts in split}) == 1
    if is_plain and all(_NUMBER.fullmatch(part) for parts in split for part in parts):
        columns = [_large([int(parts[place]) for parts in split], rest) for place in range(len(split[0]))]
        return [dotted, columns, _NUMBERS]
    return [start, ends, _TEXTS]


def _common_start(values: Sequence[str]) -> str:
    low, high = min(values), max(values)
    return next((low[:place] for place, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), low)


def _large(values: list[int], rest: bytearray) -> list[Any]:
    """Numbers of any size: those beyond JSON's go into *rest*, as many bytes each as the largest needs."""
    largest = max(values)
    if largest < _STEP:
        return numbers(values)
    width = (largest.bit_length() + 7) // 8
    rest += b"".join(value.to_bytes(width, "big") for value in values)
    return [width]


def read_uids(column: list[Any], count: int, rest: Rest) -> Sequence[str]:
    """The UIDs of which `uids` made *column*."""
    start, said, kind = column
    if kind == _TEXTS:
        return [start + end for end in said]
    if kind == _PADDED:
        return [f"{start}{number:0{said[1]}d}" for number in read_numbers(said[0], count)]
    parts = [_read_large(one, count, rest) for one in said]
    return [start + ".".join(map(str, each)) for each in zip(*parts, strict=True)]


def _read_large(column: list[Any], count: int, rest: Rest) -> Sequence[int]:
    if len(column) == 2:
        return read_numbers(column, count)
    return [int.from_bytes(part, "big") for part in rest.parts(count, column[0])]


# Keys: what is around the token of each, if that is the same for all.


def keys(values: Sequence[str], rest: bytearray) -> list[Any]:
    """Storage keys: tokens that one process gave out as numbers, others as they are, in *rest*."""
    parts = [_TOKEN.fullmatch(value) for value in values]
    found = [part.groups() for part in parts if part is not None]
    if len(found) < len(values) or len({(start, end) for start, _, end in found}) != 1:
        return [list(values)]
    tokens = [int(token, 16) for _, token, _ in found]
    if all(-_NEAR < after - before < _NEAR for before, after in pairwise(tokens)):
        return [found[0][0], found[0][2], numbers(tokens)]
    rest += b"".join(token.to_bytes(TOKEN_BYTES, "big") for token in tokens)
    return [found[0][0], found[0][2]]


def read_keys(column: list[Any], count: int, rest: Rest) -> Sequence[str]:
    """The keys of which `keys` made *column*."""
    if len(column) == 1:
        found: list[str] = column[0]
        return found
    start, end, *given = column
    if given:
        return [f"{start}{token:08x}{end}" for token in read_numbers(given[0], count)]
    return [f"{start}{token.hex()}{end}" for token in rest.parts(count, TOKEN_BYTES)]


def tables(shared: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    """Parts of *shared*, or all of it for each."""
    if len(shared) != sum(lengths):
        yield from [shared] * len(lengths)
        return
    ends = accumulate(lengths, initial=0)
    yield from (shared[start:end] for start, end in pairwise(ends))


# Attributes by tag: one element that all share, or [VR, numbers or texts] of one value each, or the elements.


def attributes(datasets: list[JsonDataset]) -> dict[str, list[Any]]:
    """What all those attributes say, by tag."""
    tags = sorted({tag for ds in datasets for tag in ds})
    return {tag: _elements([ds.get(tag) for ds in datasets]) for tag in tags}


def _elements(found: list[Any]) -> list[Any]:
    if all(element == found[0] for element in found) and len(set(map(repr, found))) == 1:
        return [found[0]]
    plain = [_plain(element) for element in found]
    if all(type(value) is int for _, value in plain) and len({vr for vr, _ in plain}) == 1:
        return [plain[0][0], numbers([value for _, value in plain]), 1]
    if all(type(value) is str for _, value in plain) and len({vr for vr, _ in plain}) == 1:
        return [plain[0][0], [value for _, value in plain], 0]
    return [None, found]


def _plain(element: Any) -> tuple[str, Any]:
    """VR and value of an element that says nothing else; None as its value for any other element."""
    if element and element.keys() == {"vr", "Value"} and len(element["Value"]) == 1:
        return element["vr"], element["Value"][0]
    return "", None


def read_elements(column: list[Any], count: int) -> Sequence[Any]:
    """The elements of one tag, of which `attributes` made *column*."""
    if len(column) == 1:
        return column * count
    if column[0] is None:
        found: Sequence[Any] = column[1]
        return found
    vr, values, are_numbers = column
    return [{"vr": vr, "Value": [value]} for value in (read_numbers(values, count) if are_numbers else values)]
