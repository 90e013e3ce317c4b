"""The DICOM JSON model (PS3.18 F), both ways: Data Sets and their JSON form. Knows pydicom, not files or HTTP.

1. Tags come sorted; File Meta Information, Group Lengths and trailing padding are left out (PS3.18 F.2.2).
2. Specific Character Set (0008,0005) tells how the source was encoded, and so what texts in values of VR UN mean; the
   JSON itself is Unicode (PS3.18 F.2.2, notes 3 to 5).
3. Encoded values are read by dicom.json_values, not by pydicom: faster, without warnings, and nothing fails but
   sequences that cannot be parsed or are nested deeper than MAX_DEPTH.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, MutableSequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.tag import BaseTag
from pydicom.values import convert_SQ

from relais.dicom import charset, person_name
from relais.dicom.json_values import BULK_VRS, VRS, CharacterSet, Element, from_bytes, from_values, to_bytes, to_value
from relais.dicom.values import WHOLE_TEXT_VRS
from relais.errors import InvalidDataSet

JsonDataset = dict[str, Element]  # tag as eight hex digits -> {"vr": ..., "Value": [...]} (PS3.18 F.2.2)
Bulk = Callable[[str, int], str | None]

MAX_DEPTH = 64  # of nested sequences; a Data Set nested deeper is refused
_SPECIFIC_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
_TRAILING_PADDING = 0xFFFCFFFC
_KEY = re.compile(r"[0-9A-Fa-f]{8}")
_FORMS = ("Value", "InlineBinary", "BulkDataURI")


def tag_key(tag: int) -> str:
    """The name of an attribute: eight uppercase hexadecimal digits."""
    return f"{tag:08X}"


def values(json: JsonDataset, tag: int) -> list[Any]:
    """The values of an attribute, [] if it is absent or empty."""
    element = json.get(f"{tag:08X}")
    return (element.get("Value") or []) if element else []


def text(json: JsonDataset, tag: int) -> str | None:
    """The first value as text, a name as `Alphabetic=Ideographic=Phonetic`; None if there is none."""
    found = values(json, tag)
    first = found[0] if found else None
    if isinstance(first, dict):
        return person_name.from_json(first) or None
    return None if first is None else str(first)


def from_dataset(ds: Dataset, bulk: Bulk | None = None, wanted: Container[int] | None = None) -> JsonDataset:
    """A Data Set as JSON (PS3.18 F.2); with *wanted* only those of its top-level attributes.

    *bulk* is asked for each value of VR OB, OD, OF, OL, OV, OW or UN with its path ("7FE00010",
    "00400275/0/00420011": Items count from 0) and its size in bytes, and returns its BulkDataURI, or None to have it
    inline. A value whose reading was deferred is not read if it gets a URI.

    Raises InvalidDataSet for a sequence that cannot be parsed or is nested deeper than MAX_DEPTH.
    """
    return _Reader(bulk).dataset(ds, _Place(), wanted)


def from_element(elem: DataElement | RawDataElement, character_set: CharacterSet = None) -> Element:
    """One element as JSON, its encoded text read by *character_set*."""
    return _Reader(None).element(Dataset(), elem, _Place(character_set))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a Data Set one stands, and what holds there unless an Item says otherwise (PS3.5 7.5.3)."""

    character_set: CharacterSet = None
    is_signed: bool = False  # Pixel Representation (0028,0103) is 1
    path: str = ""
    depth: int = 0


