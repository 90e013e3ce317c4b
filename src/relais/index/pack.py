"""The instances of one quiet series as few bytes, column by column. Knows the columns of an instance, no database.

1. Digests and the random part of storage keys lie in front as they are: nothing makes them smaller. All else is JSON
   under zstd, with a dictionary of what such packs always say.
2. Numbers that grow evenly are two numbers, others the first one and the steps to the next; what all instances share
   is said once.
3. Columns that follow from the attributes of an instance are not kept but made again.

A pack starts with the number of its form. A form that was ever used stays readable for ever.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from struct import calcsize, error, pack, unpack
from typing import Any

import orjson

from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.errors import Unavailable
from relais.index import columns, packing

FORM = 1
OPEN_PACKS = 4  # kept open by each process: a viewer asks for one instance after the other
DIGEST_BYTES = 32
TOKEN_BYTES = 4
_HEAD = "<BIB"  # form, number of instances, whether keys have tokens
_TOKEN = re.compile(r"(.*\.)([0-9a-f]{8})(\.dcm)", re.DOTALL)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_NUMBERS = (
    "id",
    "sop_class_uid",
    "transfer_syntax_uid",
    "origin_fk",
    "size_bytes",
    "dataset_offset",
    "pixel_offset",
    "revision",
    "position",
)
_STEP = 2**62  # steps as large are not taken: JSON's numbers end there

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Packed:
    """The instances of a series in the order of their ids; *said* are their attributes by tag, one value each."""

    columns: Mapping[str, Sequence[Any]]
    said: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.columns["id"])

    def at(self, place: int) -> dict[str, Any]:
        """The columns of one instance, but those that follow from its attributes."""
        return {name: values[place] for name, values in self.columns.items()}

    def attributes(self, place: int) -> JsonDataset:
        """The attributes of one instance."""
        return {tag: values[place] for tag, values in self.said.items() if values[place] is not None}

    def row(self, place: int) -> dict[str, Any]:
        """What the table of instances holds of one instance, but its series."""
        ds = self.attributes(place)
        found = self.at(place) | columns.values(ds, Level.IMAGE) | {"attributes": packing.pack(ds)}
        del found["position"]  # the table makes it
        return found


def encode(rows: Sequence[Row]) -> bytes:
    """*rows* of the table of instances, sorted by id and at least one, as a pack."""
    digests = b"".join(row["digest"] + row["head_digest"] for row in rows)
    tokens, keys = _keys([row["key"] for row in rows])
    tables = [row["frame_table"] or b"" for row in rows]
    body = [
        keys,
        _uids([row["sop_instance_uid"] for row in rows]),
        [numbers([row[name] for row in rows]) for name in _NUMBERS],
        numbers([unpack("<q", pack("<d", row["stored_at"]))[0] for row in rows]),
        numbers([len(table) for table in tables]),
        _attributes([packing.unpack(row["attributes"]) for row in rows]),
    ]
    shared = tables[0] if len(set(tables)) == 1 else b"".join(tables)
    document = pack("<I", len(shared)) + shared + orjson.dumps(body)
    head = pack(_HEAD, FORM, len(rows), bool(tokens))
    return head + digests + tokens + packing.pack_document(document, packing.OF_PACKS)


@lru_cache(maxsize=OPEN_PACKS)
def decode(packed: bytes) -> Packed:
    """What `encode` made a pack of. Raises Unavailable if it is damaged."""
    try:
        return _decoded(packed)
    except (ValueError, LookupError, TypeError, error) as exc:
        raise Unavailable(packing.DAMAGED) from exc


def _decoded(packed: bytes) -> Packed:
    start = calcsize(_HEAD)
    form, count, has_tokens = unpack(_HEAD, packed[:start])
    if form != FORM:
        raise ValueError(form)
    tokens = start + count * DIGEST_BYTES * 2
    end = tokens + count * TOKEN_BYTES * has_tokens
    digests = [packed[at : at + DIGEST_BYTES] for at in range(start, tokens, DIGEST_BYTES)]
    document = packing.unpack_documents([packed[end:]])[0]
    tables_end = 4 + unpack("<I", document[:4])[0]
    keys, uids, numbers, stored_at, lengths, said = orjson.loads(document[tables_end:])
    found: dict[str, Sequence[Any]] = {
        name: read_numbers(column, count) for name, column in zip(_NUMBERS, numbers, strict=True)
    }
    found |= {
        "sop_instance_uid": _read_uids(uids, count),
        "key": _read_keys(keys, packed[tokens:end]) if has_tokens else keys,
        "digest": digests[::2],
        "head_digest": digests[1::2],
        "stored_at": [unpack("<d", pack("<q", bits))[0] for bits in read_numbers(stored_at, count)],
        "frame_table": _read_tables(document[4:tables_end], read_numbers(lengths, count)),
    }
    read = {tag: _read_elements(column, count) for tag, column in said.items()}
    if any(len(column) != count for column in (*found.values(), *read.values())):
        raise ValueError(count)
    return Packed(found, read)


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


# UIDs: what all begin with, and the rests as numbers or texts.


def _uids(values: list[str]) -> list[Any]:
    start = _common_start(values).rpartition(".")[0]
    rests = [value.removeprefix(start) for value in values]
    if all(rest.startswith(".") and _NUMBER.fullmatch(rest, 1) for rest in rests):
        return [f"{start}.", numbers([int(rest[1:]) for rest in rests]), 1]
    start = _common_start(values)
    return [start, [value.removeprefix(start) for value in values], 0]


def _common_start(values: list[str]) -> str:
    low, high = min(values), max(values)
    return next((low[:place] for place, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), low)


def _read_uids(column: list[Any], count: int) -> Sequence[str]:
    start, rests, are_numbers = column
    return [f"{start}{rest}" for rest in (read_numbers(rests, count) if are_numbers else rests)]


# Keys: what is around the token of each, if that is the same for all.


def _keys(values: list[str]) -> tuple[bytes, list[str]]:
    parts = [_TOKEN.fullmatch(value) for value in values]
    found = [part.groups() for part in parts if part is not None]
    if len(found) < len(values) or len({(start, end) for start, _, end in found}) != 1:
        return b"", values
    return bytes.fromhex("".join(token for _, token, _ in found)), [found[0][0], found[0][2]]


def _read_keys(around: list[str], tokens: bytes) -> Sequence[str]:
    digits = tokens.hex(",", TOKEN_BYTES).split(",")
    return [f"{around[0]}{token}{around[1]}" for token in digits]


def _read_tables(shared: bytes, lengths: Sequence[int]) -> Sequence[bytes | None]:
    """Frame tables; None where there is none."""
    if len(shared) != sum(lengths):
        return [shared or None] * len(lengths)
    ends = list(accumulate(lengths, initial=0))
    return [shared[start:end] or None for start, end in pairwise(ends)]


# Attributes by tag: one element that all share, or [VR, numbers or texts] of one value each, or the elements.


def _attributes(datasets: list[JsonDataset]) -> dict[str, list[Any]]:
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


def _read_elements(column: list[Any], count: int) -> Sequence[Any]:
    if len(column) == 1:
        return column * count
    if column[0] is None:
        found: Sequence[Any] = column[1]
        return found
    vr, values, are_numbers = column
    return [{"vr": vr, "Value": [value]} for value in (read_numbers(values, count) if are_numbers else values)]
