"""The real files that ship with pydicom, judged by DCMTK and GDCM: pixels, attributes, and what is seen.

DCMTK has no JPEG 2000, GDCM mistakes RLE with more than 8 bits in colour; each file is judged by who can.
"""

import os
import subprocess
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import DataElement, Dataset, FileDataset, dcmread
from pydicom.uid import UID, ExplicitVRBigEndian

from fixtures.dcmtk import run
from fixtures.real import FOLDER, real_files
from relais.dicom import uids
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels import syntaxes
from relais.pixels.decode import decode_frame, decode_to_bytes
from relais.pixels.part10_file import Part10File
from relais.pixels.render import render
from relais.pixels.request import RenderRequest, Window
from relais.pixels.settings import PixelSettings
from relais.pixels.transcode import transcode

pytestmark = pytest.mark.filterwarnings("ignore")  # real files are what they are

SETTINGS = PixelSettings()
EXPLICIT, IMPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN

# Path below pydicom.data -> why it cannot be transcoded.
REFUSED: dict[str, tuple[type[Exception], str]] = {
    "test_files/JPEG2000-embedded-sequence-delimiter.dcm": (InvalidDataSet, "its size was overwritten on purpose"),
    "test_files/MR_truncated.dcm": (InvalidDataSet, "it ends in the middle of its Pixel Data"),
    "test_files/rtplan_truncated.dcm": (InvalidDataSet, "it ends in the middle of a sequence"),
    "test_files/meta_missing_tsyntax.dcm": (NotAcceptable, "nothing says in which Transfer Syntax it is"),
}
# DCMTK and GDCM turn 32-bit samples in words of 16 bits; pydicom, whose files these are, as a whole.
NOT_FOR_DCMTK = {"test_files/rtdose_expb.dcm", "test_files/rtdose_expb_1frame.dcm"} | {
    "test_files/SC_rgb_jpeg.dcm",  # an empty Adobe segment, which DCMTK refuses
}


def name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


@cache
def good_files() -> list[Path]:
    """All but DICOMDIRs, which are not kept; from folders of files that are nearly alike, the first one."""
    first = {path.parent: path for path in reversed(real_files())}
    many = {"dicomdirtests", "palettes"}
    return [
        path
        for path in real_files()
        if name(path) not in REFUSED
        and "DICOMDIR" not in path.name
        and (path == first[path.parent] or not many & set(path.parts))
    ]


@cache
def images() -> list[Path]:
    """Those that have pixels."""
    return [path for path in good_files() if {"Rows", "PixelData"} <= {one.keyword for one in _read(path)}]


@cache
def syntax_of(path: Path) -> str:
    return str(_read(path).file_meta.TransferSyntaxUID)


