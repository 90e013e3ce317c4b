"""Data Sets out of XML: the Native DICOM Model (PS3.19 A.1) made into the DICOM JSON model. Knows text, not messages.

What a value may be is decided by dicom.json_model: here all stay the texts that they are. A document type is refused,
and with it every entity that somebody might have declared.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from relais.dicom.json_model import JsonDataset
from relais.dicom.json_values import Element
from relais.errors import InvalidDataSet, InvalidRequest, TooLarge

MAX_ELEMENTS = 150_000  # of a document, and backslashes in it, which takes some 100 MB; a larger one is refused
MAX_NAMES = 1000  # different ones of elements and their attributes; the Native DICOM Model has 25
MAX_TAG_BYTES = 128 * 1024  # from `<` to `>`; a document with a longer one is refused
MAX_DEPTH = 200  # elements inside one another; a deeper document is refused
MAX_GAPS = 10_000  # values left out between numbers, in the whole document; with more it is refused
FIRST_BLOCK, LAST_BLOCK = 0x10, 0xFF  # of private elements (PS3.5 7.8.1)

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_ELEMENTS = frozenset(
    {"NativeDicomModel", "DicomAttribute", "Value", "Item", "PersonName", "InlineBinary", "BulkData"}
    | {*_GROUPS, *_COMPONENTS}
)
_PRIVATE = re.compile(r"[0-9A-F]{3}[13579BDF][0-9A-F]{4}")  # tags of odd groups (PS3.5 7.8)
_USED = ("tag", "vr", "privateCreator", "number", "uri")  # of the attributes of elements
_PIECE_BYTES = 64 * 1024  # parsed at a time
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

    Raises InvalidRequest if it is not well-formed, InvalidDataSet if it is no Native DICOM Model, TooLarge if it has
    more than MAX_ELEMENTS.
    """
    root = _tree(document)
    if root.name != "NativeDicomModel":
        raise InvalidDataSet(_NO_MODEL)
    return _Builder().dataset(root)


def _tree(document: bytes) -> _Node:
    tree = _Tree()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = tree.start, tree.end, tree.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        for at in range(0, len(document), _PIECE_BYTES):
            parser.Parse(document[at : at + _PIECE_BYTES], False)
            if at - parser.CurrentByteIndex > MAX_TAG_BYTES:  # it waits for the end of what began there
                raise InvalidDataSet(f"The XML has a tag of more than {MAX_TAG_BYTES} bytes.")
            if len(parser.intern) > MAX_NAMES:
                raise InvalidDataSet(_NO_MODEL)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as exc:  # the last two: of encodings
        raise InvalidRequest("The XML is not well-formed.") from exc
    return tree.root


class _Tree:
    """What a parser finds, as nodes; what has no place in the Native DICOM Model is refused as soon as it is seen."""

    def __init__(self) -> None:
        self._top = _Node("", {})
        self._stack = [self._top]
        self._left = MAX_ELEMENTS

    @property
    def root(self) -> _Node:
        return self._top.inside[0]

    def start(self, name: str, names: dict[str, str]) -> None:
        if len(self._stack) > MAX_DEPTH:
            raise InvalidDataSet(f"The XML is nested more than {MAX_DEPTH} deep.")
        name = name.rpartition(":")[2]
        if name not in _ELEMENTS:
            raise InvalidDataSet(_NO_MODEL)
        self._spend(1)
        node = _Node(name, {key: names[key] for key in _USED if key in names})
        self._stack[-1].inside.append(node)
        self._stack.append(node)

    def end(self, _name: str) -> None:
        self._stack.pop()

    def text(self, data: str) -> None:
        self._spend(data.count("\\"))  # numbers and names may come as one text of many values
        self._stack[-1].text.append(data)

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise TooLarge(f"The metadata of an instance may have at most {MAX_ELEMENTS} XML elements and values.")


def _refuse_doctype(*_: object) -> None:
    raise InvalidDataSet("A document type has no place in the Native DICOM Model.")


class _Builder:
    """Makes JSON of one document."""

    def __init__(self) -> None:
        self._gaps = 0

    def dataset(self, node: _Node) -> JsonDataset:
        """The attributes inside *node*, private ones in blocks of their own (PS3.19 table A.1.5-2)."""
        found: JsonDataset = {}
        named: dict[str, str] = {}  # blocks that tags name themselves, against PS3.19, and their creators
        private: dict[tuple[str, str], list[tuple[str, Element]]] = defaultdict(list)
        for attribute in node.inside:
            if attribute.name != "DicomAttribute":
                raise InvalidDataSet(_NO_MODEL)
            tag, element = attribute.names.get("tag", "").upper(), self._element(attribute)
            creator = attribute.names.get("privateCreator", "") if _PRIVATE.fullmatch(tag) else ""
            if creator and tag[4:6] == "00":
                private[tag[:4], creator].append((tag[6:], element))
            else:
                _put(found, tag, element)
                if creator:
                    named[f"{tag[:4]}00{tag[4:6]}"] = creator
        for key, creator in named.items():
            found.setdefault(key, _creator(creator))
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


def _put(found: JsonDataset, tag: str, element: Element) -> None:
    """Raises InvalidDataSet for an attribute that is there already: one of two values would be lost."""
    if tag in found:
        raise InvalidDataSet(f"{ascii(tag)[:80]} is given twice.")
    found[tag] = element


def _creator(name: str) -> Element:
    return {"vr": "LO", "Value": [name]}


def _reserve(found: JsonDataset, group: str, creator: str, elements: list[tuple[str, Element]]) -> None:
    """Put the private *elements* of *creator* into the blocks that are its own, or into the first that are free."""
    blocks = [f"{number:02X}" for number in range(FIRST_BLOCK, LAST_BLOCK + 1)]
    own = [block for block in blocks if found.get(f"{group}00{block}", {}).get("Value", [])[:1] == [creator]]
    taken = {tag[6:] if tag[4:6] == "00" else tag[4:6] for tag in found if tag[:4] == group}  # some name no creator
    free = [block for block in blocks if block not in taken]
    runs = _runs(elements, len(own))
    if len(runs) > len(own + free):
        raise InvalidDataSet(f"Group {group} has no room for another private creator.")
    for block, run in zip(own + free, runs, strict=False):
        found.setdefault(f"{group}00{block}", _creator(creator))
        for number, element in run.items():
            _put(found, f"{group}{block}{number}", element)


def _runs(elements: list[tuple[str, Element]], blocks: int) -> list[dict[str, Element]]:
    """*elements* of one private creator, cut where its next block begins, as XML tells no numbers of blocks.

    It begins with a number that the last one has already. A creator may have several blocks (PS3.5 7.8.1): of so many
    as it names, *blocks*, the next one begins where the numbers do not go up, too.
    """
    runs: list[dict[str, Element]] = [{}]
    last = ""
    for number, element in elements:
        if number in runs[-1] or (number < last and len(runs) < blocks):
            runs.append({})
        runs[-1][number] = element
        last = number
    return runs
