"""Retrieve Capabilities (PS3.18 8.9): what is described is what is there, nothing less and nothing more."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
import requests

from fixtures.builders import a_ct, uid
from fixtures.node import close_archive, make_archive
from fixtures.web import WebNode, web_node
from relais.archive import Archive
from relais.web import capabilities
from relais.web.app import create_app
from relais.web.settings import WebSettings

WADL = "application/vnd.sun.wadl+xml"
NAMESPACE = "{http://wadl.dev.java.net/2009/02}"
STUDY = uid("described")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    with web_node(tmp_path_factory.mktemp("capabilities"), cors_origins=["https://viewer.example.org"]) as node:
        node.store(a_ct(StudyInstanceUID=STUDY, SeriesInstanceUID=uid("s"), SOPInstanceUID=uid("i")))
        yield node


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    made = make_archive(tmp_path_factory.mktemp("routes"))
    yield made
    close_archive(made)


def methods(resource: ElementTree.Element, above: str = "") -> Iterator[tuple[str, ElementTree.Element]]:
    """Every method below *resource*, with the path of its resource."""
    for child in resource.findall(f"{NAMESPACE}resource"):
        path = f"{above}/{child.get('path')}"
        yield from ((path, method) for method in child.findall(f"{NAMESPACE}method"))
        yield from methods(child, path)


def described(web: WebNode, path: str) -> list[tuple[str, ElementTree.Element]]:
    response = web.request("OPTIONS", path)
    assert (response.status_code, response.headers["Content-Type"]) == (200, WADL)
    (resources,) = ElementTree.fromstring(response.content).findall(f"{NAMESPACE}resources")
    assert resources.get("base") == web.service
    return list(methods(resources))


def test_every_route_is_described_and_every_description_is_a_route(web: WebNode, archive: Archive) -> None:
    """PS3.18 H: the very map that routes requests is what is described."""
    app = create_app(archive, WebSettings(), {})
    routed = {
        (re.sub(r"<(?:\w+:)?\w+>", "{}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/dicom-web/")
    }
    told = {(re.sub(r"\{\w+\}", "{}", f"/dicom-web{path}"), method.get("name")) for path, method in described(web, "/")}
    assert told == {(path, method) for path, method in routed if path != "/dicom-web/"}
    assert len(told) >= 25


def test_every_kind_of_resource_is_used(archive: Archive) -> None:
    used = {one.kind for one in capabilities.transactions(create_app(archive, WebSettings(), {}))}
    assert used <= set(capabilities.kinds())


@pytest.mark.parametrize("path", ["", "/", "/?"])
def test_the_base_is_asked_with_or_without_a_slash(web: WebNode, path: str) -> None:
    response = web.request("OPTIONS", path)
    assert response.status_code == 200
    assert "OPTIONS" in response.headers["Allow"]
    assert response.content == web.request("OPTIONS", "/").content


def test_a_resource_describes_itself_and_what_is_below_it(web: WebNode) -> None:
    found = described(web, f"/studies/{STUDY}/series")
    assert found[0][0] == "/studies/{StudyInstanceUID}/series"
    assert all(path.startswith("/studies/{StudyInstanceUID}/series") for path, _ in found)
    assert any(path.endswith("/frames/{FrameList}") for path, _ in found)


def test_json_is_made_for_those_who_ask_for_it(web: WebNode) -> None:
    response = web.request("OPTIONS", "/", "application/json")
    assert response.headers["Content-Type"] == "application/json"
    (resources,) = response.json()["application"]["resources"]
    assert {resource["path"] for resource in resources["resource"]} >= {"studies", "series", "instances"}
    assert web.request("OPTIONS", "/", "text/html").status_code == 406
    assert web.request("OPTIONS", "/?accept=application/json", "text/html").json() == response.json()


def test_what_a_described_search_makes_is_made(web: WebNode) -> None:
    """Every media type and every parameter without a value of its own is taken by the search that tells of it."""
    searches = [(path, method) for path, method in described(web, "/") if ".qido." in str(method.get("id"))]
    assert len(searches) == 7
    for path, method in searches:
        real = path.format(StudyInstanceUID=STUDY, SeriesInstanceUID=uid("s"))
        for representation in method.findall(f"{NAMESPACE}response/{NAMESPACE}representation"):
            media_type = representation.get("mediaType")
            assert web.get(real, media_type).headers["Content-Type"].startswith(str(media_type))
        asked = method.findall(f"{NAMESPACE}request/{NAMESPACE}param[@style='query']")
        names = [str(param.get("name")) for param in asked]
        assert {"limit", "offset", "includefield", "fuzzymatching", "PatientName"} <= set(names)
        assert web.get(f"{real}?" + "&".join(f"{name}=" for name in names if name[0].isupper())).status_code == 200


def test_a_preflight_gets_its_answer_and_no_description(web: WebNode) -> None:
    """clients.md 10."""
    response = requests.options(
        f"{web.service}/studies",
        headers={"Origin": "https://viewer.example.org", "Access-Control-Request-Method": "GET"},
        timeout=120,
    )
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "https://viewer.example.org"
    assert {"GET", "POST", "HEAD"} <= set(response.headers["Allow"].split(", "))
