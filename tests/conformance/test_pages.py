"""The pages in a real browser, over a node that was filled by C-STORE."""

import re
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fixtures.browser import PATIENCE_MS, Troubles, greys
from fixtures.builders import a_ct, part10
from fixtures.places import node_environ
from relais.archive import ingest
from relais.config import load
from relais.dicom.origin import Channel, Origin
from relais.node.inline import Node

STUDIES = 12


def open_study(page: Page, description: str) -> None:
    """Go to a study by the list and wait for its picture."""
    page.goto("/")
    page.locator(".study", has_text=description).locator(".cover").click()
    expect(page.locator("canvas[data-drawn]")).to_be_visible()


def picture(page: Page) -> bytes:
    """What is drawn; the words over it change after it does."""
    return page.locator("[data-picture]").screenshot()


def test_the_list_shows_every_sample_study_with_a_thumbnail(page: Page) -> None:
    page.goto("/")
    expect(page.locator(".study")).to_have_count(STUDIES)
    expect(page.get_by_role("heading", level=1)).to_have_text("12 studies")
    page.locator(".pager").scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    widths = page.eval_on_selector_all(".study img", "images => images.map(image => image.naturalWidth)")
    assert len(widths) == STUDIES
    assert min(widths) > 50
    assert greys(page.locator(".study", has_text="IRM CÉRÉBRALE").locator("img").screenshot()) > 40


def test_names_are_shown_in_their_own_script(page: Page) -> None:
    page.goto("/")
    for name in ("LECŒUR Maëlys", "Иваненко Ольга", "陈 美琳", "田中 由紀", "たなか ゆき"):
        expect(page.locator(".cover", has_text=name)).to_be_visible()


def test_search_finds_a_patient_without_accents(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Patient name").fill("helene lef")
    page.keyboard.press("Enter")
    expect(page.locator(".study")).to_have_count(1)
    expect(page.locator(".study")).to_contain_text("IRM CÉRÉBRALE")
    assert page.url.endswith("/?name=helene+lef")
    page.get_by_role("link", name="Clear all").click()
    expect(page.locator(".study")).to_have_count(STUDIES)


def test_chips_and_dates_search_at_once(page: Page) -> None:
    page.goto("/")
    page.locator(".chip", has_text="US").click()
    expect(page.locator(".study")).to_have_count(2)
    page.locator(".chip", has_text="XA").click()
    expect(page.locator(".study")).to_have_count(3)
    page.get_by_label("To", exact=True).fill("2024-02-01")
    expect(page.locator(".study")).to_have_count(1)


def test_a_date_can_be_typed_and_searches_when_it_is_whole(page: Page) -> None:
    page.goto("/")
    page.get_by_label("From", exact=True).focus()
    page.keyboard.type("01012024")  # the same day in either order
    expect(page.locator(".study")).to_have_count(8)
    assert page.url.endswith("/?date_from=2024-01-01")


def test_who_narrows_the_list_by_keyboard_stays_where_he_was(page: Page) -> None:
    page.goto("/")
    page.locator("input[value=US]").focus()
    page.keyboard.press("Space")
    expect(page.locator(".study")).to_have_count(2)
    expect(page.locator("input[value=US]")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator(".study")).to_have_count(STUDIES)


def test_a_study_page_shows_a_picture_and_its_attributes(page: Page) -> None:
    open_study(page, "TDM THORAX AVEC INJECTION")
    assert greys(picture(page)) > 100
    expect(page.locator("[data-count]")).to_have_text("20 / 40")
    expect(page.locator(".attributes tr", has_text="(0010,0010)")).to_contain_text("MOREAU^Isabelle")
    page.get_by_placeholder("Filter by name, tag or value").fill("window width")
    expect(page.locator(".attributes tr:visible")).to_have_count(2)
    expect(page.locator(".priors a")).to_have_count(2)


def test_presets_and_sliders_change_the_picture(page: Page) -> None:
    open_study(page, "TDM THORAX AVEC INJECTION")
    expect(page.locator("[data-overlay=br]")).to_contain_text("C 40  W 400")
    stored = picture(page)
    page.get_by_role("button", name="Lung").click()
    expect(page.locator("[data-overlay=br]")).to_contain_text("C -600  W 1500")
    lung = picture(page)
    assert lung != stored
    page.locator("[data-center]").fill("300")
    expect(page.locator("[data-overlay=br]")).to_contain_text("C 300")
    assert picture(page) not in (lung, stored)
    page.keyboard.press("0")
    expect(page.locator("[data-overlay=br]")).to_contain_text("as stored")
    assert picture(page) == stored


def test_wheel_keys_and_slider_go_through_the_images(page: Page) -> None:
    open_study(page, "TDM THORAX AVEC INJECTION")
    count = page.locator("[data-count]")
    page.locator("[data-screen]").hover()
    page.mouse.wheel(0, 120)
    expect(count).to_have_text("21 / 40")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("PageUp")
    expect(count).to_have_text("10 / 40")
    page.keyboard.press("End")
    expect(count).to_have_text("40 / 40")
    page.locator("[data-position]").fill("5")
    expect(count).to_have_text("5 / 40")
    expect(page.locator("[data-overlay=tl]")).to_contain_text("instance 5")


def test_dragging_over_the_picture_changes_the_window(page: Page) -> None:
    open_study(page, "TDM CEREBRALE URGENCE")
    expect(page.locator("[data-overlay=br]")).to_contain_text("C 38  W 80")
    box = page.locator("[data-screen]").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 130, y)
    page.mouse.up()
    expect(page.locator("[data-overlay=br]")).to_contain_text("C 38  W 120")


