"""Pages of other origins, in Chromium: they read where they may, and store only where that is allowed (Fetch 4.8)."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page

from fixtures.browser import PATIENCE_MS
from fixtures.builders import a_ct, part10
from fixtures.elsewhere import site
from fixtures.web import WebNode, web_node

VIEWER = "https://viewer.example.org"
CT = a_ct()
ASK = """async ([url, method, encoded]) => {
    const body = encoded && Uint8Array.from(atob(encoded), one => one.charCodeAt(0));
    const headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"};
    try {
        return (await fetch(url, {method, headers, body: body || undefined})).status;
    } catch (error) {
        return 0;
    }
}"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a page lives that is not the node's."""
    with site({"/": b"<!doctype html><title>A viewer</title>"}, tmp_path_factory.mktemp("site")) as base:
        yield base


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    made = context.new_page()
    made.goto(f"{origin}/")
    yield made
    context.close()


def ask(page: Page, node: WebNode, method: str, path: str, body: bytes = b"") -> int:
    """The status that *page* sees, 0 if its browser shows it none."""
    return int(page.evaluate(ASK, [node.service + path, method, base64.b64encode(body).decode()]))


def search(page: Page, node: WebNode) -> int:
    """It says what type its content has, as some clients do though there is none: that may be remembered."""
    return ask(page, node, "GET", "/studies")


def store(page: Page, node: WebNode) -> int:
    return ask(page, node, "POST", "/studies", part10(CT))


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "any"])
def test_a_page_that_may_read_stores_nothing(page: Page, origin: str, tmp_path: Path, is_named: bool) -> None:
    with web_node(tmp_path, cors_origins=[origin if is_named else "*"]) as node:
        assert store(page, node) == 0
        assert search(page, node) in (200, 204)
        assert store(page, node) in (0, 403)
        assert ask(page, node, "DELETE", f"/studies/{CT.StudyInstanceUID}") == 0
        assert node.kept == []


def test_a_page_that_may_store_stores(page: Page, origin: str, tmp_path: Path) -> None:
    with web_node(tmp_path, cors_origins=[origin], cors_may_store=True) as node:
        assert store(page, node) == 200
        assert search(page, node) == 200
        assert ask(page, node, "DELETE", f"/studies/{CT.StudyInstanceUID}") == 0
        assert len(node.kept) == 1


def test_a_page_that_may_not_read_does_neither(page: Page, tmp_path: Path) -> None:
    with web_node(tmp_path, cors_origins=[VIEWER], cors_may_store=True) as node:
        assert (search(page, node), store(page, node)) == (0, 0)
        assert node.kept == []


def test_what_a_browser_sends_without_asking_first_is_refused(tmp_path: Path) -> None:
    """A POST needs no method that was granted, and a type of content may be remembered from a preflight for GET."""
    with web_node(tmp_path, cors_origins=[VIEWER]) as node:
        refused = node.post(part10(CT), "application/dicom", Origin=VIEWER)
        assert refused.status_code == 403
        assert node.kept == []
        assert node.post(part10(CT), "application/dicom", Origin=node.base).status_code == 200  # a page of its own


@pytest.mark.parametrize("may_store", [False, True])
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_a_preflight_grants_what_pages_may(tmp_path: Path, method: str, may_store: bool) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
    with web_node(tmp_path, cors_origins=[VIEWER], cors_may_store=may_store) as node:
        answer = requests.options(f"{node.service}/studies", headers={"Origin": VIEWER, **asked}, timeout=120)
        is_granted = method == "POST" and may_store
        assert ("Access-Control-Allow-Origin" in answer.headers) is is_granted
        assert ("POST" in answer.headers.get("Access-Control-Allow-Methods", "")) is is_granted
