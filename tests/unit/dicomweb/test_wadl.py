"""PS3.18 H: the tree of resources as XML and as JSON."""

from typing import Any
from xml.etree import ElementTree

import pytest

from relais.dicomweb import wadl
from relais.dicomweb.wadl import Method, Parameter, Resource

BASE = "http://node/dicom-web"


@pytest.fixture
def root() -> wadl.Element:
    tree = Resource("")
    parameters = (Parameter("fuzzymatching", options=("true", "false"), default="false"), Parameter("limit"))
    tree.at(["studies"]).methods.append(
        Method("GET", "search", 'All "studies" & more.', parameters, makes=("a/b", "c/d"))
    )
    tree.at(["studies", "{StudyInstanceUID}"]).methods.append(
        Method("POST", "store", "Store.", takes=("application/dicom",), statuses=(200, 202), failures=(400, 409))
    )
    return wadl.document(BASE, tree.children.values())


def elements(root: wadl.Element, path: str) -> list[ElementTree.Element]:
    steps = "/".join(f"{{{wadl.NAMESPACE}}}{step}" for step in path.split("/"))
    return ElementTree.fromstring(wadl.as_xml(root)).findall(steps)


def test_an_application_holds_one_element_of_resources_with_the_base(root: wadl.Element) -> None:
    assert ElementTree.fromstring(wadl.as_xml(root)).tag == f"{{{wadl.NAMESPACE}}}application"
    assert [element.get("base") for element in elements(root, "resources")] == [BASE]


def test_resources_lie_in_each_other_as_segments_do(root: wadl.Element) -> None:
    assert [element.get("path") for element in elements(root, "resources/resource")] == ["studies"]
    (below,) = elements(root, "resources/resource/resource")
    assert below.get("path") == "{StudyInstanceUID}"
    (template,) = elements(root, "resources/resource/resource/param")
    assert (template.get("name"), template.get("style")) == ("StudyInstanceUID", "template")


def test_a_method_says_what_it_takes_makes_and_answers(root: wadl.Element) -> None:
    method = "resources/resource/method"
    assert [element.get("title") for element in elements(root, f"{method}/doc")] == ['All "studies" & more.']
    names = [element.get("name") for element in elements(root, f"{method}/request/param")]
    assert names == ["Accept", "fuzzymatching", "limit"]
    options = [element.get("value") for element in elements(root, f"{method}/request/param/option")]
    assert options == ["a/b", "c/d", "true", "false"]
    made = [element.get("mediaType") for element in elements(root, f"{method}/response/representation")]
    assert made == ["a/b", "c/d"]
    method = "resources/resource/resource/method"
    taken = [element.get("mediaType") for element in elements(root, f"{method}/request/representation")]
    assert taken == ["application/dicom"]
    assert [element.get("status") for element in elements(root, f"{method}/response")] == ["200 202", "400 409"]


def test_json_says_the_same_as_xml(root: wadl.Element) -> None:
    def same(element: ElementTree.Element) -> dict[str, Any]:
        found: dict[str, Any] = dict(element.attrib)
        for child in element:
            found.setdefault(child.tag.rpartition("}")[2], []).append(same(child))
        return found

    assert wadl.as_json(root) == {"application": same(ElementTree.fromstring(wadl.as_xml(root)))}
