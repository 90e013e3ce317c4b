"""Routes that are remembered by the shape of a path are those that Werkzeug finds."""

import pytest
from flask import Request
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.test import create_environ

from relais.web.app import routed
from relais.web.routing import Adapter, Known

UIDS = ("1.2.3", "2.25.4")
NUMBERS = ("7", "12", "1,2,3")


@pytest.fixture
def routes() -> Map:
    return routed().url_map


def adapter(routes: Map, path: str, known: Known, method: str = "GET") -> Adapter:
    return Adapter(routes, Request(create_environ(path, method=method)), known)


def paths(rule: Rule) -> list[str]:
    """Three paths of *rule*, with other numbers each, and one with words."""
    fillings = [*((f"{uid}.{place}" for place in range(9)) for uid in UIDS), iter(NUMBERS * 3), iter("abcdefghi")]
    return [_filled(rule, list(filling)) for filling in fillings]


def _filled(rule: Rule, values: list[str]) -> str:
    names = sorted(rule.arguments)
    path = rule.rule
    for name, value in zip(names, values, strict=False):
        path = path.replace(f"<{name}>", value).replace(f"<path:{name}>", value)
    return path


def test_every_path_takes_the_route_that_werkzeug_finds_however_often_it_is_asked_for(routes: Map) -> None:
    known: Known = {}
    for _ in range(2):
        for rule in routes.iter_rules():
            for path in paths(rule):
                for method in rule.methods or ():
                    plain = routes.bind("", path_info=path, default_method=method).match(return_rule=True)
                    assert adapter(routes, path, known, method).match(return_rule=True) == plain
    assert known


def test_what_is_remembered_is_no_more_than_there_are_routes_and_methods(routes: Map) -> None:
    known: Known = {}
    for number in range(200):
        for path in (f"/dicom-web/studies/{number}", f"/dicom-web/studies/x{number}", f"/dicom-web/studies/{number}/"):
            adapter(routes, path, known).match(return_rule=True)
    assert len(known) == 2


@pytest.mark.parametrize(
    "path", ["/dicom-web/nothing/1.2", "/dicom-web/studies/1.2/nothing", "/1.2", "/dicom-web//studies"]
)
def test_a_path_without_a_route_is_not_found_and_not_remembered(routes: Map, path: str) -> None:
    known: Known = {}
    for _ in range(2):
        with pytest.raises(NotFound):
            adapter(routes, path, known).match(return_rule=True)
    assert not known


def test_a_method_without_a_route_is_refused_where_another_is_remembered(routes: Map) -> None:
    known: Known = {}
    path = "/dicom-web/studies/1.2/metadata"
    adapter(routes, path, known).match(return_rule=True)
    with pytest.raises(MethodNotAllowed):
        adapter(routes, path, known, "PUT").match(return_rule=True)


def test_a_path_with_slashes_in_its_last_part_keeps_them(routes: Map) -> None:
    known: Known = {}
    instance = "/dicom-web/studies/1.2/series/1.3/instances/1.4/bulkdata"
    for last in ("00420011", "00409096/1/00420011", "7"):
        _, values = adapter(routes, f"{instance}/{last}", known).match(return_rule=True)
        assert values["path"] == last
