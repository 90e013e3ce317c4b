"""The instances of one quiet series as few bytes, column by column. Knows the columns of an instance, no database.

1. Columns that follow from others are not kept but made again: those that say what an attribute says, and offsets,
   sizes and frame tables as far as they follow from each other.
2. Of a digest the first DIGEST_BYTES are kept (docs/decisions/0015-digests-in-packs.md). The heads of a series differ
   in UID and time alone, so one of them is kept instead of their digests, wherever that gives the very digests.
3. All else is JSON under zstd, with a dictionary of what such packs always say; what is random stands behind it.

A pack starts with the number of its form. A form that was ever used stays readable for ever (index.pack_of_before).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from struct import calcsize, error, pack, unpack
from typing import Any, overload

import orjson

from relais.dicom.attributes import Level
from relais.dicom.frames import FrameTable
from relais.dicom.heads import HeadForm
from relais.dicom.json_model import JsonDataset
from relais.errors import Unavailable
from relais.index import columns, pack_columns, pack_of_before, packing
from relais.index.pack_columns import Rest, numbers, read_numbers
from relais.index.rows import DIGEST_BYTES

FORM = 2
OPEN_PACKS = 4  # kept open by each process: a viewer asks for one instance after the other
LEAST_FOR_A_HEAD = 8  # instances; for fewer their digests are shorter
_HEAD = "<BII"  # form, number of instances, bytes of the document
_LENGTHS = "<II"  # of the frame tables and of the head, with which the document begins
_NUMBERS = ("id", "sop_class_uid", "transfer_syntax_uid", "origin_fk", "revision", "position", "dataset_offset")
_MS = 1000.0
_LATEST = 1e12  # seconds; of later times milliseconds are not whole

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
        """What the table of instances holds of one instance, but its series; digests are as short as here."""
        ds = self.attributes(place)
        found = self.at(place) | columns.values(ds, Level.IMAGE) | {"attributes": packing.pack(ds)}
        del found["position"]  # the table makes it
        return found


def encode(rows: Sequence[Row], head: bytes = b"") -> bytes:
    """*rows* of the table of instances, sorted by id and at least one, as a pack. *head* is that of one of them."""
    rest = bytearray(b"".join(row["digest"][:DIGEST_BYTES] for row in rows))
    odd = _odd_heads(rows, head)
    rest += b"".join(rows[place]["head_digest"][:DIGEST_BYTES] for place in (range(len(rows)) if odd is None else odd))
    tables = [_table(row) for row in rows]
    body = [
        pack_columns.keys([row["key"] for row in rows], rest),
        pack_columns.uids([row["sop_instance_uid"] for row in rows], rest),
        odd,
        [numbers([row[name] for row in rows]) for name in _NUMBERS],
        numbers([None if row["pixel_offset"] is None else row["pixel_offset"] - row["dataset_offset"] for row in rows]),
        numbers([row["size_bytes"] - _end(row) for row in rows]),
        _times([row["stored_at"] for row in rows]),
        numbers([len(table) for table in tables]),
        pack_columns.attributes([packing.unpack(row["attributes"]) for row in rows]),
    ]
    shared = tables[0] if len(set(tables)) == 1 else b"".join(tables)
    kept = b"" if odd is None else head
    document = pack(_LENGTHS, len(shared), len(kept)) + shared + kept + orjson.dumps(body)
    packed = packing.pack_document(document, packing.OF_PACKS)
    return pack(_HEAD, FORM, len(rows), len(packed)) + packed + rest


def _odd_heads(rows: Sequence[Row], head: bytes) -> list[int] | None:
    """The places of the rows whose head is not told by *head*; None where it tells too few to be kept."""
    form = HeadForm.of(head) if len(rows) >= LEAST_FOR_A_HEAD else None
    if form is None:
        return None
    told = (form.head(row["sop_instance_uid"], row["stored_at"]) for row in rows)
    found = [
        place
        for place, (row, one) in enumerate(zip(rows, told, strict=True))
        if _digest(one) != row["head_digest"][:DIGEST_BYTES]
    ]
    return found if len(rows) - len(found) >= LEAST_FOR_A_HEAD else None


def _digest(head: bytes) -> bytes:
    """What a pack keeps of the digest of a head: it stays SHA-256 here, whatever new objects will have."""
    return sha256(head, usedforsecurity=False).digest()[:DIGEST_BYTES]


@lru_cache(maxsize=OPEN_PACKS)
def decode(packed: bytes) -> Packed:
    """What `encode` made a pack of. Raises Unavailable if it is damaged."""
    try:
        return _decoded(packed)
    except (ValueError, LookupError, TypeError, OverflowError, error) as exc:
        raise Unavailable(packing.DAMAGED) from exc


def _decoded(packed: bytes) -> Packed:
    if packed[0] == pack_of_before.FORM:
        return Packed(*pack_of_before.decode(packed))
    start = calcsize(_HEAD)
    form, count, length = unpack(_HEAD, packed[:start])
    if form != FORM:
        raise ValueError(form)
    document = packing.unpack_documents([packed[start : start + length]])[0]
    found, said = _read(document, count, Rest(packed[start + length :]))
    if any(len(column) != count for column in (*found.values(), *said.values())):
        raise ValueError(count)
    return Packed(found, said)


def _read(document: bytes, count: int, rest: Rest) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
    tables_at = calcsize(_LENGTHS)
    shared, head = unpack(_LENGTHS, document[:tables_at])
    head_at = tables_at + shared
    keys, uids, odd, plain, pixels, sizes, times, lengths, said = orjson.loads(document[head_at + head :])
    found = {name: read_numbers(column, count) for name, column in zip(_NUMBERS, plain, strict=True)}
    found["digest"] = rest.parts(count, DIGEST_BYTES)
    digests = rest.parts(count if odd is None else len(odd), DIGEST_BYTES)
    found["key"] = pack_columns.read_keys(keys, count, rest)
    found["sop_instance_uid"] = pack_columns.read_uids(uids, count, rest)
    found["stored_at"] = _read_times(times, count)
    form = HeadForm.of(document[head_at : head_at + head])
    found["head_digest"] = digests
    if form is not None and odd is not None:
        found["head_digest"] = _HeadDigests(form, found, dict(zip(odd, digests, strict=True)))
    tables = pack_columns.tables(document[tables_at:head_at], read_numbers(lengths, count))
    found |= _read_offsets(found["dataset_offset"], read_numbers(pixels, count), tables, read_numbers(sizes, count))
    return found, {tag: pack_columns.read_elements(column, count) for tag, column in said.items()}


@dataclass(frozen=True, slots=True)
class _HeadDigests(Sequence[bytes]):
    """Digests of heads, made when they are asked for, but for the odd ones."""

    form: HeadForm
    columns: Mapping[str, Sequence[Any]]
    odd: Mapping[int, bytes]

    def __len__(self) -> int:
        return len(self.columns["id"])

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        columns = self.columns
        kept = self.odd.get(place)
        return kept or _digest(self.form.head(columns["sop_instance_uid"][place], columns["stored_at"][place]))


# Offsets: each counted from the one before it. A frame table begins with how it is kept.

_AS_IT_IS, _FROM_PIXELS = b"\0", b"\1"


def _table(row: Row) -> bytes:
    """The frame table of *row* as it is kept: counted from the Pixel Data, if it can be; empty where there is none."""
    said: bytes = row["frame_table"] or b""
    offset = row["pixel_offset"]
    if not said:
        return b""
    try:
        table = FrameTable.unpack(said)
    except (LookupError, ValueError, error):
        return _AS_IT_IS + said
    if offset is None or not 0 <= offset <= table.first or table.pack() != said:
        return _AS_IT_IS + said
    return _FROM_PIXELS + replace(table, first=table.first - offset).pack()


def _end(row: Row) -> int:
    """Where the object would end if nothing came behind its frames."""
    return _ending(_table(row), row["pixel_offset"], row["dataset_offset"])


def _ending(table: bytes, pixel_offset: int | None, dataset_offset: int) -> int:
    if pixel_offset is None or not table.startswith(_FROM_PIXELS):
        return dataset_offset if pixel_offset is None else pixel_offset
    return pixel_offset + _frames(table)[1]


def _read_offsets(
    starts: Sequence[int], pixels: Sequence[int | None], tables: Iterator[bytes], sizes: Sequence[int]
) -> dict[str, Sequence[Any]]:
    offsets = [None if pixel is None else start + pixel for start, pixel in zip(starts, pixels, strict=True)]
    places = [(table, offset) for table, offset in zip(tables, offsets, strict=True)]
    ends = [_ending(*place, start) for place, start in zip(places, starts, strict=True)]
    return {
        "pixel_offset": offsets,
        "size_bytes": [end + size for end, size in zip(ends, sizes, strict=True)],
        "frame_table": [_from_start(*place) for place in places],
    }


@lru_cache(maxsize=64)
def _frames(table: bytes) -> tuple[FrameTable, int]:
    """The table that is kept as *table*, and how far behind the start of the Pixel Data its frames end."""
    found = FrameTable.unpack(table[1:])
    between = 8 * (len(found.lengths) - 1) if found.lengths else 0
    return found, found.first + found.count * found.size + sum(found.lengths) + between


@lru_cache(maxsize=256)
def _from_start(table: bytes, pixel_offset: int | None) -> bytes | None:
    """The frame table as a row has it."""
    if not table.startswith(_FROM_PIXELS):
        return table[1:] or None
    found = _frames(table)[0]
    return replace(found, first=found.first + (pixel_offset or 0)).pack()


# Times: whole milliseconds, as ingest takes them, or the bits of others.


def _times(values: Sequence[float]) -> list[Any]:
    if all(abs(value) < _LATEST and round(value * _MS) / _MS == value for value in values):
        return [*numbers([round(value * _MS) for value in values]), 1]
    return [*numbers([unpack("<q", pack("<d", value))[0] for value in values]), 0]


def _read_times(column: list[Any], count: int) -> Sequence[float]:
    first, steps, are_ms = column
    found = read_numbers([first, steps], count)
    return [one / _MS for one in found] if are_ms else [unpack("<d", pack("<q", bits))[0] for bits in found]
