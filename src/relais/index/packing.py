"""DICOM JSON in few bytes: orjson, then zstd with a dictionary of what such documents always say. Knows no rows.

A packed document starts with the number of its dictionary. A dictionary that was ever used stays as it is for ever:
the next one gets the next number.
"""

import json
import threading
from collections.abc import Sequence
from functools import cache
from importlib import resources

import orjson
import zstandard

from relais.dicom.json_model import JsonDataset
from relais.errors import Unavailable

NEWEST = 1
OF_PACKS = 2  # the dictionary of index.pack
LEVELS = {NEWEST: 3, OF_PACKS: 9}  # of compression; packs are made beside the work
DAMAGED = "A packed document of the index is damaged; `relais reindex` makes it anew."
MAX_DOCUMENT_BYTES = 256 * 1024 * 1024  # a packed document that claims more is damaged

_local = threading.local()  # zstandard's objects serve one thread at a time


def pack(ds: JsonDataset) -> bytes:
    """*ds* as bytes, sorted by tag."""
    return pack_document(_encode(dict(sorted(ds.items()))))


def unpack(packed: bytes) -> JsonDataset:
    """The Data Set that *packed* holds."""
    return unpack_many([packed])[0]


def unpack_many(packed: Sequence[bytes]) -> list[JsonDataset]:
    """The Data Sets that *packed* hold, read in one go; an empty one of no bytes."""
    documents = iter(unpack_documents([one for one in packed if one]))
    return [orjson.loads(next(documents)) if one else {} for one in packed]


def _encode(ds: JsonDataset) -> bytes:
    try:
        return orjson.dumps(ds)
    except TypeError:  # lone surrogates and integers beyond 64 bits, which only the standard library writes
        return json.dumps(ds, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def pack_document(document: bytes, number: int = NEWEST) -> bytes:
    """One JSON document, packed with the dictionary of that *number*."""
    compressors = _local.__dict__.setdefault("compressors", {})
    if number not in compressors:
        compressors[number] = zstandard.ZstdCompressor(level=LEVELS[number], dict_data=_dictionary(number))
    compressed: bytes = compressors[number].compress(document)
    return bytes((number,)) + compressed


def unpack_documents(packed: Sequence[bytes]) -> list[bytes]:
    """The JSON documents that *packed* hold."""
    found: dict[int, bytes] = {}
    for number in {one[0] for one in packed}:
        places = [place for place, one in enumerate(packed) if one[0] == number]
        found.update(zip(places, _decompress(number, [packed[place][1:] for place in places]), strict=True))
    return [found[place] for place in range(len(packed))]


def _decompress(number: int, frames: list[bytes]) -> list[bytes]:
    if any(zstandard.frame_content_size(frame) > MAX_DOCUMENT_BYTES for frame in frames):
        raise Unavailable(DAMAGED)
    decompressors = _local.__dict__.setdefault("decompressors", {})
    if number not in decompressors:
        decompressors[number] = zstandard.ZstdDecompressor(dict_data=_dictionary(number))
    try:
        segments = decompressors[number].multi_decompress_to_buffer(frames)
    except zstandard.ZstdError as exc:
        raise Unavailable(DAMAGED) from exc
    return [segments[place].tobytes() for place in range(len(frames))]


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    content = (resources.files("relais.index") / "dictionaries" / f"{number}.json").read_bytes()
    found = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    if number in LEVELS:
        found.precompute_compress(level=LEVELS[number])
    return found