def _read(path: Path) -> FileDataset:
    """For what happens before there is a test whose warnings could be ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path, specific_tags=["Rows", "PixelData"])


def ours(path: Path, target: str, folder: Path) -> Dataset:
    out = folder / f"{target}.dcm"
    transcode(path, target, out, SETTINGS, lambda: None)
    return dcmread(out)


def judged_by_dcmtk(path: Path, folder: Path) -> Dataset:
    syntax = syntax_of(path)
    tool = "dcmconv"
    if syntax in syntaxes.JPEG_LOSSY | syntaxes.JPEG_LOSSLESS:
        tool = "dcmdjpeg"
    elif syntax in syntaxes.JPEG_LS:
        tool = "dcmdjpls"
    elif syntax == uids.RLE_LOSSLESS:
        tool = "dcmdrle"
    ran = run(tool, "+te", path, folder / "judge.dcm")
    assert ran.code == 0, ran.output
    return dcmread(folder / "judge.dcm")


def differences(ours: Dataset, judge: Dataset) -> list[str]:
    """Attributes that are not the same, but for Group Lengths, and padding that the judge has added."""
    found = []
    for tag in sorted(ours.keys() | judge.keys()):
        if tag.element == 0 or tag == 0x7FE00010:
            continue
        if tag not in ours or tag not in judge:
            found.append(f"{tag} is missing")
        else:
            found.extend(_differences(ours[tag], judge[tag]))
    return found


def _differences(ours: DataElement, judge: DataElement) -> list[str]:
    if ours.VR == judge.VR == "SQ":
        if len(ours.value) != len(judge.value):
            return [f"{ours.tag} has another number of items"]
        return [one for pair in zip(ours.value, judge.value, strict=True) for one in differences(*pair)]
    if isinstance(ours.value, bytes) and isinstance(judge.value, bytes):
        same = ours.value.rstrip(b"\0") == judge.value.rstrip(b"\0")
    else:
        same = ours.value == judge.value
    return [] if same and ours.VR == judge.VR else [f"{ours.tag} {ours.keyword} {ours.VR} {judge.VR}"]


@pytest.mark.parametrize("path", [one for one in good_files() if name(one) not in NOT_FOR_DCMTK], ids=name)
def test_dcmtk_makes_the_same_of_it(path: Path, tmp_path: Path) -> None:
    """Bit for bit, lossy JPEG included; but JPEG 2000, of which it knows nothing."""
    if syntax_of(path) in syntaxes.JPEG_2000:
        return
    found, judge = ours(path, EXPLICIT, tmp_path), judged_by_dcmtk(path, tmp_path)
    assert found.get("PixelData") == judge.get("PixelData")
    assert differences(found, judge) == []


@pytest.mark.parametrize("path", [one for one in images() if syntax_of(one) in syntaxes.JPEG_2000], ids=name)
def test_gdcm_makes_the_same_of_jpeg_2000(path: Path, tmp_path: Path) -> None:
    found, out = ours(path, EXPLICIT, tmp_path), tmp_path / "judge.dcm"
    subprocess.run(["gdcmconv", "--raw", path, out], check=True, capture_output=True)
    judge = dcmread(out)
    words = [np.frombuffer(ds.PixelData, f"u{ds.BitsAllocated // 8}") for ds in (found, judge)]
    mask = (1 << found.BitsStored) - 1  # GDCM leaves the sign out where only the Data Set knows of it
    assert np.array_equal(words[0] & mask, words[1] & mask)
    assert found.PhotometricInterpretation == judge.PhotometricInterpretation


@pytest.mark.parametrize("path", good_files(), ids=name)
def test_explicit_and_implicit_say_the_same(path: Path, tmp_path: Path) -> None:
    explicit, implicit = ours(path, EXPLICIT, tmp_path), ours(path, IMPLICIT, tmp_path)
    for ds in (explicit, implicit):
        ds.remove_private_tags()  # which lose their VR
    assert differences(implicit, explicit) == []
    assert implicit.get("PixelData") == explicit.get("PixelData")


@pytest.mark.parametrize("path", [one for one in images() if UID(syntax_of(one)) == ExplicitVRBigEndian], ids=name)
def test_big_endian_pixels_mean_what_pydicom_reads(path: Path, tmp_path: Path) -> None:
    assert np.array_equal(ours(path, EXPLICIT, tmp_path).pixel_array, dcmread(path).pixel_array)


@pytest.mark.parametrize("path", images(), ids=name)
def test_a_frame_of_a_file_is_that_frame_of_the_transcoded_file(path: Path, tmp_path: Path) -> None:
    whole = ours(path, EXPLICIT, tmp_path).PixelData
    with Part10File(path, SETTINGS) as file:
        pixels = file.require_pixels()
        pixel = file.read_image(pixels).pixel
        number = pixel.number_of_frames
        frame = decode_to_bytes(*file.frame(number, pixels, pixel), pixel)
    assert whole[len(frame) * (number - 1) :][: len(frame)] == frame


@pytest.mark.parametrize("relative", sorted(REFUSED))
def test_what_is_refused_is_refused_for_its_reason(relative: str, tmp_path: Path) -> None:
    kind, _ = REFUSED[relative]
    with pytest.raises(kind):
        ours(FOLDER / relative, EXPLICIT, tmp_path)


def seen(path: Path, window: Window | None) -> np.ndarray:
    with Part10File(path, SETTINGS) as file:
        pixels = file.require_pixels()
        image = file.read_image(pixels)
        decoded = decode_frame(*file.frame(1, pixels, image.pixel), image.pixel)
    return np.asarray(Image.open(BytesIO(render(decoded, image, RenderRequest("image/png", window=window), 1))))


def seen_by_dcmtk(path: Path, options: list[str], folder: Path) -> np.ndarray:
    """dcm2pnm reads all that DCMTK decodes but JPEG-LS and, like us, JPEG 2000: those in our native form."""
    if syntax_of(path) in syntaxes.JPEG_LS | syntaxes.JPEG_2000:
        ours(path, EXPLICIT, folder)
        path = folder / f"{EXPLICIT}.dcm"
    out = folder / "judge.pnm"
    command = ["dcmj2pnm", "--no-overlays", *options, str(path), str(out)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ)
    return np.asarray(Image.open(out))


@pytest.mark.parametrize("path", [one for one in images() if name(one) not in NOT_FOR_DCMTK], ids=name)
def test_dcmtk_shows_the_same_within_one_grey_level(path: Path, tmp_path: Path) -> None:
    """PS3.3 C.11.2: the stored window, else the range of the frame; then a window that was asked for.

    DCMTK cuts levels off where we round.
    """
    stored = ["+Wi", "1"] if dcmread(path).get("WindowCenter") is not None else ["+Wm"]
    for window, options in ((None, stored), (Window(40, 400), ["+Ww", "40", "400"])):
        shown, judge = seen(path, window), seen_by_dcmtk(path, options, tmp_path)
        assert shown.shape == judge.shape
        assert np.abs(shown.astype(int) - judge).max() <= 1
