"""Images compressed on request, decoded by DCMTK and GDCM: bit for bit, with the attributes that go with the pixels."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import FileDataset, dcmread

from fixtures.builders import a_multiframe, part10
from fixtures.dcmtk import run
from fixtures.images import JPEG, an_image, texture
from relais.dicom import uids
from relais.pixels.settings import PixelSettings
from relais.pixels.transcode import transcode

DCMTK = {
    uids.RLE_LOSSLESS: "dcmdrle",
    JPEG + "57": "dcmdjpeg",
    JPEG + "70": "dcmdjpeg",
    JPEG + "80": "dcmdjpls",
}
GDCM = (*DCMTK, JPEG + "90", JPEG + "91")
IMAGES = {
    "8 bits": an_image(texture(8)),
    "8 bits of 16": an_image(texture(8).astype("u2"), BitsStored=8),
    "12 bits": an_image(texture(12), BitsStored=12),
    "12 bits, signed": an_image(texture(12, is_signed=True), BitsStored=12),
    "16 bits": an_image(texture(16)),
    "16 bits, signed": an_image(texture(16, is_signed=True)),
    "colour": an_image(texture(8, samples=3)),
    "loop": a_multiframe(frames=5),
}


def compressed(ds: FileDataset, target: str, folder: Path) -> Path:
    path, out = folder / "in.dcm", folder / "out.dcm"
    path.write_bytes(part10(ds))
    transcode(path, target, out, PixelSettings(), lambda: None)
    return out


@pytest.mark.parametrize("ds", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("target", DCMTK)
def test_dcmtk_sees_the_same_pixels(ds: FileDataset, target: str, tmp_path: Path) -> None:
    ran = run(DCMTK[target], "+te", compressed(ds, target, tmp_path), tmp_path / "judge.dcm")
    assert ran.code == 0, ran.output
    judge = dcmread(tmp_path / "judge.dcm")
    assert np.array_equal(judge.pixel_array, ds.pixel_array)
    assert (judge.PhotometricInterpretation, judge.BitsStored) == (ds.PhotometricInterpretation, ds.BitsStored)


@pytest.mark.parametrize("ds", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("target", GDCM)
def test_gdcm_sees_the_same_pixels(ds: FileDataset, target: str, tmp_path: Path) -> None:
    out = tmp_path / "judge.dcm"
    subprocess.run(["gdcmconv", "--raw", compressed(ds, target, tmp_path), out], check=True, capture_output=True)
    judge = dcmread(out)
    mask = (1 << ds.BitsStored) - 1  # GDCM leaves the sign out where only the Data Set knows of it
    assert np.array_equal(judge.pixel_array.astype(int) & mask, ds.pixel_array.astype(int) & mask)


@pytest.mark.parametrize(
    ("target", "ds"),
    [(JPEG + "50", an_image(texture(8))), (JPEG + "50", IMAGES["colour"]), (JPEG + "51", IMAGES["12 bits"])],
    ids=["baseline", "baseline, colour", "extended"],
)
def test_dcmtk_sees_nearly_the_same_where_something_is_lost(ds: FileDataset, target: str, tmp_path: Path) -> None:
    ran = run("dcmdjpeg", "+te", compressed(ds, target, tmp_path), tmp_path / "judge.dcm")
    assert ran.code == 0, ran.output
    judge = dcmread(tmp_path / "judge.dcm")
    assert judge.LossyImageCompression == "01"
    error = np.abs(judge.pixel_array.astype(int) - ds.pixel_array.astype(int)) / (1 << ds.BitsStored)
    assert error.mean() < 0.1  # there are specks in it, and colour has half the resolution
