"""Query parameters that a resource does not know are ignored, and told, over real sockets: PS3.18 8.3."""

from collections.abc import Iterator

import pytest

from fixtures.builders import a_ct, uid
from fixtures.web import WebNode, web_node

CT = a_ct(StudyInstanceUID=uid("asked"), SeriesInstanceUID=uid("asked 1"))
STUDY = f"/studies/{CT.StudyInstanceUID}"
SERIES = f"{STUDY}/series/{CT.SeriesInstanceUID}"
INSTANCE = f"{SERIES}/instances/{CT.SOPInstanceUID}"
RETRIEVED = [
    *(f"{level}{of}" for level in (STUDY, SERIES, INSTANCE) for of in ("", "/metadata", "/rendered", "/thumbnail")),
    *(f"{STUDY}{of}" for of in ("/bulkdata", "/pixeldata")),
    *(f"{INSTANCE}{of}" for of in ("/frames/1", "/frames/1/rendered", "/bulkdata/7FE00010")),
]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    with web_node(tmp_path_factory.mktemp("parameters")) as node:
        assert node.store(CT).status_code == 200
        yield node


@pytest.mark.parametrize("path", RETRIEVED)
def test_what_a_resource_does_not_know_is_ignored_and_told(web: WebNode, path: str) -> None:
    plain, answer = web.get(path), web.get(f"{path}?anonymize=yes&Foo")
    assert (plain.status_code, answer.status_code) == (200, 200)
    assert "Warning" not in plain.headers
    assert answer.headers["Warning"].endswith('not known here and were ignored: Foo, anonymize."')
    assert web.request("HEAD", f"{path}?anonymize=yes").headers["Warning"].endswith(': anonymize."')


def test_what_a_resource_knows_is_not_told(web: WebNode) -> None:
    """PS3.18 8.3.3, 8.3.5"""
    assert "Warning" not in web.get(f"{INSTANCE}/rendered?quality=50&accept=image/jpeg&charset=utf-8").headers
    assert "Warning" not in web.get(f"{INSTANCE}/thumbnail?viewport=50,50").headers
    assert "Foo" not in web.get(f"{INSTANCE}/thumbnail?Foo=1&viewport=a").headers.get("Warning", "")


def test_many_are_told_in_few_words(web: WebNode) -> None:
    asked = "&".join(f"q{number:03}=1" for number in range(100))
    assert web.get(f"{INSTANCE}?{asked}").headers["Warning"].endswith('q019 and 80 more."')


def test_what_cannot_be_read_is_told_and_harms_nothing(web: WebNode) -> None:
    answer = web.get(f"{INSTANCE}?%ff%0d%0aX-Evil=%22,&&=&=1")
    assert answer.status_code == 200
    assert "X-Evil" not in answer.headers
    assert "Warning" in answer.headers
