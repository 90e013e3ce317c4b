"""Data Sets out of XML: the Native DICOM Model (PS3.19 A.1) made into the DICOM JSON model. Knows text, not messages.

What a value may be is decided by dicom.json_model: here all stay the texts that they are. A document type is refused,
and with it every entity that somebody might have declared.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from relais.dicom.json_model import JsonDataset
from relais.errors import InvalidDataSet, InvalidRequest

MAX_DEPTH = 200  # elements inside one another; a deeper document is refused
MAX_GAPS = 10_000  # values left out between numbers, in the whole document; with more it is refused
FIRST_BLOCK, LAST_BLOCK = 0x10, 0xFF  # of private elements (PS3.5 7.8.1)

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_NO_MODEL = "This is no document of the Native DICOM Model (PS3.19 A.1)."


@dataclass(slots=True)
class _Node:
    """One XML element with its text and what is inside it."""

    name: str
    names: dict[str, str]
    text: list[str] = field(default_factory=list)
    inside: "list[_Node]" = field(default_factory=list)


def parse(document: bytes) -> JsonDataset:
    """The Data Set that *document* describes.

    Raises InvalidRequest if it is not well-formed, InvalidDataSet if it is no Native DICOM Model.
    """
    root = _tree(document)
    if root.name != "NativeDicomModel":
        raise InvalidDataSet(_NO_MODEL)
    return _Builder().dataset(root)


def _tree(document: bytes) -> _Node:
    top = _Node("", {})
    stack = [top]

    def start(name: str, names: dict[str, str]) -> None:
        if len(stack) > MAX_DEPTH:
            raise InvalidDataSet(f"The XML is nested more than {MAX_DEPTH} deep.")
        node = _Node(name.rpartition(":")[2], names)
        stack[-1].inside.append(node)
        stack.append(node)

    def end(_name: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text.append(data)

    def doctype(*_: object) -> None:
        raise InvalidDataSet("A document type has no place in the Native DICOM Model.")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError, LookupError) as exc:  # the last two: of encodings
        raise InvalidRequest("The XML is not well-formed.") from exc
    return top.inside[0]


class _Builder:
    """Makes JSON of one document."""

    def __init__(self) -> None:
        self._gaps = 0

    def dataset(self, node: _Node) -> JsonDataset:
        """The attributes inside *node*, private ones in blocks of their own (PS3.19 table A.1.5-2)."""
        found: JsonDataset = {}
        private: dict[tuple[str, str], JsonDataset] = defaultdict(dict)
        for attribute in node.inside:
            if attribute.name != "DicomAttribute":
                raise InvalidDataSet(_NO_MODEL)
            tag, creator = attribute.names.get("tag", "").upper(), attribute.names.get("privateCreator", "")
            if creator and len(tag) == 8:
                private[tag[:4], creator][tag] = self._element(attribute)
            else:
                found[tag] = self._element(attribute)
        for (group, creator), elements in private.items():
            _reserve(found, group, creator, elements)
        return found

    def _element(self, node: _Node) -> dict[str, Any]:
        element: dict[str, Any] = {"vr": node.names.get("vr")}
        numbered: dict[int, Any] = {}
        for value in node.inside:
            match value.name:
                case "InlineBinary":
                    element["InlineBinary"] = "".join("".join(value.text).split())
                case "BulkData":
                    element["BulkDataURI"] = value.names.get("uri", "")
                case "Value" | "Item" | "PersonName":
                    numbered[_number(value, len(numbered) + 1)] = self._value(value)
                case _:
                    raise InvalidDataSet(_NO_MODEL)
        if numbered:
            element["Value"] = self._in_order(numbered)
        return element

    def _value(self, node: _Node) -> Any:
        if node.name == "Item":
            return self.dataset(node)
        return (_person_name(node) if node.name == "PersonName" else "".join(node.text)) or None

    def _in_order(self, numbered: dict[int, Any]) -> list[Any]:
        self._gaps += max(numbered) - len(numbered)
        if self._gaps > MAX_GAPS:
            raise InvalidDataSet(f"More than {MAX_GAPS} values are left out between others.")
        return [numbered.get(number) for number in range(1, max(numbered) + 1)]


def _number(node: _Node, default: int) -> int:
    text = node.names.get("number", str(default))
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text) > 0):
        raise InvalidDataSet("The number of a value must be a number from 1.")
    return int(text)


def _person_name(node: _Node) -> dict[str, str]:
    found = {}
    for group in node.inside:
        parts = {part.name: "".join(part.text) for part in group.inside}
        found[group.name] = "^".join(parts.get(component, "") for component in _COMPONENTS).rstrip("^")
    return {name: found[name] for name in _GROUPS if found.get(name)}


def _reserve(found: JsonDataset, group: str, creator: str, elements: JsonDataset) -> None:
    """Put the private *elements* of *creator* into the block that is its own, or into the first that is free.

    Those that name a block in their tag, against PS3.19, keep it.
    """
    named = {f"{group}00{tag[4:6]}" for tag in elements if tag[4:6] != "00"}
    for key in sorted(named):
        found.setdefault(key, {"vr": "LO", "Value": [creator]})
    found.update((tag, element) for tag, element in elements.items() if tag[4:6] != "00")
    unnamed = {tag[6:]: element for tag, element in elements.items() if tag[4:6] == "00"}
    if not unnamed:
        return
    blocks = [f"{number:02X}" for number in range(FIRST_BLOCK, LAST_BLOCK + 1)]
    own = [block for block in blocks if found.get(f"{group}00{block}", {}).get("Value") == [creator]]
    free = [block for block in blocks if f"{group}00{block}" not in found]
    if not own and not free:
        raise InvalidDataSet(f"Group {group} has no room for another private creator.")
    block = (own or free)[0]
    found[f"{group}00{block}"] = {"vr": "LO", "Value": [creator]}
    found.update((f"{group}{block}{element}", value) for element, value in unnamed.items())
