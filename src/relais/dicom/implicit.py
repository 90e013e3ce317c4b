"""What an element says where its VR is not written, as in Implicit VR (PS3.5 A.1): its reader takes that of PS3.6.

Knows values, no encodings.
"""

import base64
import struct
from functools import lru_cache

from pydicom.datadict import dictionary_VR

from relais.dicom.json_values import BULK_VRS, VRS, Element
from relais.dicom.matching import as_text

_PACKED = {"FL": "f", "FD": "d", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_TEXT_VRS = VRS - BULK_VRS - _PACKED.keys() - {"SQ", "AT"}


def as_read(tag: int, element: Element) -> Element:
    """*element* in a VR that PS3.6 gives *tag*, without a value where none of them can say what it is.

    As it is where PS3.6 does not have *tag*: then nobody takes it for anything else.
    """
    vrs = _vrs(tag)
    if not vrs or element["vr"] in vrs:
        return element
    said = (_in_vr(vr, element) for vr in vrs)
    return next((one for one in said if one is not None), {"vr": vrs[0]})


@lru_cache(maxsize=4096)
def _vrs(tag: int) -> tuple[str, ...]:
    try:
        return tuple(dictionary_VR(tag).split(" or "))
    except KeyError:
        return ()


def _in_vr(vr: str, element: Element) -> Element | None:
    """*element* in another VR, None if that cannot say it."""
    if "InlineBinary" in element:
        is_said = _can_hold(vr, base64.b64decode(element["InlineBinary"]), element["vr"])
        return {"vr": vr, "InlineBinary": element["InlineBinary"]} if is_said else None
    if {"SQ", "AT"} & {vr, element["vr"]}:
        return None
    texts = [as_text(value) for value in element.get("Value") or []]
    if vr in _PACKED:
        return _as_numbers(vr, texts)
    return {"vr": vr, "Value": texts} if vr in _TEXT_VRS else None


def _can_hold(vr: str, data: bytes, came_as: str) -> bool:
    """Whether bytes may be read as a *vr*. Those of a UN may have been one, in Implicit VR (PS3.5 6.2.2)."""
    if vr in BULK_VRS or came_as != "UN":
        return vr in BULK_VRS
    if vr in _PACKED:
        return len(data) % struct.calcsize(_PACKED[vr]) == 0
    return vr in _TEXT_VRS and data.isascii() and data.decode().rstrip("\0").isprintable()


def _as_numbers(vr: str, texts: list[str]) -> Element | None:
    try:
        numbers = [_number(vr, text) for text in texts if text]
        struct.pack(f"<{len(numbers)}{_PACKED[vr]}", *numbers)
    except (ValueError, OverflowError, struct.error):
        return None
    return {"vr": vr, "Value": numbers}


def _number(vr: str, text: str) -> int | float:
    """Raises ValueError for what is no number, or no whole one."""
    if vr in ("FL", "FD"):
        return float(text)
    try:
        return int(text)
    except ValueError:
        if not float(text).is_integer():
            raise
        return int(float(text))