class _Reader:
    """Turns Data Sets into JSON, asking *bulk* about binary values."""

    def __init__(self, bulk: Bulk | None) -> None:
        self._bulk = bulk

    def dataset(self, ds: Dataset, place: _Place, wanted: Container[int] | None = None) -> JsonDataset:
        elements = {tag: elem for elem in ds.values() if _is_metadata(tag := int(elem.tag))}
        place = _entered(elements, place)
        tags = sorted(elements) if wanted is None else sorted(tag for tag in elements if tag in wanted)
        return {f"{tag:08X}": self.element(ds, elements[tag], place) for tag in tags}

    def element(self, ds: Dataset, elem: DataElement | RawDataElement, place: _Place) -> Element:
        vr = _vr(elem, ds, place.is_signed)
        if vr == "SQ":
            return self._sequence(elem, place)
        if vr in BULK_VRS and self._bulk is not None and (size := _size(elem)):
            uri = self._bulk(f"{place.path}{elem.tag:08X}", size)
            if uri is not None:
                return {"vr": vr, "BulkDataURI": uri}
        if isinstance(elem, RawDataElement) and elem.value is None and elem.length:
            elem = ds[elem.tag]  # its reading was deferred
        if isinstance(elem, RawDataElement):
            return from_bytes(vr, elem.value or b"", place.character_set, is_big_endian=not elem.is_little_endian)
        return _from_python(vr, elem.value, place.character_set)

    def _sequence(self, elem: DataElement | RawDataElement, place: _Place) -> Element:
        if place.depth >= MAX_DEPTH:
            raise InvalidDataSet(f"Sequences are nested more than {MAX_DEPTH} deep.")
        items = []
        for number, item in enumerate(_items(elem)):
            path = f"{place.path}{elem.tag:08X}/{number}/"
            items.append(self.dataset(item, replace(place, path=path, depth=place.depth + 1)))
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _is_metadata(tag: int) -> bool:
    return tag >> 16 not in (0x0000, 0x0002) and tag & 0xFFFF != 0 and tag != _TRAILING_PADDING


def _entered(elements: dict[int, DataElement | RawDataElement], place: _Place) -> _Place:
    """*place* with what this Data Set says for itself and for the Items in it."""
    declared = elements.get(_SPECIFIC_CHARACTER_SET)
    if declared is not None:
        element = _Reader(None).element(Dataset(), declared, _Place())
        place = replace(place, character_set=tuple(value or "" for value in element.get("Value", ())))
    signed = elements.get(_PIXEL_REPRESENTATION)
    if signed is not None:
        place = replace(place, is_signed=_Reader(None).element(Dataset(), signed, _Place()).get("Value") == [1])
    return place


def _vr(elem: DataElement | RawDataElement, ds: Dataset, is_signed: bool) -> str:
    """The VR of an element; that of PS3.6 where it came without one, or as UN though it is a standard attribute.

    Ambiguous ones occur in Implicit VR only, where the OB among them are OW (PS3.5 A.1).
    Seen: files in Explicit VR with UN everywhere.
    """
    vr = str(elem.VR) if elem.VR else None
    if vr is None or (vr == "UN" and not elem.tag.is_private):
        vr = _private_vr(elem.tag, ds) if elem.tag.is_private else dictionary_vr(elem.tag)
    if " or " in vr:
        vr = "OW" if "OW" in vr else ("SS" if is_signed else "US")
    return vr


@cache
def dictionary_vr(tag: int) -> str:
    """The VR of PS3.6, which may leave a choice ("US or SS"); UN for what is not there."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _private_vr(tag: BaseTag, ds: Dataset) -> str:
    """PS3.5 7.8.1: LO for a private creator, else what pydicom's dictionary knows of that creator."""
    if tag.is_private_creator:
        return "LO"
    creator = ds.get_item(tag.group << 16 | tag.element >> 8)
    if creator is None:
        return "UN"
    name = _Reader(None).element(ds, creator, _Place()).get("Value", [""])[0]
    try:
        return private_dictionary_VR(tag, name or "")
    except KeyError:
        return "UN"


def _from_python(vr: str, value: Any, character_set: CharacterSet) -> Element:
    """An element that pydicom has decoded, or that was made by hand."""
    if isinstance(value, bytes):
        return from_bytes(vr, value, character_set)
    found = list(value) if isinstance(value, MutableSequence | tuple) else [value]
    if vr in BULK_VRS and any(found):
        raise InvalidDataSet(f"A value of VR {vr} is not made of bytes.")
    return from_values(vr, ["" if one is None else one for one in found])


def _size(elem: DataElement | RawDataElement) -> int:
    """The size of a binary value in bytes; that of encapsulated Pixel Data includes its Item headers."""
    if isinstance(elem, RawDataElement):
        return elem.length if elem.value is None else len(elem.value)
    return len(elem.value or b"")


def _items(elem: DataElement | RawDataElement) -> Iterable[Dataset]:
    if not isinstance(elem, RawDataElement):
        return elem.value or ()
    was_unknown = elem.VR == "UN"  # then it is in Implicit VR Little Endian (PS3.5 6.2.2)
    try:
        return convert_SQ(
            elem.value or b"", elem.is_implicit_VR or was_unknown, elem.is_little_endian or was_unknown, ["iso8859"]
        )
    except Exception as exc:  # pydicom raises what its parts raise; whatever it is, these bytes are no sequence
        raise InvalidDataSet(f"The sequence ({elem.tag.group:04X},{elem.tag.element:04X}) cannot be read.") from exc


