"""Encoded values compared where one of them does not say its VR (PS3.5 A.1, 6.2.2). Knows bytes, not what they mean.

A private element is of VR UN where it came in Implicit VR, so that nothing but its bytes tells whether it is the same
as one that came with its VR. Two values are the same only if that is certain.
"""

import re
from dataclasses import dataclass

from relais.dicom.elements import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    SEQUENCE_TAGS,
    UNDEFINED,
    Encoding,
    Header,
    Malformed,
    Window,
    read_element,
)
from relais.dicom.json_model import dictionary_vr

MAX_DEPTH = 64  # of sequences; deeper ones are Malformed

_SIZES = {"US": 2, "SS": 2, "AT": 2, "OW": 2} | dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4)
_SIZES |= dict.fromkeys(("FD", "SV", "UV", "OD", "OV"), 8)  # of words, whose bytes are turned in Big Endian
_ENCODED_TEXT_VRS = frozenset(
    {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}
)  # in the Specific Character Set (PS3.5 6.1.2.3)
_TEXT_VRS = _ENCODED_TEXT_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_AMBIGUOUS = re.compile(rb"[^\x00-\x7F]|[\x1B~]")  # ESC begins another character set; ~ is an overline in ISO_IR 13

Item = dict[int, "Value"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it is encoded, with all that follows from where: its *vr* is None where it is not written, or UN.

    *data* of a sequence includes its delimiter, if there is one; *is_open*: its length is undefined.
    """

    tag: int
    vr: str | None
    data: bytes
    is_implicit: bool
    is_big_endian: bool
    is_open: bool = False

    @property
    def is_sequence(self) -> bool:
        return self.vr == "SQ" or (self.vr is None and (self.is_open or self.tag in SEQUENCE_TAGS))

    def items(self) -> list[Item]:
        """Its Items, group lengths left out. Raises Malformed if there is anything else."""
        is_written = self.vr == "SQ"  # what is UN is in Implicit VR Little Endian inside
        is_implicit = self.is_implicit or not is_written
        reader = _Reader(self.data, is_implicit=is_implicit, is_big_endian=self.is_big_endian and is_written)
        found, end = reader.sequence(0, len(self.data), 1, keep=True)
        if end != len(self.data):
            raise Malformed("Something follows a sequence.")
        return found


def is_same(one: Value, other: Value, *, has_same_characters: bool) -> bool:
    """Whether two values of one attribute are the same, padding apart; False where that cannot be told.

    *has_same_characters*: text of both is in the same character set. Raises Malformed where one is no sequence though
    the other is.
    """
    vr = one.vr or other.vr
    if vr is not None and not all(_may_be(vr, value) for value in (one, other)):
        return False
    if one.is_sequence or other.is_sequence:
        return _has_same_items(one.items(), other.items(), has_same_characters)
    first, second = _little_endian(one, vr), _little_endian(other, vr)
    if vr not in _TEXT_VRS:
        return _even(first) == _even(second)
    if vr in _ENCODED_TEXT_VRS and not (has_same_characters or _is_plain(first)):
        return False
    return first.rstrip(b" \0") == second.rstrip(b" \0")


def _has_same_items(ones: list[Item], others: list[Item], has_same_characters: bool) -> bool:
    return len(ones) == len(others) and all(
        one.keys() == other.keys()
        and all(is_same(one[tag], other[tag], has_same_characters=has_same_characters) for tag in one)
        for one, other in zip(ones, others, strict=True)
    )


def _may_be(vr: str, value: Value) -> bool:
    """Whether *value* is of that VR, or one without, whose reader may take it for that (PS3.6 has no private ones)."""
    known = dictionary_vr(value.tag)
    return value.vr == vr or (value.vr is None and (known == "UN" or vr in known.split(" or ")))


def _little_endian(value: Value, vr: str | None) -> bytes:
    size = _SIZES.get(vr or "", 1)
    if not value.is_big_endian or size == 1:
        return value.data
    if len(value.data) % size:
        raise Malformed("A value is not made of whole words.")
    turned = bytearray(value.data)
    for place in range(size):
        turned[place::size] = value.data[size - 1 - place :: size]
    return bytes(turned)


def _even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


def _is_plain(data: bytes) -> bool:
    """Whether these bytes are the same text in every character set."""
    return _AMBIGUOUS.search(data) is None


class _Reader:
    """Walks through the Items of a sequence. What is only passed is not kept."""

    def __init__(self, data: bytes, *, is_implicit: bool, is_big_endian: bool) -> None:
        self._data, self._is_implicit, self._is_big_endian = data, is_implicit, is_big_endian
        self._encoding = Encoding(implicit=is_implicit, big_endian=is_big_endian)
        self._window = Window(lambda offset, length: data[offset : offset + length], len(data))
        self._window.data = data

    def sequence(self, at: int, end: int, depth: int, *, keep: bool = False) -> tuple[list[Item], int]:
        """The Items from *at* to the delimiter or to *end*, and where to go on."""
        if depth > MAX_DEPTH:
            raise Malformed(f"Sequences are nested more than {MAX_DEPTH} deep.")
        found = list[Item]()
        while at < end:
            header = read_element(self._window, self._encoding, at, end, implicit=True)
            if header.tag == SEQUENCE_END:
                return found, header.value_at
            if header.tag != ITEM:
                raise Malformed("Something that is no Item is in a sequence.")
            is_open = header.length == UNDEFINED
            item, at = self._item(header.value_at, end if is_open else _bounded(header, end), depth, is_open=is_open)
            if keep:
                found.append(item)
        return found, at

    def _item(self, at: int, end: int, depth: int, *, is_open: bool) -> tuple[Item, int]:
        item: Item = {}
        while at < end:
            header = read_element(self._window, self._encoding, at, end, implicit=self._is_implicit)
            if header.tag == ITEM_END and is_open:
                return item, header.value_at
            if header.tag >> 16 == ITEM >> 16 or header.tag in item:
                raise Malformed("Something that is no Data Element, or one twice, is in an Item.")
            behind = self._behind(header, end, depth)
            if header.tag & 0xFFFF:
                item[header.tag] = self._value(header, behind)
            at = behind
        if is_open:
            raise Malformed("An Item does not end.")
        return item, at

    def _behind(self, header: Header, end: int, depth: int) -> int:
        """Where an element ends, of undefined length behind its delimiter."""
        if header.length != UNDEFINED:
            return _bounded(header, end)
        is_implicit = self._is_implicit or header.vr != b"SQ"
        is_big_endian = self._is_big_endian and header.vr == b"SQ"
        inside = _Reader(self._data, is_implicit=is_implicit, is_big_endian=is_big_endian)
        return inside.sequence(header.value_at, end, depth + 1)[1]

    def _value(self, header: Header, behind: int) -> Value:
        vr = None if header.vr in {None, b"UN"} else (header.vr or b"").decode()
        data = self._data[header.value_at : behind]
        is_open = header.length == UNDEFINED
        return Value(header.tag, vr, data, self._is_implicit, self._is_big_endian and vr is not None, is_open)


def _bounded(header: Header, end: int) -> int:
    behind = header.value_at + header.length
    if behind > end:
        raise Malformed("An element ends behind what holds it.")
    return behind
