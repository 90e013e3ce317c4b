"""Several frames as one GIF: in order, in time, within bounds (PS3.18 8.7.4)."""

import gc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence
from pydicom import FileDataset

from fixtures.builders import part10
from fixtures.images import an_image, texture
from relais.errors import NotFound, TooLarge
from relais.pixels import render as rendering
from relais.pixels import wire
from relais.pixels.request import RenderRequest, Viewport, to_fields
from relais.pixels.settings import PixelSettings
from relais.pixels.tasks import Tasks

FRAMES = np.stack([np.roll(texture(8), 5 * step) for step in range(4)])


def a_loop(**attributes: Any) -> FileDataset:
    return an_image(FRAMES, frames=True, **attributes)


def moving(ds: FileDataset, numbers: list[int], folder: Path, **asked: Any) -> tuple[Image.Image, int]:
    """The GIF, and how often progress was reported."""
    path, reported = folder / "loop.dcm", []
    path.write_bytes(part10(ds))
    request = to_fields(RenderRequest("image/gif", **asked))
    fields = {"task": "animate", "path": str(path), "frame_numbers": numbers, "request": request}
    data = Tasks(PixelSettings()).run(wire.Message(fields), lambda: reported.append(1))
    return Image.open(BytesIO(data)), len(reported)


def test_frames_come_in_the_order_asked_and_report_progress(tmp_path: Path) -> None:
    image, reported = moving(a_loop(WindowCenter="128", WindowWidth="256"), [3, 1], tmp_path)
    shown = [np.asarray(frame.convert("L"), int) for frame in ImageSequence.Iterator(image)]
    assert len(shown) == reported == 2
    assert np.abs(shown[0] - FRAMES[2]).max() <= 1
    assert np.abs(shown[1] - FRAMES[0]).max() <= 1


def test_a_frame_is_written_before_the_next_is_decoded(tmp_path: Path) -> None:
    """Progress tells of frames that are done, and the time of one is that of one; no picture waits for all others."""
    frames = np.stack([np.roll(texture(8, samples=3), step) for step in range(12)])
    path, waiting = tmp_path / "loop.dcm", []
    path.write_bytes(part10(an_image(frames, frames=True)))
    request = to_fields(RenderRequest("image/gif"))
    fields = {"task": "animate", "path": str(path), "frame_numbers": list(range(1, 13)), "request": request}
    Tasks(PixelSettings()).run(wire.Message(fields), lambda: waiting.append(pictures_of(42, 37)))
    assert len(waiting) == 12
    assert max(waiting) < 6


def pictures_of(width: int, height: int) -> int:
    """How many pictures of that size there are in this process."""
    found = [one for one in gc.get_objects() if type(one) is Image.Image]
    return sum(one.size == (width, height) for one in found)


@pytest.mark.parametrize(
    ("attributes", "duration"),
    [
        ({"FrameTime": "33.3"}, 30),
        ({"FrameTimeVector": ["0", "50", "50", "50"]}, 50),
        ({"RecommendedDisplayFrameRate": 25}, 40),
        ({"CineRate": 10}, 100),
        ({"CineRate": 1000}, 20),
        ({"FrameTime": "0"}, 100),
        ({"FrameTime": "9e12"}, 600_000),
        ({}, 100),
    ],
)
def test_frames_move_as_fast_as_the_instance_says(attributes: dict[str, Any], duration: int, tmp_path: Path) -> None:
    """PS3.3 C.7.6.5; a GIF counts hundredths of a second."""
    assert moving(a_loop(**attributes), [1, 2], tmp_path)[0].info["duration"] == duration


def test_frames_are_scaled_and_annotated_like_pictures(tmp_path: Path) -> None:
    image, _ = moving(a_loop(), [1, 2], tmp_path, viewport=Viewport(84, 74), annotation=("patient",))
    assert image.size == (84, 74)


def test_colours_move_too(tmp_path: Path) -> None:
    colours = np.stack([texture(8, samples=3), texture(8, samples=3)[::-1]])
    assert moving(an_image(colours, frames=True), [1, 2], tmp_path)[0].n_frames == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("samples", [1, 3])
def test_frames_like_the_one_before_are_frames_too(samples: int, tmp_path: Path) -> None:
    one = texture(8, samples=samples)
    other = one.copy()
    other[3:9, 4:7] = 255 - one[3:9, 4:7]
    frames = np.stack([one, one, other, other, one])
    image, _ = moving(an_image(frames, frames=True, WindowCenter="128", WindowWidth="256"), [1, 2, 3, 4, 5], tmp_path)
    shown = [np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(image)]
    assert len(shown) == 5
    assert image.info["loop"] == 0
    for still, again in ((0, 1), (2, 3), (0, 4)):
        assert np.abs(shown[still] - shown[again]).mean() < 3
    assert np.abs(shown[1] - shown[2])[3:9, 4:7].mean() > 30
    if samples == 1:
        assert all(np.abs(grey[..., 0] - frame).max() <= 1 for grey, frame in zip(shown, frames, strict=True))


def test_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MAX_ANIMATION_PIXELS", FRAMES[0].size * 2)
    moving(a_loop(), [1, 2], tmp_path)
    with pytest.raises(TooLarge):
        moving(a_loop(), [1, 2, 3], tmp_path)


def test_a_frame_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        moving(a_loop(), [1, 5], tmp_path)
