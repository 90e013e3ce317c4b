"""Encoded values and sequences as JSON, sooner than by way of a pydicom Data Set. Knows the ordinary case only.

What json_model makes of the same bytes is the rule; a property test holds this to it. Whatever is out of the ordinary
(UN, an Item with a character set or, in Implicit VR, private attributes of its own, anything malformed) is left to it.
"""

from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from relais.dicom.elements import (
    ITEM,
    ITEM_END,
    NESTING_VRS,
    SEQUENCE_END,
    UNDEFINED,
    Element,
    Encoding,
    Header,
    Malformed,
    Window,
    read_element,
)
from relais.dicom.json_model import JsonDataset, dictionary_vr, from_element
from relais.dicom.json_values import CharacterSet, from_bytes

MAX_DEPTH = 8  # of sequences; deeper ones are left to json_model
SPECIFIC_CHARACTER_SET, TRAILING_PADDING = 0x00080005, 0xFFFCFFFC
REMEMBERED, REMEMBERED_BYTES = 8192, 64  # values that need not be decoded again, and their greatest length

_PLAIN_VRS = frozenset({"AE", "AS", "CS", "DA", "LO", "SH", "TM", "UI"})


def value_json(vr: str, value: bytes, character_set: CharacterSet, *, is_big_endian: bool = False) -> dict[str, Any]:
    """json_values.from_bytes, sooner: the instances of a series say most things alike.

    What this returns is shared: nobody may change it.
    """
    if len(value) <= REMEMBERED_BYTES:
        return remembered_json(vr, value, character_set, is_big_endian)
    return _value_json(vr, value, character_set, is_big_endian)


def _value_json(vr: str, value: bytes, character_set: CharacterSet, is_big_endian: bool) -> dict[str, Any]:
    """Soonest for one text in ASCII: most of what arrives is of that kind."""
    if vr not in _PLAIN_VRS or not value.isascii() or b"\\" in value or b"\x1b" in value:
        return from_bytes(vr, value, character_set, is_big_endian=is_big_endian)
    text = value.decode("ascii").strip(" \0")
    return {"vr": vr, "Value": [text]} if text else {"vr": vr}


remembered_json = lru_cache(maxsize=REMEMBERED)(_value_json)
"""value_json of at most REMEMBERED_BYTES; likewise shared."""


def sequence_json(
    element: Element, value: bytes, character_set: CharacterSet, *, is_big_endian: bool = False
) -> dict[str, Any]:
    """The sequence *element*, whose *value* includes the delimiter if its length is undefined.

    Raises InvalidDataSet if it cannot be read.
    """
    if element.vr == "SQ":
        with suppress(Malformed):
            return strict_sequence_json(value, character_set, is_big_endian=is_big_endian)
    raw = RawDataElement(BaseTag(element.tag), element.vr, len(value), value, 0, element.vr is None, not is_big_endian)
    return from_element(raw, character_set)


def strict_sequence_json(
    value: bytes, character_set: CharacterSet, *, is_big_endian: bool = False, is_implicit: bool = False
) -> dict[str, Any]:
    """The sequence with that *value*. Raises Malformed if anything in it is out of the ordinary."""
    reader = _Reader(value, character_set, is_big_endian, is_implicit=is_implicit)
    items = reader.sequence(0, len(value), 1)[0]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


class _Reader:
    """Reads ordinary Items; raises Malformed for all others."""

    def __init__(self, value: bytes, character_set: CharacterSet, is_big_endian: bool, *, is_implicit: bool) -> None:
        self._value, self._character_set, self._is_big_endian = value, character_set, is_big_endian
        self._is_implicit = is_implicit
        self._encoding = Encoding(implicit=is_implicit, big_endian=is_big_endian)
        self._window = Window(lambda offset, length: value[offset:], len(value))

    def sequence(self, position: int, end: int, depth: int) -> tuple[list[JsonDataset], int]:
        """The Items from *position* to the delimiter or to *end*, and where to go on."""
        items: list[JsonDataset] = []
        while position < end:
            header = self._read(position, end)
            if header.tag == SEQUENCE_END:
                return items, header.value_at
            if header.tag != ITEM or depth > MAX_DEPTH:
                raise Malformed
            is_open = header.length == UNDEFINED
            item_end = end if is_open else header.value_at + header.length
            if item_end > end:
                raise Malformed
            item, position = self._item(header.value_at, item_end, depth, is_open=is_open)
            items.append(item)
        return items, position

    def _item(self, position: int, end: int, depth: int, *, is_open: bool) -> tuple[JsonDataset, int]:
        item: JsonDataset = {}
        last = SPECIFIC_CHARACTER_SET
        while position < end:
            header = self._read(position, end)
            if header.tag == ITEM_END and is_open:
                return item, header.value_at
            if not last < header.tag < TRAILING_PADDING:
                raise Malformed
            last = header.tag
            json, position = self._element(header, end, depth)
            if header.tag & 0xFFFF:
                item[f"{header.tag:08X}"] = json
        if is_open:
            raise Malformed
        return item, position

    def _element(self, header: Header, end: int, depth: int) -> tuple[dict[str, Any], int]:
        vr, value_at, is_open = header.vr, header.value_at, header.length == UNDEFINED
        if self._is_implicit and header.tag & 0xFFFF:
            vr = _plain_vr(header.tag)
        behind = value_at + header.length
        if vr is None or vr == b"UN" or (behind > end and not is_open) or (is_open and vr not in NESTING_VRS):
            raise Malformed
        if vr == b"SQ":
            items, behind = self.sequence(value_at, end if is_open else behind, depth + 1)
            return ({"vr": "SQ", "Value": items} if items else {"vr": "SQ"}), behind
        value = self._value[value_at:behind]
        return value_json(vr.decode(), value, self._character_set, is_big_endian=self._is_big_endian), behind

    def _read(self, position: int, end: int) -> Header:
        return read_element(self._window, self._encoding, position, end, implicit=self._is_implicit)


@cache
def _plain_vr(tag: int) -> bytes | None:
    """The VR of an attribute of which the tag tells it, else None."""
    vr = None if tag >> 16 & 1 else dictionary_vr(tag)
    return None if vr is None or vr == "UN" or " or " in vr else vr.encode()
