"""OHIF from npm, served by the node under /viewer/, in a real browser: images appear and no request fails."""

import shutil
import time

import pytest
from playwright.sync_api import Page, expect

from fixtures.browser import greys
from relais.ui import viewer

IMAGE_TIMEOUT_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def installed_viewer() -> None:
    """The viewer where the node looks for it; fetched if it is not there and npm is."""
    folder = viewer.default_folder()
    if not viewer.installed(folder) and shutil.which("npm"):
        viewer.main([])
    if not viewer.installed(folder):
        pytest.skip("The OHIF viewer is not installed and could not be fetched: these tests need npm.")


def study_instance_uid(page: Page, description: str) -> str:
    found = page.request.get("/dicom-web/studies", params={"StudyDescription": description}).json()
    return str(found[0]["0020000D"]["Value"][0])


def wait_for_picture(page: Page) -> None:
    """Until the first viewport shows more than black."""
    canvas = page.locator(".cornerstone-canvas").first
    expect(canvas).to_be_visible(timeout=IMAGE_TIMEOUT_S * 1000)
    deadline = time.monotonic() + IMAGE_TIMEOUT_S
    while greys(canvas.screenshot()) < 60:
        assert time.monotonic() < deadline, "the canvas stays blank"
        page.wait_for_timeout(250)


@pytest.mark.parametrize("description", ["TDM THORAX AVEC INJECTION", "TDM THORAX CONTROLE", "ECHOCARDIOGRAPHIE"])
def test_a_study_opens_with_a_picture(page: Page, description: str) -> None:
    """Native, JPEG 2000, JPEG in colour; `page` fails the test if any request does."""
    page.goto(f"/viewer/viewer?StudyInstanceUIDs={study_instance_uid(page, description)}")
    wait_for_picture(page)
    page.wait_for_load_state("networkidle")


def test_open_in_ohif_leads_from_the_study_page_to_the_study(page: Page) -> None:
    page.goto("/")
    page.locator(".study", has_text="CEREBRALE URGENCE").locator(".cover").click()
    page.get_by_role("link", name="Open in OHIF").click()
    wait_for_picture(page)
    expect(page.get_by_text("TDM CEREBRALE URGENCE").first).to_be_visible()
    page.wait_for_load_state("networkidle")


def test_its_own_study_list_shows_what_the_node_holds(page: Page) -> None:
    page.goto("/viewer/")
    for name in ("MOREAU, Isabelle", "LECŒUR, Maëlys", "Иваненко, Ольга"):
        expect(page.get_by_text(name).first).to_be_visible(timeout=IMAGE_TIMEOUT_S * 1000)
    page.wait_for_load_state("networkidle")
