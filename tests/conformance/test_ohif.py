"""OHIF from npm, served by the node under /viewer/, in a real browser: the samples appear and no request fails."""

import pytest
from playwright.sync_api import Page, expect

from fixtures import ohif

CHEST = "TDM THORAX AVEC INJECTION"


@pytest.fixture(scope="module", autouse=True)
def installed_viewer() -> None:
    ohif.need_viewer()


def study_instance_uid(page: Page, description: str) -> str:
    found = page.request.get("/dicom-web/studies", params={"StudyDescription": description}).json()
    return str(found[0]["0020000D"]["Value"][0])


def show(page: Page, description: str) -> None:
    page.goto(ohif.address(study_instance_uid(page, description)))
    ohif.wait_for_picture(page)


@pytest.mark.parametrize(
    "description",
    [
        CHEST,
        "TDM THORAX CONTROLE",
        "IRM CÉRÉBRALE",
        "IRM ENCEPHALE T2",
        "TDM PERFUSION CEREBRALE",
        "ECHOCARDIOGRAPHIE",
        "CORONAROGRAPHIE",
        "THORAX FACE DEBOUT",
    ],
)
def test_a_study_opens_with_a_picture(page: Page, description: str) -> None:
    """CT, native and JPEG 2000; MR; enhanced MR; palette, deflated; loops in colour and grey; MONOCHROME1."""
    show(page, description)
    page.wait_for_load_state("networkidle")


def test_open_in_ohif_leads_from_the_study_page_to_the_study(page: Page) -> None:
    page.goto("/")
    page.locator(".study", has_text="CEREBRALE URGENCE").locator(".cover").click()
    page.get_by_role("link", name="Open in OHIF").click()
    ohif.wait_for_picture(page)
    expect(page.get_by_text("TDM CEREBRALE URGENCE").first).to_be_visible()
    page.wait_for_load_state("networkidle")


def test_its_own_study_list_shows_what_the_node_holds_and_opens_it(page: Page) -> None:
    page.goto("/viewer/")
    for name in ("MOREAU, Isabelle", "LECŒUR, Maëlys", "Иваненко, Ольга"):
        expect(page.get_by_text(name).first).to_be_visible(timeout=ohif.WAIT_S * 1000)
    page.get_by_text("Иваненко, Ольга").first.click()
    expect(page.locator("[data-cy=study-browser-thumbnail] img")).to_be_visible(timeout=ohif.WAIT_S * 1000)
    page.get_by_role("button", name="Basic Viewer").click()
    ohif.wait_for_picture(page)
    page.wait_for_load_state("networkidle")


def test_documents_and_reports_can_be_read(page: Page) -> None:
    """An encapsulated PDF, a report in text, and measurements, which lead to their slice."""
    show(page, CHEST)
    ohif.agree(page)
    ohif.open_series(page, "Courrier")
    document = page.locator("object[type='application/pdf']")
    expect(document).to_be_visible(timeout=ohif.WAIT_S * 1000)
    pdf = page.request.get(str(document.get_attribute("data")))
    assert (pdf.headers["content-type"], pdf.body()[:5]) == ("application/pdf", b"%PDF-")
    ohif.open_series(page, "Compte rendu")
    expect(page.get_by_text("Surveillance d'un nodule du lobe supérieur droit")).to_be_visible(
        timeout=ohif.WAIT_S * 1000
    )
    ohif.open_series(page, "Mesures")
    expect(page.get_by_text("I:16 (16/40)")).to_be_visible(timeout=ohif.WAIT_S * 1000)
    ohif.wait_for_picture(page)
    page.wait_for_load_state("networkidle")
