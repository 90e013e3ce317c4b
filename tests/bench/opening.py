"""How long a study takes to open in OHIF, told by the browser's own clock. Knows the viewer's page, no peer."""

import time
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page

from bench.run import expect
from fixtures.ohif import agree

WAIT_S = 120.0
POLL_S = 0.2
SIZE = {"width": 1440, "height": 900}

# Notes the last click, and when the canvas shows more than one colour after it.
WATCH = """
performance.setResourceTimingBufferSize(10000);
window.opening = { clicked: 0, drawn: 0 };
document.addEventListener("click", () => { window.opening = { clicked: performance.now(), drawn: 0 }; }, true);
document.addEventListener("CORNERSTONE_IMAGE_RENDERED", (event) => {
  const canvas = event.target.querySelector("canvas.cornerstone-canvas");
  if (window.opening.drawn || !canvas) return;
  const small = Object.assign(document.createElement("canvas"), { width: 16, height: 16 }).getContext("2d");
  small.drawImage(canvas, 0, 0, 16, 16);
  const greens = small.getImageData(0, 0, 16, 16).data.filter((_, at) => at % 4 === 1);
  if (Math.max(...greens) - Math.min(...greens) > 16) window.opening.drawn = performance.now();
}, true);
"""
TOLD = """() => ({
  ...window.opening,
  answers: performance.getEntriesByType("resource")
    .filter((one) => one.startTime > window.opening.clicked && /\\/(frames|metadata)(\\/|$)/.test(one.name))
    .map((one) => ({
      kind: one.name.includes("/frames/") ? "frame" : "metadata",
      asked: one.startTime, ended: one.responseEnd, status: one.responseStatus,
    })),
})"""


@dataclass(frozen=True)
class Opened:
    """Milliseconds from the click to the first image, to the end of the last frame, and to what is on the way."""

    first_image: float
    all_frames: float
    metadata_asked: float
    metadata_took: float
    frame_asked: float


def open_study(browser: Browser, site: str, patient: str, frames: int) -> Opened:
    """Look the study of *patient* up in the viewer's list at *site*, open it, wait for its *frames*.

    The browser is as new: nothing is cached but what the list has loaded. Raises WrongResult if a frame is missing.
    """
    context = browser.new_context(viewport=SIZE, locale="en-GB")
    page = context.new_page()
    page.add_init_script(WATCH)
    try:
        _choose(page, site, patient)
        page.get_by_role("button", name="Basic Viewer").click()
        return _opened(_wait(page, frames), frames)
    finally:
        context.close()


def _choose(page: Page, site: str, patient: str) -> None:
    """Select the study in the list, and let everything settle that this sets off."""
    page.goto(site)
    row = page.get_by_text(patient).first
    row.wait_for(timeout=WAIT_S * 1000)
    agree(page)
    row.click()
    page.get_by_role("button", name="Basic Viewer").wait_for()
    page.wait_for_load_state("networkidle")


def _wait(page: Page, frames: int) -> dict[str, Any]:
    """What the page tells once the first image is drawn and all *frames* are there."""
    deadline = time.monotonic() + WAIT_S
    while True:
        told: dict[str, Any] = page.evaluate(TOLD)
        if told["drawn"] and sum(one["kind"] == "frame" for one in told["answers"]) >= frames:
            return told
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {WAIT_S} s: {len(told['answers'])} answers, drawn {told['drawn']}")
        time.sleep(POLL_S)


def _opened(told: dict[str, Any], frames: int) -> Opened:
    answers, clicked = told["answers"], told["clicked"]
    expect({one["status"] for one in answers}, {200}, "statuses of frames and metadata")
    of_frames = [one for one in answers if one["kind"] == "frame"]
    expect(len(of_frames), frames, "frames asked for")
    metadata = next(one for one in answers if one["kind"] == "metadata")
    return Opened(
        first_image=told["drawn"] - clicked,
        all_frames=max(one["ended"] for one in of_frames) - clicked,
        metadata_asked=metadata["asked"] - clicked,
        metadata_took=metadata["ended"] - metadata["asked"],
        frame_asked=min(one["asked"] for one in of_frames) - clicked,
    )
