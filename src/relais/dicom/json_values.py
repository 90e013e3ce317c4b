"""Values of one Data Element in the DICOM JSON model (PS3.18 F.2.3 to F.2.7), both ways. Knows no Data Sets.

1. Padding goes; text is Unicode whatever its bytes were; LT, ST, UR and UT never split at a backslash.
2. An empty value among others is null; an element without any value has no "Value" (PS3.18 F.2.5).
3. IS, DS, SV and UV are numbers, but those stay strings that are no finite number, or too large for a JSON reader to
   keep exactly (PS3.18 F.2.3).
4. OB, OD, OF, OL, OV, OW and UN are never in "Value"; their words are little endian.
5. Bytes that the VR cannot hold, such as a US of three, are kept as UN.

Reading: PS3.18 F.2.3 has no JSON form for an FL or FD that is not finite; here they are the strings "NaN", "Infinity"
and "-Infinity".
"""

import base64
import math
import re
import struct
from collections.abc import Sequence
from typing import Any

from relais.dicom import person_name
from relais.dicom.charset import decode
from relais.dicom.values import WHOLE_TEXT_VRS, number_key
from relais.errors import InvalidDataSet

Element = dict[str, Any]  # {"vr": ..., and at most one of "Value", "InlineBinary", "BulkDataURI"}
CharacterSet = str | Sequence[str] | None

BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_PADDED_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UI"})  # leading spaces mean nothing either
_TEXT_VRS = _PADDED_VRS | WHOLE_TEXT_VRS | {"UC"}
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_WORD_SIZES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_INTEGER_RANGES = {
    vr: (-(2 ** (8 * struct.calcsize(code) - 1)), 2 ** (8 * struct.calcsize(code) - 1))
    if code.islower()
    else (0, 2 ** (8 * struct.calcsize(code)))
    for vr, code in _NUMBERS.items()
    if vr not in ("FL", "FD")
}
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_EXACT = 2**53  # beyond it readers that keep numbers as binary64 lose digits (RFC 8259, 6)
_MAX_DS_LENGTH = 16  # PS3.5 6.2; a longer decimal is rounded when it is written

VRS = _TEXT_VRS | BULK_VRS | _NUMBERS.keys() | {"AT", "DS", "IS", "PN", "SQ"}


def from_bytes(vr: str, value: bytes, character_set: CharacterSet = None, *, is_big_endian: bool = False) -> Element:
    """One element, of any VR but SQ, from its Value Field. Never raises: what cannot be told is UN."""
    if vr in BULK_VRS or vr not in VRS:
        return _inline(vr if vr in BULK_VRS else "UN", value, is_big_endian)
    if vr in _NUMBERS or vr == "AT":
        return _from_binary(vr, value, is_big_endian)
    text = decode(value, character_set, vr)
    texts = [text] if vr in WHOLE_TEXT_VRS else text.split("\\")
    return from_values(vr, texts)


def from_values(vr: str, found: Sequence[Any]) -> Element:
    """One element, of any VR but SQ and those of bytes, from its values as texts or numbers."""
    if vr == "PN":
        values: list[Any] = [person_name.to_json(str(value)) for value in found]
    elif vr in ("IS", "DS"):
        values = [_from_decimal(vr, str(value).strip(" \0")) for value in found]
    elif vr in _NUMBERS:
        values = [None if value == "" else _from_number(value) for value in found]
    elif vr == "AT":
        values = [None if value == "" else f"{int(value):08X}" for value in found]
    else:
        padding_ends = vr in _PADDED_VRS
        values = [(str(value).strip(" \0") if padding_ends else str(value).rstrip(" \0")) or None for value in found]
    if not values or (len(values) == 1 and values[0] is None):
        return {"vr": vr}
    return {"vr": vr, "Value": values}


def _inline(vr: str, value: bytes, is_big_endian: bool) -> Element:
    if not value:
        return {"vr": vr}
    if is_big_endian and vr in _WORD_SIZES:
        value = _swapped(value, _WORD_SIZES[vr])
    return {"vr": vr, "InlineBinary": base64.b64encode(value).decode("ascii")}


