"""The metadata of an ordinary Data Set straight from its bytes: much sooner than by way of pydicom. Knows no files.

What json_model makes of the same Data Set is the rule, and a test holds this to it. Whatever is out of the ordinary
(odd encodings, bulk data and unknown attributes within sequences, a large Data Set) is left to json_model.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from pydicom.datadict import private_dictionary_VR

from relais.dicom.elements import PIXEL_DATA, UNDEFINED, VR_NAMES, Element, Malformed, ReadAt
from relais.dicom.items import (
    REMEMBERED_BYTES,
    SPECIFIC_CHARACTER_SET,
    TRAILING_PADDING,
    remembered_json,
    strict_sequence_json,
    value_json,
)
from relais.dicom.json_model import JsonDataset, dictionary_vr
from relais.dicom.json_values import CharacterSet, from_bytes
from relais.dicom.scan import Scan

PIXEL_REPRESENTATION = 0x00280103
MAX_BYTES = 1024 * 1024  # of what stands before Pixel Data; a larger Data Set is not ordinary

_SIMPLE_VRS = frozenset(VR_NAMES.values()) - {"SQ", "UN"}


def ordinary_json(
    found: Scan, read_at: ReadAt, bulk: Collection[int], inline_bytes: int, *, is_big_endian: bool
) -> JsonDataset | None:
    """What *found* holds, without the elements *bulk*, in no promised order; None if it is not ordinary.

    A binary value of more than *inline_bytes* within a sequence is not ordinary.
    """
    if found.warnings:
        return None
    elements = [found.elements[tag] for tag in sorted(found.elements) if tag not in bulk and _is_metadata(tag)]
    if not elements:
        return None
    start, end = elements[0].offset, elements[-1].end
    if end - start > MAX_BYTES or elements[-1].tag > PIXEL_DATA:
        return None
    try:
        data = read_at(start, end - start)
        return _Reader(data, start, inline_bytes, Form(found.implicit, is_big_endian)).dataset(elements)
    except Malformed:
        return None


class Form(NamedTuple):
    """How the Data Set is encoded."""

    is_implicit: bool
    is_big_endian: bool


class _Reader:
    """Reads elements out of *data*, which lies at *start*. Raises Malformed for what is not ordinary."""

    def __init__(self, data: bytes, start: int, inline_bytes: int, form: Form) -> None:
        self._data, self._start, self._inline_bytes, self._form = data, start, inline_bytes, form
        self._end = start + len(data)
        self._character_set: CharacterSet = None
        self._is_signed = False
        self._json: JsonDataset = {}

    def dataset(self, elements: Collection[Element]) -> JsonDataset:
        signed = [self._value(element) for element in elements if element.tag == PIXEL_REPRESENTATION]
        is_big_endian = self._form.is_big_endian
        self._is_signed = signed == [b"\0\1" if is_big_endian else b"\1\0"]
        start, whole_end, data = self._start, self._end, self._data
        for element in elements:  # nearly all are short and simple: this loop is most of what metadata cost
            tag, vr, _, value_at, length, end = element
            if length <= REMEMBERED_BYTES and vr in _SIMPLE_VRS and tag != SPECIFIC_CHARACTER_SET and end <= whole_end:
                value = data[value_at - start : end - start]
                self._json[f"{tag:08X}"] = remembered_json(vr, value, self._character_set, is_big_endian)
            else:
                self._json[f"{tag:08X}"] = self._element(element)
        return self._json

    def _value(self, element: Element) -> bytes:
        if element.end > self._end:
            raise Malformed
        return self._data[element.value_offset - self._start : element.end - self._start]

    def _element(self, element: Element) -> dict[str, Any]:
        vr, value = self._vr(element), self._value(element)
        if vr == "SQ":
            return self._sequence(element, value)
        if element.length == UNDEFINED:
            raise Malformed
        if element.tag == SPECIFIC_CHARACTER_SET:
            declared = from_bytes(vr, value)
            self._character_set = tuple(term or "" for term in declared.get("Value", ()))
            return declared
        return value_json(vr, value, self._character_set, is_big_endian=self._form.is_big_endian)

    def _sequence(self, element: Element, value: bytes) -> dict[str, Any]:
        if element.vr == "UN":  # then it is in Implicit VR Little Endian (PS3.5 6.2.2)
            raise Malformed
        is_implicit, is_big_endian = self._form
        items = strict_sequence_json(value, self._character_set, is_big_endian=is_big_endian, is_implicit=is_implicit)
        if len(value) > self._inline_bytes and _has_binary(items):
            raise Malformed
        return items

    def _vr(self, element: Element) -> str:
        """As json_model has it: that of PS3.6 for what came without, or as UN though it is a standard attribute."""
        vr, is_private = element.vr, bool(element.tag >> 16 & 1)
        if vr is None or (vr == "UN" and not is_private):
            vr = self._private_vr(element.tag) if is_private else dictionary_vr(element.tag)
        if " or " in vr:
            vr = "OW" if "OW" in vr else ("SS" if self._is_signed else "US")
        return vr

    def _private_vr(self, tag: int) -> str:
        """PS3.5 7.8.1: its creator stands before it."""
        if 0x10 <= tag & 0xFFFF <= 0xFF:
            return "LO"
        creator = self._json.get(f"{tag >> 16:04X}{(tag & 0xFFFF) >> 8:04X}", {}).get("Value", [""])[0]
        try:
            return private_dictionary_VR(tag, str(creator or ""))
        except KeyError:
            return "UN"


def _is_metadata(tag: int) -> bool:
    return bool(tag & 0xFFFF) and tag != TRAILING_PADDING


def _has_binary(sequence: dict[str, Any]) -> bool:
    """Whether there is any binary value in *sequence*: how large it is does not matter, for it is seldom."""
    return any(
        "InlineBinary" in element or (element["vr"] == "SQ" and _has_binary(element))
        for item in sequence.get("Value", ())
        for element in item.values()
    )
