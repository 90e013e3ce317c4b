"""Take the pictures of the documentation again: `PYTHONPATH=tests .venv/bin/python tests/docs/screenshots.py [FOLDER]`.

Starts a node with the samples, shows it in Chromium, writes docs/images/*.png. Needs the OHIF viewer (`make viewer`).
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page

from fixtures.browser import REPOSITORY, chromium, served

CHEST, SIZE = "TDM THORAX AVEC INJECTION", {"width": 1440, "height": 900}


def study_list(page: Page) -> None:
    page.goto("/")
    page.wait_for_load_state("networkidle")


def study(page: Page) -> None:
    study_list(page)
    page.locator(".study", has_text=CHEST).locator(".cover").click()
    page.locator("canvas[data-drawn]").wait_for()
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Lung").click()
    for _ in range(4):
        page.keyboard.press("ArrowUp")
        page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)


def node(page: Page) -> None:
    page.goto("/node")
    page.wait_for_load_state("networkidle")


def viewer(page: Page) -> None:
    """OHIF with the chest cut in three directions."""
    found = page.request.get("/dicom-web/studies", params={"StudyDescription": CHEST}).json()
    uid = found[0]["0020000D"]["Value"][0]
    page.goto(f"/viewer/viewer?StudyInstanceUIDs={uid}&hangingProtocolId=mpr")
    page.get_by_role("button", name="Confirm and hide").click()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(6000)


PICTURES: dict[str, tuple[Callable[[Page], None], str]] = {
    "studies": (study_list, "light"),
    "studies-dark": (study_list, "dark"),
    "study": (study, "light"),
    "node": (node, "light"),
    "viewer": (viewer, "dark"),
}


def take(browser: Browser, base: str, name: str, folder: Path) -> None:
    """One picture."""
    show, scheme = PICTURES[name]
    context = browser.new_context(base_url=base, viewport=SIZE, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    show(page)
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    context.close()
    with Image.open(path) as image:
        image.convert("RGB").save(path, optimize=True)  # without the alpha channel that a screenshot has


def main(folder: Path) -> None:
    """All pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as work, served(Path(work)) as base, chromium() as browser:
        for name in PICTURES:
            take(browser, base, name, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs" / "images")