def test_a_loop_plays(page: Page) -> None:
    open_study(page, "ECHOCARDIOGRAPHIE")
    expect(page.locator("[data-count]")).to_have_text("8 / 16")
    page.locator("[data-play]").click()
    expect(page.locator("[data-count]")).not_to_have_text("8 / 16")
    page.locator("[data-play]").click()
    expect(page.locator("[data-play]")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(
    "description", ["TDM PERFUSION", "IRM ENCEPHALE", "CORONAROGRAPHIE", "THORAX FACE DEBOUT", "RADIOGRAPHIE DU THORAX"]
)
def test_every_kind_of_picture_is_shown(page: Page, description: str) -> None:
    open_study(page, description)
    assert greys(picture(page)) > 60


def test_a_report_is_shown_as_text(page: Page) -> None:
    open_study(page, "TDM THORAX AVEC INJECTION")
    page.locator(".series", has_text="Compte rendu").click()
    paper = page.locator("[data-paper]")
    expect(paper).to_contain_text("Nodule plein du lobe supérieur droit mesuré à 15 mm")
    expect(paper).to_contain_text("MARCHAND Sophie Dr")
    page.locator(".series", has_text="Mesures").click()
    expect(paper).to_contain_text("15 mm")
    expect(paper.locator("img")).to_be_visible()


def test_a_letter_is_shown_as_pdf(page: Page) -> None:
    open_study(page, "TDM THORAX AVEC INJECTION")
    page.locator(".series", has_text="Courrier").click()
    source = page.locator("[data-paper] object").get_attribute("data")
    assert source is not None
    answer = page.request.get(source)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.body().startswith(b"%PDF-1.4")


def test_the_study_page_leads_to_the_prior_and_back(page: Page) -> None:
    open_study(page, "TDM THORAX AVEC INJECTION")
    page.locator(".priors a", has_text="18 May 2021").click()
    expect(page.locator(".banner strong")).to_have_text("TDM THORAX SANS INJECTION")
    expect(page.locator("canvas[data-drawn]")).to_be_visible()
    expect(page.locator(".priors a")).to_have_count(2)


def test_the_node_page_says_how_to_reach_it_and_stays_current(page: Page) -> None:
    page.goto("/node")
    expect(page.locator(".tile", has_text="Studies")).to_contain_text("12")
    expect(page.locator(".command", has_text="dcmsend").locator("code")).to_have_text(
        re.compile(r"dcmsend -aec RELAIS \+sd \+r -nh 127\.0\.0\.1 \d+ FOLDER")
    )
    page.wait_for_load_state("networkidle")


def test_pages_are_light_or_dark_as_the_system_is(page: Page) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto("/node")
        page.wait_for_load_state("networkidle")
        shades[scheme] = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert shades == {"light": "rgb(244, 246, 248)", "dark": "rgb(13, 18, 22)"}


@pytest.mark.parametrize("path", ["/", "/node", "/nowhere"])
def test_nothing_is_wider_than_a_telephone(browser: Browser, sampled_node: str, path: str) -> None:
    context = browser.new_context(base_url=sampled_node, viewport={"width": 390, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_long_names_and_numbers_stay_within_a_telephone(browser: Browser, tmp_path: Path) -> None:
    long = {"PatientName": f"{'LANGENBURG' * 6}^Maximiliana", "PatientID": "L" * 60, "StudyDescription": "D" * 60}
    (tmp_path / "empty.toml").touch()
    with Node(load(tmp_path / "empty.toml", node_environ(tmp_path / "data")).config) as node:
        ds = a_ct(**long, SeriesDescription="S" * 60, AccessionNumber="A" * 16)
        ingest.store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
        context = browser.new_context(base_url=node.url, viewport={"width": 390, "height": 800})
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        for path in ("/", f"/studies/{ds.StudyInstanceUID}"):
            page.goto(path)
            expect(page.locator("h1")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        context.close()


def test_list_and_study_work_without_scripts(browser: Browser, sampled_node: str) -> None:
    context = browser.new_context(base_url=sampled_node, java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Description").fill("perfusion")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".study")).to_have_count(1)
    page.locator(".cover").click()
    expect(page.locator(".banner")).to_contain_text("INCONNU 07")
    context.close()


def test_an_empty_node_shows_its_first_study_by_itself(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").touch()
    with Node(load(tmp_path / "empty.toml", node_environ(tmp_path / "data")).config) as node:
        page, troubles = browser.new_page(), Troubles()
        page.set_default_timeout(PATIENCE_MS)
        troubles.watch(page, node.url)
        page.goto(node.url)
        expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for the first study")
        ingest.store_part10(node.archive, BytesIO(part10(a_ct())), Origin(Channel.IMPORT))
        expect(page.locator(".study")).to_have_count(1)
        expect(page.locator(".study img")).to_have_js_property("complete", True)
        page.close()
    assert troubles.found == []
