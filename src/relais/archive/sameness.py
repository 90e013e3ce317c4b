"""Whether two encodings hold the same instance. Knows values, not who sent them.

Seen: senders and archives on the way write group lengths or leave them out, choose Implicit or Explicit VR and another
character set, pad values, or compress without loss. What is said stays the same, so it is the same instance.
"""

import hashlib
from collections.abc import Iterator
from operator import ne
from typing import Any

import orjson

from relais.archive import Archive, documents, retrieve
from relais.archive.retrieve import Body
from relais.archive.stored_dataset import StoredDataset, open_dataset
from relais.dicom import uids, unwritten
from relais.dicom.elements import UNDEFINED
from relais.dicom.json_model import JsonDataset
from relais.dicom.json_values import Element
from relais.errors import NodeError
from relais.index.rows import InstanceRow

PIXEL_DATA = "7FE00010"
ORIGINAL_ATTRIBUTES, MODIFIED_ATTRIBUTES = "04000561", "04000550"
CHARACTER_SET = "00080005"
ABOUT_ENCODING = frozenset({CHARACTER_SET, "FFFCFFFC", "7FE00001", "7FE00002"})
"""Specific Character Set, Data Set Trailing Padding, and the tables of encapsulated Pixel Data."""
UNSAID = frozenset({"UN", "OW"})
"""The VRs of what came without: private attributes, and those for which PS3.6 leaves a choice with OW (PS3.5 A.1)."""
MOST_BYTES = 16 * 1024 * 1024  # of a value whose VR only one of two says; a longer one is taken for another

Path = tuple[Any, ...]  # a tag, and for what is in Items their numbers, from 0, and tags in turn


class _Different(NodeError):
    """The two are not the same, or nobody can tell."""


def is_same(archive: Archive, one: InstanceRow, other: InstanceRow) -> bool:
    """Whether every attribute, bulk value and pixel of the two is the same; False where that cannot be told.

    A value whose VR one of them does not say, as of private attributes in Implicit VR, is the same if its bytes are.
    """
    try:
        documents_of = [orjson.loads(documents.make(archive, row)) for row in (one, other)]
        left, right = map(_said, documents_of)
        if left.keys() != right.keys():
            return False
        paths = [path for key in left for path in _unsettled(left[key], right[key], (key,))]
        streamed = [key for key, *rest in paths if not rest and left[key] == right[key]]
        encoded = [path for path in paths if len(path) > 1 or path[0] not in streamed]
        characters = [document.get(CHARACTER_SET) for document in documents_of]
        return (not encoded or _is_encoded_alike(archive, (one, other), encoded, characters)) and all(
            _is_same_bulk(archive, one, other, key) for key in streamed
        )
    except NodeError:
        return False


def _said(metadata: JsonDataset) -> JsonDataset:
    """*metadata* without what is about encoding: group lengths among it, and the VR of Pixel Data."""
    document = dict(metadata)
    if PIXEL_DATA in document:
        document[PIXEL_DATA] = document[PIXEL_DATA] | {"vr": "OW"}
    changes = document.get(ORIGINAL_ATTRIBUTES, {}).get("Value", [])
    if others := [change for change in changes if not _is_about_encoding(change)]:
        document[ORIGINAL_ATTRIBUTES] = {"vr": "SQ", "Value": others}
    elif changes:
        del document[ORIGINAL_ATTRIBUTES]
    return {key: element for key, element in document.items() if key not in ABOUT_ENCODING and key[4:] != "0000"}


def _unsettled(left: Element, right: Element, path: Path) -> Iterator[Path]:
    """Where below *path* bytes must tell whether two elements are the same. Raises _Different if they cannot be."""
    if left["vr"] == right["vr"] == "SQ":
        ones, others = left.get("Value") or [], right.get("Value") or []
        if len(ones) != len(others) or any(map(ne, map(set, ones), map(set, others))):
            raise _Different
        for number, one in enumerate(ones):
            for key in one:
                yield from _unsettled(one[key], others[number][key], (*path, number, key))
    elif left != right and not UNSAID & {left["vr"], right["vr"]}:
        raise _Different
    elif left != right or _is_bulk(left):
        if path[0] == ORIGINAL_ATTRIBUTES:  # of which some Items were passed over: their numbers say nothing
            raise _Different
        yield path


def _is_encoded_alike(
    archive: Archive, rows: tuple[InstanceRow, InstanceRow], paths: list[Path], characters: list[Element | None]
) -> bool:
    """Whether the values at *paths* are the same in both, by their bytes."""
    has_same_characters = characters[0] == characters[1]
    with open_dataset(archive, rows[0]) as one, open_dataset(archive, rows[1]) as other:
        sides = _Side(one, rows[0]), _Side(other, rows[1])
        return all(
            unwritten.is_same(*(side.value(path) for side in sides), has_same_characters=has_same_characters)
            for path in paths
        )


class _Side:
    """The encoded values of one stored Data Set."""

    def __init__(self, stored: StoredDataset, row: InstanceRow) -> None:
        self._stored, self._is_big_endian = stored, uids.is_big_endian(row.transfer_syntax_uid)
        self._tag, self._items = 0, list[unwritten.Item]()

    def value(self, path: Path) -> unwritten.Value:
        """What stands there. Raises _Different if that cannot be found, Malformed."""
        try:
            return self._value(int(path[0], 16), path[1:])
        except LookupError as exc:
            raise _Different from exc

    def _value(self, tag: int, steps: Path) -> unwritten.Value:
        if not steps:
            return self._top(tag)
        if self._tag != tag:
            self._tag, self._items = tag, self._top(tag).items()
        found = self._items[steps[0]][int(steps[1], 16)]
        for number, key in zip(steps[2::2], steps[3::2], strict=True):
            found = found.items()[number][int(key, 16)]
        return found

    def _top(self, tag: int) -> unwritten.Value:
        element = self._stored.found.elements[tag]
        size = element.end - element.value_offset
        if size > MOST_BYTES:
            raise _Different
        vr = None if element.vr == "UN" else element.vr
        data = self._stored.read_at(element.value_offset, size)
        return unwritten.Value(
            tag,
            vr,
            data,
            is_implicit=self._stored.found.implicit,
            is_big_endian=self._is_big_endian and vr is not None,
            is_open=element.length == UNDEFINED,
        )


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
