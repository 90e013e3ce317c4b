"""The metadata of every real file: JSON by the table of VRs, XML that says the same. PS3.18 F.2, F.3; PS3.19 A.1."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fixtures.real_files import RealFile, rounds
from fixtures.web import WebNode, parts_of, web_node

JSON, XML = "application/dicom+json", 'multipart/related; type="application/dicom+xml"'
NS = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
TABLE = json.loads((Path(__file__).parent / "data/ps3_18_f_2_3_1.json").read_text())
KINDS = {vr: kind for kind, vrs in TABLE.items() for vr in vrs}
FILES = {file.name: file for file in rounds()[0]}

Model = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    with web_node(tmp_path_factory.mktemp("models")) as node:
        for at in range(0, len(FILES), 20):
            files = [file.path.read_bytes() for file in list(FILES.values())[at : at + 20]]
            assert node.store(*files).status_code == 200
        yield node


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest) -> RealFile:
    return FILES[request.param]


def metadata(file: RealFile) -> str:
    uids = file.study_instance_uid, file.series_instance_uid, file.sop_instance_uid
    return "/studies/{}/series/{}/instances/{}/metadata".format(*uids)


def test_every_value_has_the_type_of_its_vr(web: WebNode, file: RealFile) -> None:
    """PS3.18 table F.2.3-1, F.2.2 (order), F.2.5 (empty values)"""
    (model,) = web.get(metadata(file), JSON).json()
    check(model)


def test_xml_says_the_same_as_json(web: WebNode, file: RealFile) -> None:
    """PS3.18 table F.3.1-1"""
    (model,) = web.get(metadata(file), JSON).json()
    ((_, document),) = parts_of(web.get(metadata(file), XML))
    root = ElementTree.fromstring(document)
    assert root.tag == f"{NS}NativeDicomModel"
    assert public(from_xml(root)) == public({tag: as_in_xml(attribute) for tag, attribute in model.items()})


def public(model: Model) -> Model:
    """Without private attributes, whose tags have another form in XML (PS3.19 table A.1.5-2)."""
    found = {tag: attribute for tag, attribute in model.items() if int(tag[:4], 16) % 2 == 0}
    for tag, attribute in found.items():
        if attribute["vr"] == "SQ" and "Value" in attribute:
            found[tag] = {**attribute, "Value": [public(item) for item in attribute["Value"]]}
    return found


def check(model: Model) -> None:
    """Fails unless *model* is as PS3.18 F.2 wants it, down to its last item."""
    assert list(model) == sorted(model)
    for tag, attribute in model.items():
        assert len(tag) == 8
        assert not tag.endswith("0000")
        assert len(attribute.keys() - {"vr"}) <= 1, "one of Value, BulkDataURI and InlineBinary"
        for value in attribute.get("Value", ()):
            assert value is None or IS_RIGHT[KINDS[attribute["vr"]]](value), (tag, attribute)
        if "InlineBinary" in attribute:
            assert KINDS[attribute["vr"]] == "Base64"
            base64.b64decode(attribute["InlineBinary"], validate=True)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_name(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() <= {"Alphabetic", "Ideographic", "Phonetic"}


def is_item(value: Any) -> bool:
    check(value)
    return True


IS_RIGHT = {
    "String": lambda value: isinstance(value, str),
    "Number": is_number,
    "Number or String": lambda value: is_number(value) or isinstance(value, str),
    "Base64": lambda value: False,
    "Person Name": is_name,
    "Items": is_item,
}


def from_xml(element: ElementTree.Element) -> Model:
    """A Data Set or an item of the Native DICOM Model, in the shape of the JSON one; every number as text."""
    found: Model = {}
    for attribute in element:
        assert attribute.tag == f"{NS}DicomAttribute"
        found[str(attribute.get("tag"))] = {"vr": attribute.get("vr"), **_content(attribute)}
    return found


def _content(attribute: ElementTree.Element) -> dict[str, Any]:
    bulk, inline = attribute.find(f"{NS}BulkData"), attribute.find(f"{NS}InlineBinary")
    if bulk is not None:
        return {"BulkDataURI": bulk.get("uri")}
    if inline is not None:
        return {"InlineBinary": inline.text}
    assert [one.get("number") for one in attribute] == [str(number) for number in range(1, len(attribute) + 1)]
    return {"Value": [_value(one) for one in attribute]} if len(attribute) else {}


def _value(element: ElementTree.Element) -> Any:
    kind = element.tag.removeprefix(NS)
    if kind == "Item":
        return from_xml(element)
    if kind == "PersonName":
        return {group.tag.removeprefix(NS): _name(group) for group in element} or None
    return element.text


def _name(group: ElementTree.Element) -> str:
    texts = {part.tag.removeprefix(NS): part.text or "" for part in group}
    return "^".join(texts.get(component, "") for component in COMPONENTS).rstrip("^")


def as_in_xml(attribute: dict[str, Any]) -> dict[str, Any]:
    """An attribute in JSON as far as XML can tell it: numbers as text, names without what is empty at their end."""
    if "Value" not in attribute:
        return attribute
    return {**attribute, "Value": [_as_in_xml(value) for value in attribute["Value"]]}


def _as_in_xml(value: Any) -> Any:
    if isinstance(value, dict):
        if value and all(isinstance(one, dict) for one in value.values()):
            return {tag: as_in_xml(attribute) for tag, attribute in value.items()}
        return {group: text.rstrip("^") for group, text in value.items()}
    return value if value is None or isinstance(value, str) else str(value)
