"""The study page in a real browser, over reports and images that are not as usual."""

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from pydicom import Dataset, FileDataset
from pydicom.uid import EncapsulatedCDAStorage

from fixtures.browser import PATIENCE_MS, Troubles
from fixtures.builders import a_code, a_ct, a_multiframe, a_pdf, a_sr, part10, uid
from fixtures.places import node_environ
from relais.archive import ingest
from relais.config import load
from relais.dicom.origin import Channel, Origin
from relais.node.inline import Node

STUDY = uid("the study of the study page")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
LEVELS = 31


def an_item(
    value_type: str, concept: str, *children: Dataset, relation: str = "CONTAINS", **attributes: Any
) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ConceptNameCodeSequence = relation, [a_code("1", "99T", concept)]
    if value_type:
        item.ValueType = value_type
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    if children:
        item.ContentSequence = list(children)
    return item


def a_reference(ds: Dataset, *frames: int) -> list[Dataset]:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    if frames:
        reference.ReferencedFrameNumber = list(frames)
    return [reference]


def evidence(ds: Dataset) -> list[Dataset]:
    study, series = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = ds.SeriesInstanceUID, a_reference(ds)
    study.StudyInstanceUID, study.ReferencedSeriesSequence = ds.StudyInstanceUID, [series]
    return [study]


def in_series(make: Callable[..., FileDataset], number: int, name: str, **attributes: Any) -> FileDataset:
    shared = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": uid(f"study page {name}")}
    return make(**shared, SeriesNumber=number, SeriesDescription=name, **attributes)


def an_enhanced(windows: list[int]) -> FileDataset:
    """A frame for each of *windows*, which are 60 wide and stored for each frame by itself."""
    ds = in_series(a_multiframe, 2, "frames", frames=len(windows))
    ds.PerFrameFunctionalGroupsSequence = []
    for center in windows:
        voi, group = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 60
        group.FrameVOILUTSequence = [voi]
        ds.PerFrameFunctionalGroupsSequence.append(group)
    return ds


def a_ramp(number: int, name: str, **attributes: Any) -> FileDataset:
    """Values from 0 to 1023, without a window."""
    ds = in_series(a_ct, number, name, **{"WindowCenter": None, "WindowWidth": None, **attributes})
    ds.PixelData = np.arange(32 * 32, dtype="<u2").tobytes()
    return ds


CT = in_series(a_ct, 1, "slice", InstanceNumber=None)
FRAMES = an_enhanced([10, 20, 30])
RANGE = a_ramp(3, "no window")
SMALL = a_ramp(4, "small", RescaleIntercept=0, RescaleSlope="0.0005")
FALSE = a_multiframe(NumberOfFrames=2_000_000_000)
TABLE = a_ramp(8, "table", RescaleIntercept=0)
TABLE.VOILUTSequence = [Dataset()]
TABLE.VOILUTSequence[0].LUTDescriptor = [256, 100, 8]
TABLE.VOILUTSequence[0].add_new("LUTData", "OW", np.arange(256, dtype="<u2").tobytes())
CDA = in_series(a_pdf, 6, "cda", SOPClassUID=EncapsulatedCDAStorage, MIMETypeOfEncapsulatedDocument="text/xml")
CDA.EncapsulatedDocument, CDA.EncapsulatedDocumentLength = b"<ClinicalDocument/>\0", 19


def a_report() -> FileDataset:
    deep = an_item("TEXT", "Deep", TextValue="DEEPEST malignant")
    for level in range(LEVELS):
        deep = an_item("CONTAINER", f"Level {level}", deep, ContinuityOfContent="SEPARATE")
    code = Dataset()
    code.LongCodeValue, code.CodingSchemeDesignator = "A-LONG-CODE-VALUE", "99T"
    child = an_item("TEXT", "Annotation", relation="HAS PROPERTIES", TextValue="below the image")
    ds = in_series(a_sr, 7, "report", CompletionFlag="PARTIAL", ContentDate="20240506")
    ds.CurrentRequestedProcedureEvidenceSequence = evidence(CT)
    ds.PertinentOtherEvidenceSequence = evidence(FRAMES)
    ds.ContentSequence = [
        an_item("TEXT", "Fetus ID", relation="HAS OBS CONTEXT", TextValue="FETUS-B"),
        an_item("CODE", "Procedure", relation="HAS CONCEPT MOD", ConceptCodeSequence=[a_code("2", "99T", "CT Head")]),
        an_item("TEXT", "Note", TextValue=f"{HOSTILE}\r\nno fracture\r\npneumothorax left"),
        an_item("NUM", "Volume", NumericValueQualifierCodeSequence=[a_code("3", "99T", "Measurement failure")]),
        an_item("CODE", "Finding", ConceptCodeSequence=[code]),
        an_item("", "Because", relation="INFERRED FROM", ReferencedContentItemIdentifier=[1, 2]),
        an_item("TCOORD", "Moment", TemporalRangeType="POINT", ReferencedTimeOffsets=[1.5]),
        an_item("IMAGE", "Slice", child, ReferencedSOPSequence=a_reference(CT)),
        an_item("IMAGE", "Loop", ReferencedSOPSequence=a_reference(FRAMES, 1, 3)),
        an_item("IMAGE", "Elsewhere", ReferencedSOPSequence=a_reference(RANGE)),
        deep,
        *[an_item("TEXT", f"Line {number}", TextValue="normal") for number in range(60)],
    ]
    return ds