def _swapped(value: bytes, size: int) -> bytes:
    """Words of *size* bytes the other way round; a rest shorter than a word stays."""
    whole = len(value) - len(value) % size
    turned = bytearray(value)
    for i in range(size):
        turned[i:whole:size] = value[size - 1 - i : whole : size]
    return bytes(turned)


def _from_binary(vr: str, value: bytes, is_big_endian: bool) -> Element:
    order = ">" if is_big_endian else "<"
    code = "HH" if vr == "AT" else _NUMBERS[vr]
    size = struct.calcsize(order + code)
    if len(value) % size:
        return _inline("UN", value, False)
    numbers = struct.unpack(f"{order}{len(value) // size * len(code)}{code[0]}", value)
    if vr == "AT":
        numbers = tuple(group << 16 | element for group, element in zip(numbers[::2], numbers[1::2], strict=True))
    return from_values(vr, numbers)


def _from_decimal(vr: str, text: str) -> int | float | str | None:
    number = number_key(text)
    if number is None or abs(number) > _MAX_EXACT or (vr == "IS" and isinstance(number, float)):
        return text or None
    return number


def _from_number(number: int | float) -> int | float | str:
    if isinstance(number, float):
        return number if math.isfinite(number) else next(k for k, v in _NOT_FINITE.items() if str(v) == str(number))
    return number if abs(number) <= _MAX_EXACT else str(number)


def to_value(vr: str, value: Any) -> Any:
    """One value of "Value", of any VR but SQ, as pydicom takes it. Raises InvalidDataSet if *vr* cannot hold it."""
    try:
        return _to_value(vr, value)
    except (TypeError, ValueError, OverflowError, AttributeError) as exc:
        raise InvalidDataSet(f"{ascii(value)[:80]} is no value of VR {vr}.") from exc


def _to_value(vr: str, value: Any) -> Any:
    if vr in _NUMBERS:
        return _to_number(vr, value)
    if vr == "AT":
        return _to_tag(value)
    if value is None:
        return ""
    if vr == "PN":
        return _to_name(value)
    if vr in ("IS", "DS") and not isinstance(value, str):
        return _to_decimal(value)
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _to_name(value: dict[str, str]) -> str:
    if not value.keys() <= set(person_name.JSON_GROUPS) or not all(isinstance(group, str) for group in value.values()):
        raise TypeError(value)
    return person_name.from_json(value)


def _to_tag(value: str) -> int:
    if _TAG.fullmatch(value) is None:
        raise ValueError(value)
    return int(value, 16)


def _to_number(vr: str, value: Any) -> int | float:
    if isinstance(value, bool):
        raise TypeError(value)
    if vr in ("FL", "FD"):
        number = float(_NOT_FINITE.get(value, value) if isinstance(value, str) else value)
        struct.pack("<" + _NUMBERS[vr], number)  # an FL beyond binary32 raises OverflowError
        return number
    whole = int(value)
    low, high = _INTEGER_RANGES[vr]
    if not low <= whole < high or whole != (value if isinstance(value, int | float) else whole):
        raise ValueError(value)
    return whole


def _to_decimal(value: Any) -> str:
    """A number as a DS of at most 16 characters, as exactly as they allow (PS3.5 6.2)."""
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(value)
    forms = (str(value), *(f"{value:.{digits}g}" for digits in range(16, 0, -1)))
    return next(form for form in forms if len(form) <= _MAX_DS_LENGTH)


def to_bytes(element: Element) -> bytes:
    """The bytes of "InlineBinary", b"" without one, of even length. Raises InvalidDataSet if it is not base64."""
    try:
        value = base64.b64decode(element.get("InlineBinary", ""), validate=True)
    except (TypeError, ValueError) as exc:
        raise InvalidDataSet("InlineBinary is not base64.") from exc
    return value + b"\0" * (len(value) % 2)
