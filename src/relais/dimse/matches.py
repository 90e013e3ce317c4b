"""Rows of a search as encoded Identifiers of C-FIND responses. Knows one request and its encoding, no association.

Which elements an answer has is the same for all matches of a request, so everything about them but their values is made
once. Most values are one short text: those are put together here, everything else by relais.peers.identifier.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from relais.dicom import uids
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import as_text
from relais.dicom.timezones import OFFSET_TAG
from relais.dicom.values import vr_of
from relais.dimse.identifier import INSTANCE_AVAILABILITY, LEVEL, RETRIEVE_AE_TITLE, FindRequest, only_asked
from relais.dimse.models import UNIQUE_KEYS
from relais.peers import identifier
from relais.peers.identifier import CHARACTER_SET, UTF_8

TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"})
SHORT = 256  # bytes of a value whose length field is ready-made


@dataclass(frozen=True, slots=True)
class _Slot:
    """One element of every answer. *start* is what stands before the length of a text; *empty* the whole without value.

    *key* is "" where all answers have the same: *empty* then is that. *vr* is "" where the value is no text.
    """

    key: str
    empty: bytes
    vr: str = ""
    start: bytes = b""
    pad: bytes = b""
    asked: Mapping[str, Any] | None = None


def _text(values: list[Any]) -> str:
    """Any values as one text; one plain name, or one number, as most are, without a detour."""
    value = values[0]
    if len(values) > 1:
        return "\\".join(map(as_text, values))
    if value.__class__ is int:
        return str(value)
    if value.__class__ is dict and len(value) == 1 and "Alphabetic" in value:
        return value["Alphabetic"] or ""
    return as_text(value)


class Matches:
    """What answers *request* (PS3.4 C.4.1.1.3.2): what was asked for, empty where a row has nothing.

    Text is in UTF-8, which an answer says only where it is not plain ASCII.
    """

    def __init__(self, request: FindRequest, ae_title: str, transfer_syntax_uid: str) -> None:
        self._is_deflated = uids.is_deflated(transfer_syntax_uid)
        self._syntax = uids.EXPLICIT_VR_LITTLE_ENDIAN if self._is_deflated else transfer_syntax_uid
        length = (">" if uids.is_big_endian(self._syntax) else "<") + ("I" if uids.is_implicit(self._syntax) else "H")
        self._length = struct.Struct(length)
        self._lengths = [self._length.pack(number) for number in range(SHORT)]
        slots = self._slots_of(request, ae_title)
        self._steps = [(slot, slot.key, slot.vr, slot.start, slot.pad) for slot in slots]  # read faster than a slot
        self._before_character_set = sum(bool(slot.key) and slot.key < CHARACTER_SET for slot in slots)
        self._character_set = self._element(CHARACTER_SET, {"vr": "CS", "Value": [UTF_8]})

    def encode(self, row: JsonDataset) -> bytes:
        """The Identifier that tells of *row*."""
        pieces, is_ascii, lengths = [], True, self._lengths
        for slot, key, vr, start, pad in self._steps:
            element = row.get(key)
            if element is None:
                pieces.append(slot.empty)
                continue
            values = element.get("Value")
            if not values or element["vr"] != vr:
                encoded, is_plain = self._encode_slowly(slot, element)
            else:
                text = values[0] if len(values) == 1 else None
                if text.__class__ is not str:
                    text = _text(values)
                data = text.encode()
                size = len(data)
                is_plain = size == len(text)
                if size % 2:
                    size += 1
                    data += pad
                encoded = start + lengths[size] + data if size < SHORT else self._element(key, element)
            pieces.append(encoded)
            if not is_plain:
                is_ascii = False
        if not is_ascii:
            pieces.insert(self._before_character_set, self._character_set)
        encoded = b"".join(pieces)
        return identifier.deflate(encoded) if self._is_deflated else encoded

    def _encode_slowly(self, slot: _Slot, element: dict[str, Any]) -> tuple[bytes, bool]:
        """Any element, and whether its text is plain ASCII."""
        chosen = only_asked(slot.asked or {}, element)
        return self._element(slot.key, chosen), orjson.dumps(chosen).isascii()

    def _element(self, key: str, element: dict[str, Any]) -> bytes:
        return identifier.encode_element(int(key, 16), element, self._syntax)

    def _slots_of(self, request: FindRequest, ae_title: str) -> list[_Slot]:
        level = request.query.level
        asked: dict[str, Mapping[str, Any]] = {tag_key(UNIQUE_KEYS[level]): {}}
        asked |= {key: one for key, one in request.asked.items() if int(key, 16) not in request.unknown}
        slots = {key: self._slot(key, one) for key, one in asked.items() if key != CHARACTER_SET}
        said = [
            (LEVEL, "CS", level.value),
            (RETRIEVE_AE_TITLE, "AE", ae_title),
            (INSTANCE_AVAILABILITY, "CS", "ONLINE"),
        ]
        if request.zone is not None:
            said.append((OFFSET_TAG, "SH", request.zone.offset))
        for tag, vr, text in said:
            key = tag_key(tag)
            own = key if tag == INSTANCE_AVAILABILITY else ""  # a row says so where it is not ONLINE
            slots[key] = _Slot(own, self._element(key, {"vr": vr, "Value": [text]}))
        return [slots[key] for key in sorted(slots)]

    def _slot(self, key: str, asked: Mapping[str, Any]) -> _Slot:
        vr = vr_of(int(key, 16))
        empty = self._element(key, {"vr": vr})
        if vr not in TEXT_VRS:
            return _Slot(key, empty, asked=asked)
        return _Slot(key, empty, vr, empty[: -self._length.size], b"\0" if vr == "UI" else b" ", asked)