REPORT = a_report()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("study page")
    (folder / "empty.toml").touch()
    with Node(load(folder / "empty.toml", node_environ(folder / "data")).config) as started:
        for ds in (CT, FRAMES, RANGE, SMALL, TABLE, FALSE, CDA, REPORT):
            ingest.store_part10(started.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
        yield started.url


@pytest.fixture
def troubles() -> Troubles:
    return Troubles()


@pytest.fixture
def page(browser: Browser, node: str, troubles: Troubles) -> Iterator[Page]:
    context = browser.new_context(base_url=node, viewport={"width": 1300, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    made = context.new_page()
    troubles.watch(made, node)
    yield made
    context.close()


def show(page: Page, ds: Dataset) -> None:
    """Go to the series of *ds*, and wait until it is there with its attributes."""
    page.goto(f"/studies/{STUDY}?series={ds.SeriesInstanceUID}")
    is_image = "Rows" in ds
    expect(page.locator("canvas[data-drawn]" if is_image else "[data-paper] > *").first).to_be_visible()
    expect(page.locator(".attributes")).to_be_visible()
    if is_image:
        expect(page.locator("[data-width]")).to_be_enabled()


def overlay(page: Page, corner: str = "br") -> str:
    return page.locator(f"[data-overlay={corner}]").inner_text()


def brightness(page: Page) -> float:
    return float(np.asarray(Image.open(BytesIO(page.locator("[data-picture]").screenshot())).convert("L")).mean())


def drag(page: Page, across: int) -> str:
    """Drag over the picture; the query of the picture that is then asked for."""
    box = page.locator("[data-screen]").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    with page.expect_response(lambda answer: "window=" in answer.url) as found:
        page.mouse.down()
        page.mouse.move(x + across, y)
        page.mouse.up()
    assert found.value.ok
    return found.value.url


def test_a_report_is_shown_whole(page: Page, troubles: Troubles) -> None:
    """PS3.3 C.17.3: relationships of every kind, nesting of any depth, both evidences, each frame."""
    page.on("dialog", lambda dialog: troubles.found.append(dialog.message))
    show(page, REPORT)
    paper = page.locator("[data-paper]")
    text = paper.inner_text()
    lines = ("Fetus ID: FETUS-B", "Procedure: CT Head", "Volume: Measurement failure", "Finding: A-LONG-CODE-VALUE")
    others = ("Because: see 1.2", "Moment: POINT 1.5", "Annotation: below the image", "Deep: DEEPEST malignant")
    for line in (*lines, *others, HOSTILE, "\nno fracture\npneumothorax left", "2024-05-06", "partial unverified"):
        assert line in text, line
    assert f"CT Image Storage [{RANGE.SOPInstanceUID}]" in text, "not in the evidence: told by its UID"
    expect(paper.locator("img")).to_have_count(3)
    for picture in paper.locator("img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("one => one.naturalWidth") > 0
    assert paper.locator("script, style").count() == 0
    assert troubles.found == []


def test_the_window_that_is_told_is_the_one_of_the_frame(page: Page) -> None:
    show(page, FRAMES)
    expect(page.locator("[data-overlay=br]")).to_have_text("C 20  W 60\nas stored")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-overlay=br]")).to_have_text("C 30  W 60\nas stored")
    assert "window=30%2C73.8%2Clinear" in drag(page, 60)


@pytest.mark.parametrize("ds", [RANGE, SMALL], ids=["to 1023", "to 0.5"])
def test_without_a_window_a_touch_changes_the_picture_by_little(page: Page, ds: Dataset) -> None:
    show(page, ds)
    assert overlay(page) == "full range"
    before = brightness(page)
    url = drag(page, 1)
    expect(page.locator("[data-overlay=br]")).to_contain_text("W ")
    page.wait_for_load_state("networkidle")
    assert abs(brightness(page) - before) < 3, url
    width = float(url.split("%2C")[1])
    slope, values = float(ds.RescaleSlope), 1023
    assert slope * values < width < slope * values * 1.02


def test_a_stored_table_is_no_window(page: Page) -> None:
    """PS3.3 C.11.2.1.1: dragging begins at the inputs of the table."""
    show(page, TABLE)
    assert overlay(page) == "VOI LUT\nas stored"
    assert "window=228%2C257%2Clinear-exact" in drag(page, 1)


def test_keys_scroll_what_has_the_focus(page: Page) -> None:
    """WCAG 2.1.1: papers, lists and sliders by keyboard, as by mouse."""
    show(page, REPORT)
    for name in ("[data-paper]", ".panel .scroll"):
        page.locator(name).focus()
        page.keyboard.press("PageDown")
        page.wait_for_function("name => document.querySelector(name).scrollTop > 0", arg=name)
    show(page, FRAMES)
    page.locator("[data-width]").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-width-value]")).to_have_text("59.9")
    expect(page.locator("[data-count]")).to_have_text("2 / 3")


def test_a_false_number_of_frames_is_cut(page: Page) -> None:
    page.goto(f"/studies/{FALSE.StudyInstanceUID}")
    expect(page.locator("[data-count]")).to_have_text("10000 / 20000+")


def test_without_an_instance_number_none_is_made_up(page: Page) -> None:
    show(page, CT)
    assert overlay(page, "tl") == "slice\nCT  image 1 of 1"


def test_a_document_that_is_no_pdf_can_be_opened(page: Page, troubles: Troubles) -> None:
    show(page, CDA)
    target = page.get_by_role("link", name="Open the document").get_attribute("href")
    assert target
    answer = page.request.get(target)
    assert answer.body() == b"<ClinicalDocument/>"
    assert troubles.found == []


def refuse(route: Route) -> None:
    route.fulfill(status=503, body='{"message": "Busy."}', content_type="application/json")


def test_nothing_of_another_series_stays_beside_one_that_fails(page: Page) -> None:
    show(page, CT)
    page.route(f"**/series/{RANGE.SeriesInstanceUID}/instances?*", refuse)
    page.locator(".series", has_text="no window").click()
    expect(page.locator("[data-note]")).to_have_text("The series cannot be shownBusy.")
    assert [overlay(page, corner) for corner in ("tl", "tr", "bl", "br")] == ["", "", "", ""]
    expect(page.locator("canvas[data-drawn]")).to_have_count(0)
    expect(page.locator(".attributes")).to_have_count(0)


def test_what_fails_late_is_not_told_of_another_series(page: Page) -> None:
    show(page, CT)
    held: list[Route] = []
    page.route(f"**/series/{RANGE.SeriesInstanceUID}/instances?*", lambda route: held.extend([route]))
    with page.expect_request(f"**/series/{RANGE.SeriesInstanceUID}/instances?*"):
        page.locator(".series", has_text="no window").click()
    page.locator(".series", has_text="slice").click()
    expect(page.locator("canvas[data-drawn]")).to_be_visible()
    with page.expect_response(f"**/series/{RANGE.SeriesInstanceUID}/instances?*"):
        refuse(held[0])
    page.wait_for_timeout(200)
    assert page.locator("[data-note]").text_content() == ""


@pytest.mark.parametrize("what", ["metadata", "rendered?accept=text/html"])
def test_a_report_that_cannot_be_fetched_says_so(page: Page, what: str) -> None:
    show(page, CT)
    page.route(re.compile(re.escape(f"/{REPORT.SOPInstanceUID}/{what}")), refuse)
    page.locator(".series", has_text="report").click()
    expect(page.locator("[data-note]")).to_have_text("This instance cannot be shownBusy.")
    expect(page.locator("[data-paper]")).to_be_hidden()


def test_without_scripts_there_are_pictures_and_reports(browser: Browser, node: str) -> None:
    context = browser.new_context(base_url=node, java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    with page.expect_response(lambda answer: "viewport=640" in answer.url) as found:
        page.goto(f"/studies/{STUDY}?series={FRAMES.SeriesInstanceUID}")
    assert found.value.headers["content-type"] == "image/jpeg"
    page.get_by_role("link", name="the instances of the series").click()
    with page.expect_response(lambda answer: "/rendered" in answer.url) as found:
        page.get_by_role("link", name="Ultrasound Multi-frame Image 1").click()
    assert found.value.headers["content-type"] == "image/jpeg"
    page.goto(f"/studies/{STUDY}/series/{REPORT.SeriesInstanceUID}")
    page.get_by_role("link", name="Basic Text SR 1").click()
    expect(page.locator("body")).to_contain_text("DEEPEST malignant")
    context.close()
