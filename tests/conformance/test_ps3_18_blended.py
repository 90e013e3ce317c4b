"""Blending presentation states, rendered over real sockets (PS3.3 C.11.14); what is seen is computed here."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, FileDataset
from pydicom.uid import (
    BlendingSoftcopyPresentationStateStorage,
    DeformableSpatialRegistrationStorage,
    PositronEmissionTomographyImageStorage,
    SpatialRegistrationStorage,
)

from fixtures.builders import uid
from fixtures.images import an_image, texture
from fixtures.states import a_state
from fixtures.web import WebNode, parts_of, path, web_node

STUDY, SPACE = uid("blended"), uid("a frame of reference")
PNGS = 'multipart/related; type="image/png"'
OPACITY = 0.25
CTS = [
    an_image(
        texture(12, rows=40, columns=60) // (number + 1),
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=uid("below"),
        SOPInstanceUID=uid(f"below {number}"),
        FrameOfReferenceUID=SPACE,
        ImagePositionPatient=[0, 0, 10 * number],
        PixelSpacing=["1", "1"],
        SliceThickness="10",
        BitsStored=12,
        RescaleSlope="1",
        RescaleIntercept="-1000",
    )
    for number in range(3)
]
HOT = np.zeros((20, 20), np.uint16)
HOT[5:10, 8:15] = 3000


def a_pet(name: str, height: float, **attributes: Any) -> FileDataset:
    """Pixels of 2 mm, of which the first has its centre at 10.5, 6.5: 10 to 50 mm across, 6 to 46 mm down."""
    described = {
        "SOPClassUID": PositronEmissionTomographyImageStorage,
        "Modality": "PT",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": uid("above"),
        "SOPInstanceUID": uid(f"above {name}"),
        "FrameOfReferenceUID": SPACE,
        "ImagePositionPatient": [10.5, 6.5, height],
        "PixelSpacing": ["2", "2"],
        "SliceThickness": "4",
        "RescaleSlope": "2",
        "RescaleIntercept": "0",
    }
    return an_image(HOT, **described | attributes)


PETS = [a_pet("near", 1), a_pet("nearer", -0.5), a_pet("elsewhere", 16)]


def a_side(
    position: str, images: list[FileDataset], window: tuple[float, float], slope: str, intercept: str
) -> Dataset:
    item, series, voi = Dataset(), Dataset(), Dataset()
    item.BlendingPosition, item.StudyInstanceUID = position, images[0].StudyInstanceUID
    item.RescaleSlope, item.RescaleIntercept, item.RescaleType = slope, intercept, "US"
    voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = *window, "LINEAR_EXACT"
    item.SoftcopyVOILUTSequence = [voi]
    series.SeriesInstanceUID, series.ReferencedImageSequence = images[0].SeriesInstanceUID, []
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        series.ReferencedImageSequence.append(reference)
    item.ReferencedSeriesSequence = [series]
    return item


def a_blending_state(name: str, over: list[FileDataset], **attributes: Any) -> FileDataset:
    """From black to pure red."""
    sides = [
        a_side("SUPERIMPOSED", over, (3000, 6000), "2", "0"),
        a_side("UNDERLYING", CTS, (1000, 4000), "1", "-1000"),
    ]
    described: dict[str, Any] = {
        "SOPClassUID": BlendingSoftcopyPresentationStateStorage,
        "SOPInstanceUID": uid(name),
        "ReferencedSeriesSequence": None,
        "PresentationLUTShape": None,
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "BlendingSequence": sides,
        "RelativeOpacity": OPACITY,
    }
    for colour in ("Red", "Green", "Blue"):
        described[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        values = np.arange(256, dtype=np.uint16) * 257 * (colour == "Red")
        described[f"{colour}PaletteColorLookupTableData"] = values.astype("<u2").tobytes()
    return a_state(CTS[0], **described | attributes)


STATE = a_blending_state("blends", PETS)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("blended")
    with web_node(folder) as node:
        assert node.store(*CTS, *PETS, STATE).status_code == 200
        yield node


def below(number: int) -> np.ndarray[Any, Any]:
    values = CTS[number].pixel_array.astype(float) - 1000
    return (np.clip((values - 1000) / 4000 + 0.5, 0, 1) * 255 + 0.5).astype(int)


def shown(web: WebNode, state: FileDataset = STATE) -> list[np.ndarray[Any, Any]]:
    response = web.get(f"{path(state)}/rendered", PNGS)
    assert response.status_code == 200, response.text
    return [np.asarray(Image.open(io.BytesIO(content)), int) for _, content in parts_of(response)]


def test_each_underlying_frame_is_seen_with_what_lies_over_it(web: WebNode) -> None:
    """PS3.3 C.11.14.1.2"""
    pictures = shown(web)
    assert [picture.shape for picture in pictures] == [(40, 60, 3)] * 3
    grey = below(0)
    inside, warm = np.zeros((40, 60)), np.zeros((40, 60))
    inside[6:40, 10:50] = OPACITY
    warm[16:26, 26:40] = 255  # two pixels for each: rows 6 + 2 * 5 to 6 + 2 * 10, columns 10 + 2 * 8 to 10 + 2 * 15
    expected = grey[..., None] * (1 - inside[..., None]) + np.dstack([warm, warm * 0, warm * 0]) * inside[..., None]
    rim = np.zeros((40, 60), bool)  # where the edge of the warm spot is smoothed
    rim[14:28, 24:42] = True
    rim[18:24, 28:38] = False
    assert np.abs(pictures[0] - expected)[~rim].max() <= 1
    assert pictures[0][20, 30].tolist()[0] > pictures[0][20, 30].tolist()[1] + 50


def test_a_frame_under_nothing_is_seen_alone(web: WebNode) -> None:
    """The third one is at 16 mm: too far from the slices at 10 and 20."""
    for number in (1, 2):
        assert np.abs(shown(web)[number] - below(number)[..., None]).max() <= 1


def test_it_may_be_asked_for_in_another_size_and_form(web: WebNode) -> None:
    response = web.get(
        f"{path(STATE)}/rendered?viewport=30,30&annotation=patient", 'multipart/related; type="image/jpeg"'
    )
    assert response.status_code == 200
    assert [Image.open(io.BytesIO(content)).size for _, content in parts_of(response)] == [(30, 20)] * 3


def test_by_wado_uri_it_is_asked_for_itself_and_not_with_an_image(web: WebNode) -> None:
    """PS3.18 9.5.1.2.7"""

    def asked(ds: FileDataset, **more: str) -> int:
        uids = {"studyUID": STUDY, "seriesUID": ds.SeriesInstanceUID, "objectUID": ds.SOPInstanceUID}
        query = "&".join(f"{name}={value}" for name, value in ({"requestType": "WADO"} | uids | more).items())
        return web.session.get(f"{web.base}/wado?{query}&contentType=image/png").status_code

    assert asked(STATE) == 200
    state = {"presentationUID": STATE.SOPInstanceUID, "presentationSeriesUID": STATE.SeriesInstanceUID}
    assert asked(CTS[0], **state) == 406


@pytest.mark.parametrize(
    ("name", "over", "attributes"),
    [
        ("in another space", [a_pet("in another space", 0, FrameOfReferenceUID=uid("elsewhere"))], {}),
        ("in no plane", [a_pet("in no plane", 0, ImagePositionPatient=None)], {}),
        ("upright", [a_pet("upright", 0, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])], {}),
        ("in colours", [an_image(texture(8, samples=3), StudyInstanceUID=STUDY, FrameOfReferenceUID=SPACE)], {}),
        ("without an opacity", PETS, {"RelativeOpacity": None}),
        ("with a registration nowhere", PETS, {"ReferencedSpatialRegistrationSequence": [Dataset()]}),
        ("without images", PETS, {"BlendingSequence": []}),
    ],
)
def test_what_cannot_be_laid_over_each_other_is_a_406(
    web: WebNode, name: str, over: list[FileDataset], attributes: dict[str, Any]
) -> None:
    state = a_blending_state(name, over, **attributes)
    assert web.store(*over, state).status_code == 200
    response = web.get(f"{path(state)}/rendered", PNGS)
    assert response.status_code == 406, response.text


ELSEWHERE = uid("another frame of reference")
TURNED = a_pet("turned", -7, FrameOfReferenceUID=ELSEWHERE, SeriesInstanceUID=uid("turned"))
# From there to here: a quarter turn about the patient's long axis, and then to where the other is.
QUARTER = [0, -1, 0, 57, 1, 0, 0, -4, 0, 0, 1, 7, 0, 0, 0, 1]


def a_registration(name: str, *matrices: list[float], **attributes: Any) -> FileDataset:
    """From ELSEWHERE to SPACE."""
    registration, item = Dataset(), Dataset()
    registration.MatrixSequence = []
    for values in matrices:
        matrix = Dataset()
        matrix.FrameOfReferenceTransformationMatrix = [str(value) for value in values]
        matrix.FrameOfReferenceTransformationMatrixType = "RIGID"
        registration.MatrixSequence.append(matrix)
    item.FrameOfReferenceUID, item.MatrixRegistrationSequence = ELSEWHERE, [registration]
    described = {
        "SOPClassUID": SpatialRegistrationStorage,
        "SOPInstanceUID": uid(name),
        "SeriesInstanceUID": uid("registrations"),
        "Modality": "REG",
        "FrameOfReferenceUID": SPACE,
        "RegistrationSequence": [item],
    }
    return a_state(CTS[0], **described | attributes)


def named(registration: FileDataset) -> dict[str, Any]:
    """The attribute of a presentation state that names *registration* (PS3.3 table C.17-3)."""
    item, series, reference = Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
        registration.SOPClassUID,
        registration.SOPInstanceUID,
    )
    series.SeriesInstanceUID, series.ReferencedSOPSequence = registration.SeriesInstanceUID, [reference]
    item.StudyInstanceUID, item.ReferencedSeriesSequence = registration.StudyInstanceUID, [series]
    return {"ReferencedSpatialRegistrationSequence": [item]}


def test_a_registration_takes_one_image_onto_the_other(web: WebNode) -> None:
    """PS3.3 C.20.2: the same as an image that was made there."""
    registration = a_registration("quarter", QUARTER)
    state = a_blending_state("is registered", [TURNED], **named(registration))
    first = [57 - 6.5, 10.5 - 4, 0]  # where the matrix takes the first pixel, at 10.5, 6.5, -7
    made = a_pet(
        "made there",
        0,
        SeriesInstanceUID=uid("made there"),
        ImagePositionPatient=first,
        ImageOrientationPatient=[0, 1, 0, -1, 0, 0],
    )
    plain = a_blending_state("needs no registration", [made])
    assert web.store(TURNED, registration, state, made, plain).status_code == 200
    found, expected = shown(web, state), shown(web, plain)
    assert [np.abs(a - b).max() for a, b in zip(found, expected, strict=True)] == [0, 0, 0]
    assert (found[0][..., 0] > found[0][..., 1] + 50).any(), "the warm spot is seen"


def test_matrices_of_a_registration_are_applied_one_after_the_other(web: WebNode) -> None:
    turn = [0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    shift = [1, 0, 0, 57, 0, 1, 0, -4, 0, 0, 1, 7, 0, 0, 0, 1]
    steps = a_registration("in two steps", turn, shift)
    whole = a_registration("in one step", QUARTER)
    states = [a_blending_state(f"by {one.SOPInstanceUID}", [TURNED], **named(one)) for one in (steps, whole)]
    assert web.store(TURNED, steps, whole, *states).status_code == 200
    pictures = [shown(web, state) for state in states]
    assert all((a == b).all() for a, b in zip(*pictures, strict=True))


@pytest.mark.parametrize(
    ("name", "registration", "status"),
    [
        ("out of its plane", a_registration("out", [1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1]), 406),
        ("into a point", a_registration("point", [0] * 15 + [1]), 406),
        ("sheared", a_registration("sheared", [1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 7, 0, 0, 0, 1]), 406),
        ("no matrix", a_registration("none"), 406),
        ("half a matrix", a_registration("half", [1, 0, 0, 0, 0, 1, 0, 0]), 406),
        ("a projection", a_registration("projection", [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 7, 0, 0, 1, 1]), 406),
        ("a deformable one", a_registration("bends", QUARTER, SOPClassUID=DeformableSpatialRegistrationStorage), 406),
    ],
)
def test_what_a_registration_does_not_bring_together_is_a_406(
    web: WebNode, name: str, registration: FileDataset, status: int
) -> None:
    state = a_blending_state(f"registered {name}", [TURNED], **named(registration))
    assert web.store(TURNED, registration, state).status_code == 200
    response = web.get(f"{path(state)}/rendered", PNGS)
    assert response.status_code == status, response.text


def test_a_registration_that_is_not_here_is_a_404(web: WebNode) -> None:
    state = a_blending_state("registered elsewhere", [TURNED], **named(a_registration("not sent", QUARTER)))
    assert web.store(TURNED, state).status_code == 200
    assert web.get(f"{path(state)}/rendered", PNGS).status_code == 404


def test_images_that_are_not_here_are_a_404(web: WebNode) -> None:
    state = a_blending_state("of what is gone", [a_pet("gone", 0, SeriesInstanceUID=uid("gone"))])
    assert web.store(state).status_code == 200
    assert web.get(f"{path(state)}/rendered", PNGS).status_code == 404
