"""Mask subtraction (PS3.3 C.7.6.10), over real pixel workers; what it should give is computed here by formula."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, FileDataset
from pydicom.uid import XRayAngiographicImageStorage

from fixtures.builders import part10
from fixtures.images import JPEG, an_image, compressed, encode, texture
from fixtures.states import a_state
from relais.errors import NotAcceptable
from relais.pixels.masks import Mask, moved, of, recommended
from relais.pixels.request import AppliedState, RenderRequest, Window
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers

FRAMES = np.stack([np.roll(texture(10, rows=40, columns=50), 3 * number, 1) + 37 * number for number in range(6)])
PNG = RenderRequest("image/png")
WIDE = RenderRequest("image/png", window=Window(0, 2048, "LINEAR_EXACT"))


@pytest.fixture(scope="module")
def workers() -> Iterator[PixelWorkers]:
    made = PixelWorkers(PixelSettings(workers=1))
    yield made
    made.close()


def an_operation(kind: str, **attributes: Any) -> Dataset:
    item = Dataset()
    item.MaskOperation = kind
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def an_angiography(*operations: Dataset, **attributes: Any) -> FileDataset:
    described = {
        "SOPClassUID": XRayAngiographicImageStorage,
        "Modality": "XA",
        "BitsStored": 12,
        "RecommendedViewingMode": "SUB",
        "MaskSubtractionSequence": list(operations),
        "WindowCenter": "512",
        "WindowWidth": "1024",
    }
    return an_image(FRAMES, frames=True, **described | attributes)


def shown(
    workers: PixelWorkers,
    folder: Path,
    ds: FileDataset,
    number: int,
    request: RenderRequest = PNG,
    state: FileDataset | None = None,
) -> np.ndarray[Any, Any]:
    path = folder / "image.dcm"
    path.write_bytes(part10(ds))
    applied = AppliedState(part10(state), ds.SOPInstanceUID) if state else None
    return np.asarray(Image.open(BytesIO(workers.render_file(path, number, request, applied))), int)


def grey(values: np.ndarray[Any, Any], center: float, width: float) -> np.ndarray[Any, Any]:
    """LINEAR_EXACT (PS3.3 C.11.2.1.3.2)"""
    return (np.clip((values - center) / width + 0.5, 0, 1) * 255 + 0.5).astype(int)


def stretched(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    low, high = values.min(), values.max()
    return grey(values, (low + high) / 2, (high - low) or 1)


@pytest.mark.parametrize(
    ("operation", "number", "mask"),
    [
        (an_operation("AVG_SUB", MaskFrameNumbers=[1, 2]), 5, (FRAMES[0] + 0.0 + FRAMES[1]) / 2),
        (an_operation("AVG_SUB", MaskFrameNumbers=1, ApplicableFrameRange=[3, 6]), 3, FRAMES[0]),
        (an_operation("TID"), 5, FRAMES[3]),
        (an_operation("TID", TIDOffset=3), 5, FRAMES[1]),
        (an_operation("TID", TIDOffset=-1), 5, FRAMES[5]),
        (an_operation("REV_TID", ApplicableFrameRange=[4, 6], TIDOffset=1), 5, FRAMES[1]),
    ],
)
def test_a_mask_is_subtracted_as_the_image_says(
    workers: PixelWorkers, tmp_path: Path, operation: Dataset, number: int, mask: np.ndarray[Any, Any]
) -> None:
    """PS3.3 C.7.6.10.1.1"""
    ds = an_angiography(operation)
    difference = FRAMES[number - 1] - mask.astype(float)
    assert np.array_equal(shown(workers, tmp_path, ds, number), stretched(difference))
    assert np.array_equal(shown(workers, tmp_path, ds, number, WIDE), grey(difference, 0, 2048))


def test_a_compressed_image_is_subtracted_like_a_native_one(workers: PixelWorkers, tmp_path: Path) -> None:
    ds = an_angiography(an_operation("AVG_SUB", MaskFrameNumbers=[1]))
    plain = shown(workers, tmp_path, ds, 4)
    ds = compressed(ds, JPEG + "80", *(encode(frame, JPEG + "80", 12) for frame in FRAMES))
    assert np.array_equal(shown(workers, tmp_path, ds, 4), plain)


def test_contrast_frames_are_averaged_before(workers: PixelWorkers, tmp_path: Path) -> None:
    """PS3.3 C.7.6.10: Contrast Frame Averaging"""
    ds = an_angiography(an_operation("AVG_SUB", MaskFrameNumbers=[1], ContrastFrameAveraging=3))
    difference = FRAMES[3:6].mean(axis=0) - FRAMES[0]
    assert np.abs(shown(workers, tmp_path, ds, 4) - stretched(difference)).max() <= 1
    last = FRAMES[5] - FRAMES[0].astype(float)
    assert np.array_equal(shown(workers, tmp_path, ds, 6), stretched(last))


@pytest.mark.parametrize(
    ("operation", "number"),
    [
        (an_operation("NONE"), 3),
        (an_operation("TID"), 1),
        (an_operation("TID", TIDOffset=9), 5),
        (an_operation("AVG_SUB", MaskFrameNumbers=[1], ApplicableFrameRange=[4, 6]), 3),
        (an_operation("AVG_SUB", MaskFrameNumbers=[99]), 3),
        (an_operation("AVG_SUB"), 3),
        (an_operation("SOMETHING ELSE", MaskFrameNumbers=[1]), 3),
    ],
)
def test_a_frame_without_a_mask_is_shown_as_it_is(
    workers: PixelWorkers, tmp_path: Path, operation: Dataset, number: int
) -> None:
    natural = an_angiography(RecommendedViewingMode="NAT")
    expected = shown(workers, tmp_path, natural, number)
    assert np.array_equal(shown(workers, tmp_path, an_angiography(operation), number), expected)


def test_an_image_that_does_not_recommend_it_is_not_subtracted(workers: PixelWorkers, tmp_path: Path) -> None:
    operation = an_operation("AVG_SUB", MaskFrameNumbers=[1])
    for mode in ("NAT", None):
        ds = an_angiography(operation, RecommendedViewingMode=mode)
        assert recommended(ds, 3, 6) is None
    natural = an_angiography(operation, RecommendedViewingMode="NAT")
    assert not np.array_equal(
        shown(workers, tmp_path, natural, 3), shown(workers, tmp_path, an_angiography(operation), 3)
    )


def test_the_first_operation_about_a_frame_counts() -> None:
    early = an_operation("AVG_SUB", MaskFrameNumbers=[1], ApplicableFrameRange=[2, 3, 5, 5])
    ds = an_angiography(early, an_operation("TID"))
    assert [of(ds, number, 6) for number in (2, 4, 5)] == [
        Mask((2,), (1,)),
        Mask((4,), (3,)),
        Mask((5,), (1,)),
    ]


def test_a_presentation_state_subtracts_with_its_own_window(workers: PixelWorkers, tmp_path: Path) -> None:
    """PS3.3 C.11.13; PS3.4 N.2.1.2"""
    ds = an_angiography(RecommendedViewingMode="NAT", MaskSubtractionSequence=None)
    operation = an_operation("AVG_SUB", MaskFrameNumbers=[1, 2])
    identity = {"RescaleSlope": "1", "RescaleIntercept": "0", "MaskSubtractionSequence": [operation]}
    difference = FRAMES[4] - (FRAMES[0] + 0.0 + FRAMES[1]) / 2
    found = shown(workers, tmp_path, ds, 5, state=a_state(ds, voi=(100, 500), **identity))
    assert np.abs(found - grey(difference, 99.5, 499)).max() <= 1
    inverse = shown(workers, tmp_path, ds, 5, state=a_state(ds, PresentationLUTShape="INVERSE", **identity))
    assert np.abs(inverse - (255 - grey(difference, -0.5, 8191))).max() <= 1


def test_a_mask_is_moved_down_and_to_the_left() -> None:
    """PS3.3 C.7.6.10.1.2"""
    values = np.zeros((5, 6))
    values[2, 3] = 8
    assert moved(values, 1, 0)[3, 3] == 8
    assert moved(values, 0, 2)[2, 1] == 8
    half = moved(values, 0.5, -0.25)
    assert half[2:4, 3:5].tolist() == [[3, 1], [3, 1]]
    assert half.sum() == 8
    assert np.array_equal(moved(values, 0, 0), values)
    edge = np.arange(6.0).reshape(2, 3)
    assert moved(edge, 0, 9).tolist() == [[2, 2, 2], [5, 5, 5]]


def test_a_moved_mask_is_what_is_subtracted(workers: PixelWorkers, tmp_path: Path) -> None:
    ds = an_angiography(an_operation("AVG_SUB", MaskFrameNumbers=[1], MaskSubPixelShift=[1.5, -2.0]))
    difference = FRAMES[4] - moved(FRAMES[0].astype(float), 1.5, -2.0)
    assert np.abs(shown(workers, tmp_path, ds, 5) - stretched(difference)).max() <= 1


def test_a_mask_of_too_many_frames_is_refused() -> None:
    with pytest.raises(NotAcceptable, match="64 frames"):
        of(an_angiography(an_operation("AVG_SUB", MaskFrameNumbers=[1] * 65)), 3, 6)


def test_a_loop_is_subtracted_frame_by_frame(workers: PixelWorkers, tmp_path: Path) -> None:
    path = tmp_path / "loop.dcm"
    path.write_bytes(part10(an_angiography(an_operation("AVG_SUB", MaskFrameNumbers=[1]))))
    moving = Image.open(BytesIO(workers.animate_file(path, range(1, 7), RenderRequest("image/gif"))))
    assert moving.n_frames == 6
    moving.seek(4)
    difference = stretched(FRAMES[4] - FRAMES[0].astype(float))
    assert np.abs(np.asarray(moving.convert("L"), int) - difference).max() <= 2
