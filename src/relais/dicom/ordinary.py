"""The metadata of an ordinary Data Set straight from its bytes: much sooner than by way of pydicom. Knows no files.

What json_model makes of the same Data Set is the rule, and a test holds this to it. Whatever is out of the ordinary
(Implicit VR, UN, odd encodings, bulk data within sequences, a large Data Set) is left to json_model.
"""

from collections.abc import Collection
from typing import Any

from relais.dicom.elements import PIXEL_DATA, UNDEFINED, Element, Malformed, ReadAt
from relais.dicom.items import SPECIFIC_CHARACTER_SET, TRAILING_PADDING, strict_sequence_json, value_json
from relais.dicom.json_model import JsonDataset
from relais.dicom.json_values import CharacterSet, from_bytes
from relais.dicom.scan import Scan

MAX_BYTES = 1024 * 1024  # of what stands before Pixel Data; a larger Data Set is not ordinary


def ordinary_json(
    found: Scan, read_at: ReadAt, bulk: Collection[int], inline_bytes: int, *, is_big_endian: bool
) -> JsonDataset | None:
    """What *found* holds, without the elements *bulk*, in no promised order; None if it is not ordinary.

    A binary value of more than *inline_bytes* within a sequence is not ordinary.
    """
    if found.implicit or found.warnings:
        return None
    elements = [found.elements[tag] for tag in sorted(found.elements) if tag not in bulk and _is_metadata(tag)]
    if not elements:
        return None
    start, end = elements[0].offset, elements[-1].end
    if end - start > MAX_BYTES or elements[-1].tag > PIXEL_DATA:
        return None
    try:
        return _Reader(read_at(start, end - start), start, inline_bytes, is_big_endian).dataset(elements)
    except Malformed:
        return None


class _Reader:
    """Reads elements out of *data*, which lies at *start*. Raises Malformed for what is not ordinary."""

    def __init__(self, data: bytes, start: int, inline_bytes: int, is_big_endian: bool) -> None:
        self._data, self._start, self._inline_bytes = data, start, inline_bytes
        self._is_big_endian = is_big_endian
        self._character_set: CharacterSet = None

    def dataset(self, elements: Collection[Element]) -> JsonDataset:
        json: JsonDataset = {}
        for element in elements:
            at = element.value_offset - self._start
            value = self._data[at : element.end - self._start]
            if len(value) < element.end - element.value_offset:
                raise Malformed
            json[f"{element.tag:08X}"] = self._element(element, value)
        return json

    def _element(self, element: Element, value: bytes) -> dict[str, Any]:
        vr = element.vr
        if vr is None or vr == "UN" or (element.length == UNDEFINED and vr != "SQ"):
            raise Malformed
        if vr == "SQ":
            items = strict_sequence_json(value, self._character_set, is_big_endian=self._is_big_endian)
            if len(value) > self._inline_bytes and _has_binary(items):
                raise Malformed
            return items
        if element.tag == SPECIFIC_CHARACTER_SET:
            json = from_bytes("CS", value)
            self._character_set = tuple(term or "" for term in json.get("Value", ()))
            return json if vr == "CS" else from_bytes(vr, value)
        return value_json(vr, value, self._character_set, is_big_endian=self._is_big_endian)


def _is_metadata(tag: int) -> bool:
    return bool(tag & 0xFFFF) and tag != TRAILING_PADDING


def _has_binary(sequence: dict[str, Any]) -> bool:
    """Whether there is any binary value in *sequence*: how large it is does not matter, for it is seldom."""
    return any(
        "InlineBinary" in element or (element["vr"] == "SQ" and _has_binary(element))
        for item in sequence.get("Value", ())
        for element in item.values()
    )
