"""One node with the samples and one browser for all tests that look at pages; one node and its peer for retrieving.

And whether what was refused over HTTP has left anything, for those that store.
"""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from fixtures.browser import PATIENCE_MS, Troubles, chromium, served
from fixtures.retrieving import Shared, shared_node
from fixtures.web import WebNode
from relais.index import statistics

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def sampled_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a node that holds the samples."""
    with served(tmp_path_factory.mktemp("node")) as base:
        yield base


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, sampled_node: str) -> Iterator[Page]:
    """A page on which nothing may go wrong; addresses are relative to the node."""
    context = browser.new_context(base_url=sampled_node, viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    made, troubles = context.new_page(), Troubles()
    troubles.watch(made, sampled_node)
    yield made
    context.close()
    assert troubles.found == []


@pytest.fixture(scope="module")
def retrieving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with shared_node(tmp_path_factory.mktemp("shared")) as shared:
        yield shared


@pytest.fixture
def shared(retrieving: Shared) -> Shared:
    """A node that is only asked, with an empty inbox at its peer."""
    retrieving.inbox.received.clear()
    return retrieving


@pytest.fixture
def nothing_is_left(web: WebNode) -> Iterator[Callable[[], None]]:
    """A check that neither a file nor a row was added since the test began."""
    before = (web.kept, statistics.statistics(web.archive.db).instances)

    def check() -> None:
        assert (web.kept, statistics.statistics(web.archive.db).instances) == before

    yield check
