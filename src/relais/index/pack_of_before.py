"""Packs of form 1, which had digests whole and tokens as they are: read for ever, made no more. Knows no rows."""

from collections.abc import Sequence
from struct import calcsize, pack, unpack
from typing import Any

import orjson

from relais.index import packing
from relais.index.pack_columns import TOKEN_BYTES, Rest, read_elements, read_keys, read_numbers, tables
from relais.index.rows import DIGEST_BYTES

FORM = 1
_DIGEST_BYTES = 32
_HEAD = "<BIB"  # form, number of instances, whether keys have tokens
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


def decode(packed: bytes) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
    """Columns and attributes of such a pack. Raises ValueError and its like if it is damaged."""
    start = calcsize(_HEAD)
    _, count, has_tokens = unpack(_HEAD, packed[:start])
    rest = Rest(packed[start:])
    digests = [digest[:DIGEST_BYTES] for digest in rest.parts(2 * count, _DIGEST_BYTES)]
    tokens = rest.take(count * TOKEN_BYTES * has_tokens)
    document = packing.unpack_documents([packed[start + 2 * count * _DIGEST_BYTES + len(tokens) :]])[0]
    tables_end = 4 + unpack("<I", document[:4])[0]
    keys, uids, plain, times, lengths, said = orjson.loads(document[tables_end:])
    found: dict[str, Sequence[Any]] = {
        name: read_numbers(column, count) for name, column in zip(_NUMBERS, plain, strict=True)
    }
    found |= {
        "sop_instance_uid": _read_uids(uids, count),
        "key": read_keys(keys if has_tokens else [keys], count, Rest(tokens)),
        "digest": digests[::2],
        "head_digest": digests[1::2],
        "stored_at": [unpack("<d", pack("<q", bits))[0] for bits in read_numbers(times, count)],
        "frame_table": [table or None for table in tables(document[4:tables_end], read_numbers(lengths, count))],
    }
    read = {tag: read_elements(column, count) for tag, column in said.items()}
    if any(len(column) != count for column in (*found.values(), *read.values())):
        raise ValueError(count)
    return found, read


def _read_uids(column: list[Any], count: int) -> Sequence[str]:
    start, rests, are_numbers = column
    return [f"{start}{rest}" for rest in (read_numbers(rests, count) if are_numbers else rests)]
