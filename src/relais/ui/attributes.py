"""An instance's metadata as lines of a table for people. Knows the DICOM JSON model, not templates or requests."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_description, private_dictionary_description

from relais.dicom import person_name
from relais.dicom.json_model import JsonDataset

MAX_VALUES = 32  # of one attribute; more are counted, not listed
MAX_CHARACTERS = 300  # of one line; the rest is cut
MAX_DEPTH = 32  # deeper sequences are not shown
MAX_LINES = 5000  # of one instance; after them the page says that there is more


@dataclass(frozen=True, slots=True)
class Line:
    """One attribute. *depth* counts the sequences around it; *bulk* is where a value that is not shown can be had."""

    depth: int
    tag: str
    name: str
    vr: str
    value: str
    bulk: str = ""
    is_item: bool = False


def lines(json: JsonDataset) -> Iterator[Line]:
    """Every attribute in order, Items of sequences after their sequence; at most MAX_LINES."""
    for number, line in enumerate(_lines(json, 0)):
        if number == MAX_LINES:
            return
        yield line


def _lines(json: JsonDataset, depth: int) -> Iterator[Line]:
    creators: dict[str, str] = {}
    for key, element in sorted(json.items()):
        if _is_private(key) and 0x10 <= int(key[4:], 16) <= 0xFF:
            creators[key[:4] + key[6:]] = _text((element.get("Value") or [""])[0])
        yield _line(key, element, depth, creators)
        if element["vr"] == "SQ" and depth < MAX_DEPTH:
            for number, item in enumerate(element.get("Value") or [], 1):
                yield Line(depth + 1, "", f"Item {number}", "", "", is_item=True)
                yield from _lines(item or {}, depth + 1)


def _line(key: str, element: dict[str, Any], depth: int, creators: dict[str, str]) -> Line:
    creator = creators.get(key[:4] + key[4:6], "")
    bulk = str(element.get("BulkDataURI", ""))
    return Line(depth, f"({key[:4]},{key[4:]})", name_of(key, creator), element["vr"], _value(element), bulk)


def name_of(key: str, creator: str = "") -> str:
    """What PS3.6 calls an attribute; for a private one what its creator does, as far as that is known."""
    tag = int(key, 16)
    try:
        if not _is_private(key):
            return dictionary_description(tag)
        if 0x10 <= tag & 0xFFFF <= 0xFF:
            return "Private Creator"
        return private_dictionary_description(tag, creator).strip("[]") if creator else "Private attribute"
    except KeyError:
        return f"Private attribute of {creator}" if creator else "Unknown attribute"


def _is_private(key: str) -> bool:
    return int(key[:4], 16) % 2 == 1


def _value(element: dict[str, Any]) -> str:
    if "BulkDataURI" in element:
        return "bulk data"
    if "InlineBinary" in element:
        return f"{_binary_size(element['InlineBinary'])} bytes"
    found = element.get("Value") or []
    if element["vr"] == "SQ":
        return f"{len(found)} Item{'s' if len(found) != 1 else ''}"
    shown = " \\ ".join(_text(value) for value in found[:MAX_VALUES])
    if len(found) > MAX_VALUES:
        shown += f" … {len(found)} values"
    return shown if len(shown) <= MAX_CHARACTERS else shown[:MAX_CHARACTERS] + "…"


def _binary_size(base64: str) -> int:
    return len(base64) * 3 // 4 - base64.count("=")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return person_name.from_json(value)
    return "" if value is None else str(value)
