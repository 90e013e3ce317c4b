"""DICOM JSON in few bytes: orjson, then zstd with a dictionary of what such documents always say. Knows no rows.

A packed document starts with the number of its dictionary. A dictionary that was ever used stays as it is for ever:
the next one gets the next number.
"""

import json
import threading
from functools import cache
from importlib import resources

import orjson
import zstandard

from relais.dicom.json_model import JsonDataset

NEWEST = 1
LEVEL = 3
MAX_DOCUMENT_BYTES = 256 * 1024 * 1024  # a packed document that claims more is damaged

_local = threading.local()  # zstandard's objects serve one thread at a time


def pack(ds: JsonDataset) -> bytes:
    """*ds* as bytes, sorted by tag."""
    return pack_document(_encode(dict(sorted(ds.items()))))


def unpack(packed: bytes) -> JsonDataset:
    """The Data Set that *packed* holds."""
    ds: JsonDataset = orjson.loads(unpack_document(packed))
    return ds


def _encode(ds: JsonDataset) -> bytes:
    try:
        return orjson.dumps(ds)
    except TypeError:  # lone surrogates and integers beyond 64 bits, which only the standard library writes
        return json.dumps(ds, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def pack_document(document: bytes) -> bytes:
    """One JSON document, packed."""
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=_dictionary(NEWEST))
        _local.compressor = compressor
    return bytes((NEWEST,)) + compressor.compress(document)


def unpack_document(packed: bytes) -> bytes:
    """The JSON document that *packed* holds."""
    number = packed[0]
    decompressors = _local.__dict__.setdefault("decompressors", {})
    if number not in decompressors:
        decompressors[number] = zstandard.ZstdDecompressor(dict_data=_dictionary(number))
    document: bytes = decompressors[number].decompress(packed[1:], max_output_size=MAX_DOCUMENT_BYTES)
    return document


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    content = (resources.files("relais.index") / "dictionaries" / f"{number}.json").read_bytes()
    found = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    if number == NEWEST:
        found.precompute_compress(level=LEVEL)
    return found
