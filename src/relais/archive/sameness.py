"""Whether two encodings hold the same instance. Knows values, not who sent them.

Seen: senders and archives on the way write group lengths or leave them out, choose Implicit or Explicit VR and another
character set, pad values, or compress without loss. What is said stays the same, so it is the same instance.
"""

import hashlib
from typing import Any

import orjson

from relais.archive import Archive, documents, retrieve
from relais.archive.retrieve import Body
from relais.dicom import uids
from relais.dicom.json_model import JsonDataset
from relais.errors import NodeError
from relais.index.rows import InstanceRow

PIXEL_DATA = "7FE00010"
ORIGINAL_ATTRIBUTES, MODIFIED_ATTRIBUTES = "04000561", "04000550"
ABOUT_ENCODING = frozenset({"00080005", "FFFCFFFC", "7FE00001", "7FE00002"})
"""Specific Character Set, Data Set Trailing Padding, and the tables of encapsulated Pixel Data."""


def is_same(archive: Archive, one: InstanceRow, other: InstanceRow) -> bool:
    """Whether every attribute, bulk value and pixel of the two is the same; False where that cannot be told."""
    try:
        left, right = _said(archive, one), _said(archive, other)
        return left == right and all(_is_same_bulk(archive, one, other, key) for key in left if _is_bulk(left[key]))
    except NodeError:
        return False


def _said(archive: Archive, row: InstanceRow) -> dict[str, dict[str, Any]]:
    """The metadata, without what is about encoding: group lengths among it, and the VR of Pixel Data."""
    document: dict[str, dict[str, Any]] = orjson.loads(documents.make(archive, row))
    if PIXEL_DATA in document:
        document[PIXEL_DATA]["vr"] = "OW"
    changes = document.get(ORIGINAL_ATTRIBUTES, {}).get("Value", [])
    if others := [change for change in changes if not _is_about_encoding(change)]:
        document[ORIGINAL_ATTRIBUTES]["Value"] = others
    elif changes:
        del document[ORIGINAL_ATTRIBUTES]
    return {key: element for key, element in document.items() if key not in ABOUT_ENCODING and key[4:] != "0000"}


def _is_about_encoding(change: JsonDataset) -> bool:
    """Whether an Item says that nothing was changed but the encoding."""
    modified = change.get(MODIFIED_ATTRIBUTES, {}).get("Value", ())
    return bool(modified) and all(item.keys() <= ABOUT_ENCODING for item in modified)


def _is_bulk(element: dict[str, Any]) -> bool:
    return "BulkDataURI" in element


def _is_same_bulk(archive: Archive, one: InstanceRow, other: InstanceRow, key: str) -> bool:
    if key == PIXEL_DATA:
        return _is_same_pixels(archive, one, other)
    return _digest(documents.bulkdata(archive, one, key)) == _digest(documents.bulkdata(archive, other, key))


def _is_same_pixels(archive: Archive, one: InstanceRow, other: InstanceRow) -> bool:
    """Frame by frame, decoded unless both are encoded alike. Lossy encodings are the same only bit by bit."""
    if one.number_of_frames != other.number_of_frames:
        return False
    is_alike = one.transfer_syntax_uid == other.transfer_syntax_uid
    if not is_alike and not all(_is_lossless(row) for row in (one, other)):
        return False
    target = None if is_alike else uids.EXPLICIT_VR_LITTLE_ENDIAN
    return all(
        retrieve.frame(archive, one, number, target).data == retrieve.frame(archive, other, number, target).data
        for number in range(1, one.number_of_frames + 1)
    )


def _is_lossless(row: InstanceRow) -> bool:
    return row.transfer_syntax_uid not in uids.LOSSY


def _digest(body: Body) -> bytes:
    digest = hashlib.sha256()
    for chunk in body.chunks:
        digest.update(chunk)
    return digest.digest()
