"""Grayscale softcopy presentation states as we apply them, judged by DCMTK's dcmp2pgm (PS3.4 N.2).

It knows neither shutters nor graphics; those are in test_presentation.py.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, FileDataset

from fixtures.builders import part10
from fixtures.dcmtk import run
from fixtures.images import an_image, part10_split, texture
from fixtures.states import a_state
from relais.dicom import uids
from relais.pixels.decode import decode_frame
from relais.pixels.image import read_part10_header
from relais.pixels.presentation import read
from relais.pixels.render import render
from relais.pixels.request import RenderRequest

GREY = an_image(texture(12), BitsStored=12, RescaleSlope="2", RescaleIntercept="-1000")
SIGNED = an_image(texture(12, is_signed=True), BitsStored=12, PixelRepresentation=1)
REVERSED = an_image(texture(8), PhotometricInterpretation="MONOCHROME1")


def a_table(first: int, values: np.ndarray[Any, Any], bits: int, **attributes: Any) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(values), first, bits], values.astype("<u2").tobytes()
    item["LUTData"].VR, item["LUTDescriptor"].VR = "OW", "US"
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return [item]


def a_voi_table(first: int, values: np.ndarray[Any, Any], bits: int) -> list[Dataset]:
    item = Dataset()
    item.VOILUTSequence = a_table(first, values, bits)
    return [item]


CURVE = (np.linspace(0, 1, 256) ** 2 * 255).astype(int)
STATES: dict[str, tuple[FileDataset, dict[str, Any]]] = {
    "window": (GREY, {"voi": (1000, 3000)}),
    "narrow window": (GREY, {"voi": (1000, 50)}),
    "no window": (GREY, {}),
    "signed": (SIGNED, {"voi": (0, 1000), "RescaleSlope": None, "RescaleIntercept": None}),
    "signed without window": (SIGNED, {"RescaleSlope": None, "RescaleIntercept": None}),
    "inverse": (GREY, {"voi": (1000, 3000), "PresentationLUTShape": "INVERSE"}),
    "polarity of the image does not count": (
        REVERSED,
        {"voi": (128, 256), "RescaleSlope": "1", "RescaleIntercept": "0"},
    ),
    "VOI table": (GREY, {"SoftcopyVOILUTSequence": a_voi_table(0, np.linspace(0, 4095, 4096), 12)}),
    "presentation table": (
        GREY,
        {
            "voi": (1000, 3000),
            "PresentationLUTShape": None,
            "PresentationLUTSequence": a_table(0, CURVE * 257, 16),
        },
    ),
    "modality table": (
        GREY,
        {
            "voi": (128, 256),
            "RescaleSlope": None,
            "RescaleIntercept": None,
            "ModalityLUTSequence": a_table(0, np.arange(4096) // 16, 8, ModalityLUTType="US"),
        },
    ),
    **{
        f"turned by {angle}, {'' if flip == 'Y' else 'not '}flipped": (
            GREY,
            {"voi": (1000, 3000), "ImageRotation": angle, "ImageHorizontalFlip": flip},
        )
        for angle in (0, 90, 180, 270)
        for flip in "NY"
    },
}


def ours(image: FileDataset, state: FileDataset) -> np.ndarray[Any, Any]:
    header, frame = part10_split(image)
    syntax = uids.EXPLICIT_VR_LITTLE_ENDIAN
    read_header = read_part10_header(header, syntax)
    decoded = decode_frame(frame, syntax, read_header.pixel)
    applied = read(part10(state), image.SOPInstanceUID, 1)
    return np.asarray(Image.open(BytesIO(render(decoded, read_header, RenderRequest("image/png"), 1, applied))))


def theirs(image: FileDataset, state: FileDataset, folder: Path) -> np.ndarray[Any, Any]:
    for name, ds in (("image", image), ("state", state)):
        (folder / name).write_bytes(part10(ds))
    ran = run("dcmp2pgm", "-p", folder / "state", folder / "image", folder / "out.pgm")
    assert ran.code == 0, ran.output
    return np.asarray(Image.open(folder / "out.pgm"))


@pytest.mark.parametrize("name", STATES)
def test_dcmtk_shows_the_same_within_a_grey_level_or_two(name: str, tmp_path: Path) -> None:
    image, attributes = STATES[name]
    state = a_state(image, **attributes)
    shown, judge = ours(image, state), theirs(image, state, tmp_path)
    assert shown.shape == judge.shape
    assert np.abs(shown.astype(int) - judge).max() <= (2 if name == "presentation table" else 1)
