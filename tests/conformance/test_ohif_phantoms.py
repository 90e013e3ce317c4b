"""OHIF in a real browser shows the right picture: every Transfer Syntax, loops, overlays, thumbnails, from elsewhere.

Phantoms are judged by the brightness of their fields on the screen; `page` fails the test if any request does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect
from pydicom import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from bench.opening import open_study
from fixtures import ohif, phantoms
from fixtures.browser import PATIENCE_MS, Troubles
from fixtures.builders import part10, uid
from fixtures.elsewhere import site
from fixtures.phantoms import COLOURS, ORDERS
from fixtures.served import Served, put_away
from fixtures.web import BOUNDARY, multipart_body, web_node
from relais.ui import viewer

SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
    RLELossless,
)
SHOWN = dict(zip(SYNTAXES, ORDERS, strict=False))
PICTURES, VOLUME = uid("pictures in OHIF"), uid("volume in OHIF")
FRAMES = (ORDERS[3], ORDERS[9], ORDERS[16])
PATIENT, SLICES = "SLICES^Six", 6
INSIDE, OUTSIDE = (0.4, 0.4), (0.15, 0.3)  # of what is marked in the volume
ELSEWHERE = uid("seen from elsewhere")


def pictures() -> list[Dataset]:
    """A study with a series for each Transfer Syntax, one in colour and a loop."""
    numbered = enumerate(SHOWN.items(), 1)
    study = {"StudyInstanceUID": PICTURES}
    return [
        *(
            phantoms.a_phantom(syntax, order, SeriesNumber=n, SeriesDescription=syntax, **study)
            for n, (syntax, order) in numbered
        ),
        phantoms.a_colour_phantom(SeriesNumber=50, SeriesDescription="colour", **study),
        phantoms.a_cine(FRAMES, SeriesNumber=51, SeriesDescription="loop", **study),
    ]


def volume() -> list[Dataset]:
    """A study of six slices, a segmentation and a structure set of them."""
    series = {"StudyInstanceUID": VOLUME, "SeriesInstanceUID": uid("slices in OHIF"), "SeriesDescription": "Slices"}
    patient = {"PatientName": PATIENT, "PatientID": "SIX", "FrameOfReferenceUID": uid("place")}
    slices = phantoms.a_volume(SLICES, ORDERS[0], **series, **patient)
    return [*slices, phantoms.a_segmentation(slices), phantoms.a_structure_set(slices)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a node that holds the phantoms."""
    ohif.need_viewer()
    served = Served(tmp_path_factory.mktemp("phantoms"))
    try:
        served.wait_until_ready()
        body = multipart_body(part10(ds) for ds in (*pictures(), *volume()))
        kind = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
        assert requests.post(f"{served.url}/dicom-web/studies", body, headers=kind, timeout=240).status_code == 200
        yield served.url
    finally:
        put_away(served)


@dataclass
class Stage:
    """A page that stays open, since the viewer is slow to start, and what went wrong on it."""

    page: Page
    troubles: Troubles


@pytest.fixture(scope="module")
def stage(browser: Browser, node: str) -> Iterator[Stage]:
    context = browser.new_context(base_url=node, viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    made = Stage(context.new_page(), Troubles())
    made.troubles.watch(made.page, node)
    yield made
    context.close()


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    yield stage.page
    found = stage.troubles.found.copy()
    stage.troubles.found.clear()
    assert found == []


def show(page: Page, study_instance_uid: str) -> None:
    """The study, unless it is on the screen."""
    if not page.url.endswith(study_instance_uid):
        page.goto(ohif.address(study_instance_uid))
        expect(ohif.viewport(page)).to_be_visible(timeout=ohif.WAIT_S * 1000)
        ohif.agree(page)


@pytest.mark.parametrize("syntax", SHOWN, ids=lambda syntax: syntax.name)
def test_each_transfer_syntax_shows_its_picture(page: Page, syntax: str) -> None:
    show(page, PICTURES)
    ohif.open_series(page, syntax)
    ohif.wait_for_fields(page, ohif.viewport(page), SHOWN[syntax])


def test_colours_are_shown_as_they_are(page: Page) -> None:
    show(page, PICTURES)
    ohif.open_series(page, "colour")
    ohif.wait_for_fields(page, ohif.viewport(page), COLOURS)


def test_each_frame_of_a_loop_is_shown(page: Page) -> None:
    show(page, PICTURES)
    ohif.open_series(page, "loop")
    for number, fields in enumerate(FRAMES):
        if number:
            page.keyboard.press("ArrowDown")
        ohif.wait_for_fields(page, ohif.viewport(page), fields)


@pytest.mark.parametrize("syntax", SHOWN, ids=lambda syntax: syntax.name)
def test_each_series_has_its_thumbnail(page: Page, syntax: str) -> None:
    show(page, PICTURES)
    ohif.wait_for_fields(page, ohif.thumbnail(page, syntax).locator("img"), SHOWN[syntax])


def test_a_segmentation_lies_on_its_slices(page: Page) -> None:
    show(page, VOLUME)
    ohif.wait_for_fields(page, ohif.viewport(page), ORDERS[0])
    ohif.open_series(page, "Segmentation")
    ohif.wait_for(page, ohif.viewport(page), INSIDE, lambda seen: seen[0] > seen[1] + 20)
    ohif.wait_for(page, ohif.viewport(page), OUTSIDE, lambda seen: max(seen) - min(seen) < 5)


def test_the_outlines_of_a_structure_set_are_drawn(page: Page) -> None:
    show(page, VOLUME)
    ohif.open_series(page, "Structures")
    ohif.wait_for_line(page, ohif.viewport(page), phantoms.OUTLINE)


def test_how_long_a_study_takes_to_open_is_told_in_order(browser: Browser, node: str) -> None:
    """What `make bench PARTS=viewer` measures with."""
    opened = open_study(browser, f"{node}/viewer/", PATIENT.replace("^", ", "), SLICES)
    assert 0 < opened.metadata_asked < opened.frame_asked < opened.first_image
    assert opened.frame_asked < opened.all_frames


def test_a_viewer_from_another_origin_shows_a_study(browser: Browser, tmp_path: Path) -> None:
    """PS3.18 leaves it to us; clients.md 10: the preflight, the answer, the headers that scripts may read."""
    ohif.need_viewer()
    (tmp_path / "site").mkdir()
    (tmp_path / "site/viewer").symlink_to(viewer.default_folder())
    pages = {"/": ohif.a_page(), "/static/relais.svg": b"<svg/>"}
    with site(pages, tmp_path / "site") as origin, web_node(tmp_path / "node", cors_origins=[origin]) as web:
        pages["/viewer/app-config.js"] = ohif.configuration({"window.location.origin": f'"{web.base}"'})
        study = {"StudyInstanceUID": ELSEWHERE, "SeriesDescription": "far"}
        assert web.store(phantoms.a_phantom(JPEGLSLossless, ORDERS[7], **study)).status_code == 200
        context = browser.new_context(base_url=origin, viewport={"width": 1440, "height": 900})
        context.set_default_timeout(PATIENCE_MS)
        page, troubles = context.new_page(), Troubles()
        troubles.watch(page, origin, web.base)
        page.goto(ohif.address(ELSEWHERE))
        ohif.wait_for_fields(page, ohif.viewport(page), ORDERS[7])
        ohif.wait_for_fields(page, ohif.thumbnail(page, "far").locator("img"), ORDERS[7])
        context.close()
    assert troubles.found == []