def to_dataset(json: JsonDataset, bulk: Callable[[str], bytes] | None = None) -> Dataset:
    """The Data Set that *json* describes; *bulk* fetches the value that a BulkDataURI names.

    It keeps its Specific Character Set where that can encode every text below it, and else says ISO_IR 192. File Meta
    Information and Group Lengths are left out. Raises InvalidDataSet for anything that PS3.18 F.2 does not allow.
    """
    return _to_dataset(json, bulk, 0)


def _to_dataset(json: JsonDataset, bulk: Callable[[str], bytes] | None, depth: int) -> Dataset:
    if depth > MAX_DEPTH:
        raise InvalidDataSet(f"Sequences are nested more than {MAX_DEPTH} deep.")
    if not isinstance(json, dict):
        raise InvalidDataSet("A Data Set in JSON is an object.")
    ds = Dataset()
    for key in sorted(json):
        if _KEY.fullmatch(key) is None:
            raise InvalidDataSet(f"{ascii(key)[:80]} is not a tag: eight hexadecimal digits.")
        tag = int(key, 16)
        if _is_metadata(tag):
            ds.add(_to_element(BaseTag(tag), json[key], bulk, depth))
    declared = values(json, _SPECIFIC_CHARACTER_SET)
    if (declared or not depth) and not charset.can_encode("".join(_strings(json)), [value or "" for value in declared]):
        ds.add(DataElement(_SPECIFIC_CHARACTER_SET, "CS", charset.UTF_8))
    return ds


def _strings(json: JsonDataset) -> Iterator[str]:
    """Every text in the values of *json*, at all depths."""
    for element in json.values():
        for value in element.get("Value") or ():
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict):
                yield from value.values() if element["vr"] == "PN" else _strings(value)


def _to_element(tag: BaseTag, element: Any, bulk: Callable[[str], bytes] | None, depth: int) -> DataElement:
    name = f"{tag.group:04X}{tag.element:04X}"
    vr = element.get("vr") if isinstance(element, dict) else None
    if not isinstance(vr, str) or vr not in VRS:
        raise InvalidDataSet(f"{name} has no VR of PS3.5.")
    forms = [form for form in _FORMS if form in element]
    if len(forms) > 1:
        raise InvalidDataSet(f"{name} has {' and '.join(forms)}; only one is allowed.")
    if "BulkDataURI" in forms:
        element = _fetched(name, element, bulk)
    found = element.get("Value") or []
    if not isinstance(found, list) or (found and vr in BULK_VRS) or ("InlineBinary" in element and vr not in BULK_VRS):
        raise InvalidDataSet(f"{name} ({vr}) has no value of its VR.")
    if vr == "SQ":
        return DataElement(tag, vr, [_to_dataset(item or {}, bulk, depth + 1) for item in found])
    if vr in BULK_VRS:
        return _exactly(tag, vr, to_bytes(element))
    return _decoded(tag, vr, [to_value(vr, value) for value in found])


def _fetched(name: str, element: Element, bulk: Callable[[str], bytes] | None) -> Element:
    """The element with the value that its BulkDataURI names; text there is UTF-8 (PS3.18 F.2.2)."""
    uri = element["BulkDataURI"]
    if bulk is None or not isinstance(uri, str):
        raise InvalidDataSet(f"{name} has bulk data that is not here.")
    return from_bytes(element["vr"], bulk(uri), charset.UTF_8)


def _decoded(tag: BaseTag, vr: str, found: list[Any]) -> DataElement:
    if not found:
        return _exactly(tag, vr, empty_value_for_VR(vr))
    if vr in WHOLE_TEXT_VRS and len(found) > 1:
        raise InvalidDataSet(f"{tag:08X} ({vr}) has {len(found)} values; its VR allows one.")
    value = found[0] if len(found) == 1 else found
    try:
        return DataElement(tag, vr, value, validation_mode=config.IGNORE)
    except (TypeError, ValueError, OverflowError):  # an IS or DS that is no number: kept as the text that it is
        return _exactly(tag, vr, value)


def _exactly(tag: BaseTag, vr: str, value: Any) -> DataElement:
    """An element with just this VR and value: pydicom would turn a UN into what its dictionary says."""
    elem = DataElement(tag, "OB", value, already_converted=True)
    elem.VR = vr
    return elem
