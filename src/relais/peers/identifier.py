"""Identifiers of C-FIND, C-GET and C-MOVE as bytes, both ways (PS3.4 C.1.3), and as questions to a peer.

Knows encodings, not which keys a service wants. Written straight from the JSON model: what is kept is sent as it is,
also where a Data Element breaks the rules of its VR.
"""

import base64
import struct
import zlib
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import orjson
from pydicom.filereader import read_dataset

from relais.dicom import uids
from relais.dicom.attributes import TABLE, Use, levels_above
from relais.dicom.implicit import as_read
from relais.dicom.json_model import JsonDataset, from_dataset, tag_key
from relais.dicom.matching import as_text
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.scan import has_at_most, scan
from relais.dicom.values import vr_of
from relais.errors import InvalidRequest

MAX_BYTES = 1024 * 1024  # of an Identifier that we read; beyond it the request cannot be processed
MAX_PARTS = 10_000  # Data Elements and Items of it, at all depths: a few bytes each take a hundred times as many here
CHARACTER_SET, LEVEL = "00080005", "00080052"
UTF_8 = "ISO_IR 192"

_LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_NUMBERS = {"FL": "f", "FD": "d", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}


def decode(
    data: bytes, transfer_syntax_uid: str, max_bytes: int = MAX_BYTES, max_parts: int = MAX_PARTS
) -> JsonDataset:
    """An Identifier, or another Data Set of a message, its text decoded by its own character set.

    Raises InvalidRequest if *data* is no Data Set, is cut off (it would ask for less than was meant), is too long, or
    has more than *max_parts* Data Elements and Items.
    """
    if uids.is_deflated(transfer_syntax_uid):
        data, transfer_syntax_uid = _inflate(data, max_bytes), uids.EXPLICIT_VR_LITTLE_ENDIAN
    if len(data) > max_bytes:
        raise InvalidRequest("The Identifier is too long.")
    implicit, big = uids.is_implicit(transfer_syntax_uid), uids.is_big_endian(transfer_syntax_uid)

    def read_at(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    scan(read_at, 0, len(data), transfer_syntax_uid)
    if not has_at_most(max_parts, read_at, 0, len(data), transfer_syntax_uid):
        raise InvalidRequest(f"The Identifier has more than {max_parts} Data Elements and Items.")
    try:
        return from_dataset(read_dataset(BytesIO(data), implicit, not big))
    except Exception as exc:  # pydicom raises what its parts raise; whatever it is, these bytes are no Data Set
        raise InvalidRequest("The Identifier cannot be read.") from exc


def encode(identifier: JsonDataset, transfer_syntax_uid: str) -> bytes:
    """*identifier* in that encoding, its text in UTF-8, which it says only where that is not plain ASCII."""
    tagged = {key: identifier[key] for key in sorted(identifier) if key != CHARACTER_SET}
    if not orjson.dumps(tagged).isascii():
        tagged = {CHARACTER_SET: {"vr": "CS", "Value": [UTF_8]}} | tagged
    encoded = _encode_items(tagged, transfer_syntax_uid)
    return deflate(encoded) if uids.is_deflated(transfer_syntax_uid) else encoded


def deflate(encoded: bytes) -> bytes:
    """An encoded Data Set, compressed (PS3.5 A.5)."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    compressed = stream.compress(encoded) + stream.flush()
    return compressed + bytes(len(compressed) % 2)


def of_query(query: Query) -> JsonDataset:
    """What to ask a peer for *query*: its matches, and its return keys or, for all_keys, every attribute we know."""
    levels = {*levels_above(query.level), query.level}
    known = {row.tag for row in TABLE if row.level in levels and (query.all_keys or row.use is Use.UNIQUE)}
    identifier: JsonDataset = {tag_key(tag): {"vr": vr_of(tag)} for tag in known | query.return_keys}
    identifier |= {tag_key(match.tag): _element(match) for match in query.matches}
    return identifier | {LEVEL: {"vr": "CS", "Value": [query.level.value]}}


def _element(match: Match) -> dict[str, Any]:
    if match.kind is MatchKind.SEQUENCE:
        return {"vr": "SQ", "Value": [{tag_key(item.tag): _element(item) for item in match.items}]}
    vr = vr_of(match.tag)
    values: Iterable[str] = match.values
    if match.kind is MatchKind.RANGE:
        values = ["-".join(match.values)]
    elif match.kind is MatchKind.EMPTY_VALUE:
        values = ['""']
    if vr == "PN":
        return {"vr": vr, "Value": [{"Alphabetic": value} for value in values]}
    return {"vr": vr, "Value": list(values)}


def _inflate(data: bytes, max_bytes: int) -> bytes:
    """PS3.5 A.5, at most one byte more than *max_bytes* of it."""
    stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(data, max_bytes + 1)
    except zlib.error as exc:
        raise InvalidRequest("The Identifier cannot be inflated.") from exc
    if not stream.eof and len(inflated) <= max_bytes:
        raise InvalidRequest("The Identifier is cut off.")
    return inflated


def _encode_items(attributes: JsonDataset, transfer_syntax_uid: str) -> bytes:
    return b"".join(encode_element(int(key, 16), attributes[key], transfer_syntax_uid) for key in sorted(attributes))


def encode_element(tag: int, element: dict[str, Any], transfer_syntax_uid: str) -> bytes:
    """One element, in an encoding that is not deflated; in Implicit VR only what its reader will take it for."""
    if is_implicit := uids.is_implicit(transfer_syntax_uid):
        element = as_read(tag, element)
    order = ">" if uids.is_big_endian(transfer_syntax_uid) else "<"
    vr: str = element["vr"]
    value = _encode_value(vr, element, transfer_syntax_uid, order)
    value += (b"\0" if vr in {"UI", "OB", "UN"} else b" ") * (len(value) % 2)
    start = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if is_implicit:
        return start + struct.pack(order + "I", len(value)) + value
    if vr not in _LONG_VRS and len(value) > 0xFFFF:
        vr = "UN"  # PS3.5 6.2.2, note 5: the length field of the VR itself is too short
    if vr in _LONG_VRS:
        return start + vr.encode() + struct.pack(order + "2xI", len(value)) + value
    return start + vr.encode() + struct.pack(order + "H", len(value)) + value


def _encode_value(vr: str, element: dict[str, Any], transfer_syntax_uid: str, order: str) -> bytes:
    values = element.get("Value") or []
    if vr == "SQ":
        return b"".join(_encode_item(item or {}, transfer_syntax_uid, order) for item in values)
    if "InlineBinary" in element:
        return base64.b64decode(element["InlineBinary"])
    if vr in _NUMBERS:
        return b"".join(struct.pack(order + _NUMBERS[vr], _number(vr, value)) for value in values if value is not None)
    if vr == "AT":
        return b"".join(struct.pack(order + "HH", int(value, 16) >> 16, int(value, 16) & 0xFFFF) for value in values)
    return "\\".join(map(as_text, values)).encode()


def _encode_item(item: JsonDataset, transfer_syntax_uid: str, order: str) -> bytes:
    encoded = _encode_items(item, transfer_syntax_uid)
    return struct.pack(order + "HHI", 0xFFFE, 0xE000, len(encoded)) + encoded


def _number(vr: str, value: Any) -> int | float:
    """Queries hold numbers as texts, answers as numbers."""
    return float(value) if vr in {"FL", "FD"} else int(value)
