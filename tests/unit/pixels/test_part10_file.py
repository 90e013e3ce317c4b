"""Frames of a file, one by one."""

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset

from fixtures.builders import a_sr, part10
from fixtures.images import JPEG, Pixels, an_image, compressed, encode, texture
from relais.dicom import uids
from relais.errors import InvalidDataSet, InvalidRequest, NodeError, NotAcceptable, NotFound, TooLarge
from relais.pixels import wire
from relais.pixels.request import RenderRequest, to_fields
from relais.pixels.settings import PixelSettings
from relais.pixels.tasks import Tasks

Asked = Callable[..., bytes]


@pytest.fixture
def frame_of(tmp_path: Path) -> Asked:
    """Ask for one frame of a Data Set as a worker is asked."""

    def ask(ds: Dataset, number: int, task: str = "decode_file", **limits: int) -> bytes:
        path = tmp_path / "in.dcm"
        path.write_bytes(part10(ds))
        request = to_fields(RenderRequest("image/png"))
        fields = {"task": task, "path": str(path), "frame_number": number, "request": request}
        return Tasks(PixelSettings(**limits)).run(wire.Message(fields), lambda: None)

    return ask


def stack(bits: int = 8) -> Pixels:
    return np.stack([texture(bits), texture(bits)[::-1], texture(bits)[:, ::-1]])


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        uids.RLE_LOSSLESS,
        JPEG + "80",
        JPEG + "201",
    ],
)
def test_each_frame_comes_by_its_number(frame_of: Asked, transfer_syntax: str) -> None:
    frames = stack(12)
    ds = an_image(frames, frames=True, BitsStored=12)
    if uids.is_encapsulated(transfer_syntax):
        ds = compressed(ds, transfer_syntax, *[encode(frame, transfer_syntax, 12) for frame in frames])
    else:
        ds.file_meta.TransferSyntaxUID = transfer_syntax
    for number in (3, 1, 2):
        assert frame_of(ds, number) == frames[number - 1].tobytes()
    assert frame_of(ds, 2, "render_file").startswith(b"\x89PNG")


@pytest.mark.parametrize("columns", [42, 41])
@pytest.mark.parametrize("is_wide", [True, False])
def test_big_endian_frames_are_turned_round_wherever_they_begin(frame_of: Asked, columns: int, is_wide: bool) -> None:
    """PS3.5 8.1.1: frames of an odd number of bytes begin within a word."""
    frames = np.stack([texture(8, columns=columns), texture(8, columns=columns)[::-1]])
    ds = an_image(frames, frames=True)
    ds["PixelData"].VR = "OW" if is_wide else "OB"
    if is_wide:
        ds.PixelData = np.frombuffer(ds.PixelData, "u2").byteswap().tobytes()
    ds.file_meta.TransferSyntaxUID = uids.EXPLICIT_VR_BIG_ENDIAN
    assert [frame_of(ds, number) for number in (1, 2)] == [frame.tobytes() for frame in frames]


def test_frames_of_single_bits_that_begin_within_a_byte_are_shifted(frame_of: Asked) -> None:
    """PS3.5 8.1.1"""
    frames = np.random.default_rng(3).integers(0, 2, (5, 3, 7), dtype=np.uint8)
    packed = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    ds = an_image(frames, frames=True, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed)
    for number, frame in enumerate(frames, 1):
        assert frame_of(ds, number) == np.packbits(frame.reshape(-1), bitorder="little").tobytes()


def test_frames_that_are_components_come_by_their_number(frame_of: Asked) -> None:
    """PS3.5 8.2.5"""
    frames = stack()
    pair = imagecodecs.jpeg2k_encode(np.moveaxis(frames[:2], 0, 2), level=0, codecformat="j2k", mct=False)
    one = imagecodecs.jpeg2k_encode(frames[2], level=0, codecformat="j2k")
    ds = compressed(an_image(frames, frames=True), JPEG + "92", bytes(pair), bytes(one))
    assert [frame_of(ds, number) for number in (1, 2, 3)] == [frame.tobytes() for frame in frames]
    assert frame_of(ds, 3, "render_file").startswith(b"\x89PNG")
    with pytest.raises(NotFound):
        frame_of(ds, 4)


@pytest.mark.parametrize("transfer_syntax", [uids.EXPLICIT_VR_LITTLE_ENDIAN, JPEG + "70"])
@pytest.mark.parametrize("number", [0, 4])
def test_a_frame_that_is_not_there_is_not_found(frame_of: Asked, transfer_syntax: str, number: int) -> None:
    ds = an_image(stack(), frames=True)
    if transfer_syntax == JPEG + "70":
        ds = compressed(ds, transfer_syntax, *[encode(frame, transfer_syntax, 8) for frame in stack()])
    with pytest.raises(NotFound, match="3 frames"):
        frame_of(ds, number)


def test_native_pixels_that_end_early_are_refused(frame_of: Asked) -> None:
    ds = an_image(stack(), frames=True, NumberOfFrames=5)
    with pytest.raises(InvalidDataSet, match="ends before frame 5"):
        frame_of(ds, 5)


def test_an_instance_that_is_no_image_has_no_frames(frame_of: Asked) -> None:
    with pytest.raises(InvalidRequest):
        frame_of(a_sr(), 1)


def test_video_is_not_decoded(frame_of: Asked) -> None:
    with pytest.raises(NotAcceptable):
        frame_of(compressed(an_image(texture(8)), JPEG + "102", b"\0\0"), 1)


@pytest.mark.parametrize(
    ("ds", "limits"),
    [
        (an_image(texture(8), Rows=60000, Columns=60000), {}),
        (an_image(np.zeros((1100, 1000), np.uint8)), {"max_frame_mb": 1}),
        (compressed(an_image(texture(8)), JPEG + "70", b"\xff\xd8" + bytes(1_100_000)), {"max_frame_mb": 1}),
    ],
)
def test_limits_hold_before_anything_is_decoded(frame_of: Asked, ds: Dataset, limits: dict[str, int]) -> None:
    with pytest.raises(TooLarge):
        frame_of(ds, 1, **limits)


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    fields = {"task": "decode_file", "path": str(tmp_path / "no.dcm"), "frame_number": 1}
    with pytest.raises(OSError, match="No such file") as missing:
        Tasks(PixelSettings()).run(wire.Message(fields), lambda: None)
    assert not isinstance(missing.value, NodeError)
