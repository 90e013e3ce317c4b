"""Rendered images over real sockets: media types, parameters, frames. PS3.18 8.3.5, 8.7.4, 10.4.1.1.3; trap 13."""

import io
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    XRayAngiographicImageStorage,
)

from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, part10, uid
from fixtures.images import an_image, texture
from fixtures.pictures import picture
from fixtures.states import a_state
from fixtures.web import WebNode, parts_of, path, web_node

CT = a_ct(rows=40, columns=80)
LOOP = a_multiframe(frames=5, rows=24, columns=48)
REPORT = a_sr()
MOVING = an_image(np.stack([np.roll(texture(8), step) for step in range(5)]), frames=True, FrameTime="40")
COLOURS = an_image(texture(8, samples=3))
SERIES = a_series(3, StudyInstanceUID=uid("to see"), SeriesInstanceUID=uid("to see 1"))
BESIDES = a_sr(StudyInstanceUID=uid("to see"), SeriesNumber=0)
COMPRESSED = [a_ct(transfer_syntax=s) for s in (JPEGLSLossless, JPEG2000Lossless, RLELossless, ExplicitVRBigEndian)]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("rendered")
    with web_node(folder) as node:
        others = (MOVING, COLOURS, *COMPRESSED)
        assert node.store(CT, LOOP, REPORT, BESIDES, *SERIES, *others).status_code == 200
        yield node


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("*/*", "image/jpeg"),
        ("", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/gif", "image/gif"),
        ("image/jp2", "image/jp2"),
        ("image/jph, image/jpeg;q=0.5", "image/jph"),
        ("image/png, image/jpeg;q=0.5", "image/png"),
        ("text/html, image/webp, */*;q=0.8", "image/jpeg"),
    ],
)
def test_an_instance_is_rendered_as_it_is_accepted(web: WebNode, accept: str, media_type: str) -> None:
    image = picture(web.get(f"{path(CT)}/rendered", accept), media_type)
    assert image.size == (80, 40)


def test_an_angiography_is_subtracted_where_it_says_so_and_by_a_presentation_state(tmp_path: Path) -> None:
    """PS3.3 C.7.6.10, C.11.13"""
    frames = np.stack([np.roll(texture(8), number, 1) // 2 + number for number in range(4)])
    operation = Dataset()
    operation.MaskOperation, operation.MaskFrameNumbers = "AVG_SUB", [1]
    xa = {"SOPClassUID": XRayAngiographicImageStorage, "Modality": "XA", "MaskSubtractionSequence": [operation]}
    run = an_image(frames, frames=True, RecommendedViewingMode="SUB", **xa)
    plain = an_image(frames, frames=True, SOPInstanceUID=uid("natural"), RecommendedViewingMode="NAT", **xa)
    window = {"voi": (0.5, 511), "RescaleSlope": "1", "RescaleIntercept": "0"}
    state = a_state(plain, frames=[3], SOPInstanceUID=uid("subtracts"), MaskSubtractionSequence=[operation], **window)
    difference = frames[2].astype(float) - frames[0]
    with web_node(tmp_path) as web:
        assert web.store(run, plain, state).status_code == 200
        low, high = difference.min(), difference.max()
        shown = np.asarray(picture(web.get(f"{path(run)}/frames/3/rendered", "image/png"), "image/png"), float)
        assert np.abs(shown - (difference - low) / (high - low) * 255).max() <= 1
        natural = np.asarray(picture(web.get(f"{path(plain)}/frames/3/rendered", "image/png"), "image/png"), float)
        assert np.abs(natural - shown).max() > 50
        (part,) = parts_of(web.get(f"{path(state)}/rendered", 'multipart/related; type="image/png"'))
        by_state = np.asarray(Image.open(io.BytesIO(part[1])), float)
        assert np.abs(by_state - ((difference - 0) / 510 + 0.5) * 255).max() <= 1


@pytest.mark.parametrize("ds", [CT, LOOP], ids=["grey", "several frames"])
def test_htj2k_has_its_boxes_and_loses_nothing(web: WebNode, ds: Dataset) -> None:
    """PS3.18 8.7.4"""
    response = web.get(f"{path(ds)}/rendered", "image/jph")
    assert response.content[4:12] == b"jP  \r\n\x87\n"
    assert response.content[20:24] == b"jph "
    plain = picture(web.get(f"{path(ds)}/rendered", "image/png"), "image/png")
    assert np.array_equal(np.asarray(picture(response, "image/jph")), np.asarray(plain))


def test_jpeg_xl_is_as_good_as_is_asked_for(web: WebNode) -> None:
    """PS3.18 8.3.5.1.2, 8.7.4"""
    plain = np.asarray(picture(web.get(f"{path(CT)}/rendered", "image/png"), "image/png"), int)
    sizes = []
    for quality, most in ((100, 0), (90, 20), (20, 128)):
        response = web.get(f"{path(CT)}/rendered?quality={quality}", "image/jxl")
        assert (response.status_code, response.headers["Content-Type"]) == (200, "image/jxl")
        assert "Warning" not in response.headers
        assert np.abs(imagecodecs.jpegxl_decode(response.content).astype(int) - plain).max() <= most
        sizes.append(len(response.content))
    assert sizes[1] > sizes[2]


@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
def test_the_query_parameter_wins_over_the_header_field(web: WebNode, resource: str) -> None:
    """PS3.18 8.7.8.1; trap 3, clients.md: OHIF."""
    header = 'multipart/related; type="application/octet-stream"'
    picture(web.get(f"{path(CT)}/{resource}?accept=image/jpeg", header))
    assert web.get(f"{path(CT)}/{resource}", header).status_code == 406
    assert web.get(f"{path(CT)}/{resource}?accept=text/html", header).status_code == 406
    picture(web.get(f"{path(CT)}/{resource}?accept=text/html", "image/jpeg"))
    assert web.get(f"{path(CT)}/{resource}?accept=image/png", "image/jpeg").headers["Content-Type"] == "image/png"
    assert web.get(f"{path(CT)}/{resource}?accept=image/png,application/dicom").status_code == 400


def test_a_study_comes_in_parts_even_if_it_is_one_image(web: WebNode) -> None:
    """PS3.18 10.4.4"""
    study = f"/studies/{CT.StudyInstanceUID}"
    series = f"{study}/series/{CT.SeriesInstanceUID}"
    for resource in (study, series):
        assert web.get(f"{resource}/rendered", "image/jpeg").status_code == 406
        assert web.get(f"{resource}/rendered", "*/*").headers["Content-Type"].startswith("multipart/related")


@pytest.mark.parametrize("accept", ["image/webp", "video/mp4", "text/html", "image/jpeg;q=0"])
def test_what_is_not_made_is_a_406(web: WebNode, accept: str) -> None:
    assert web.get(f"{path(CT)}/rendered", accept).status_code == 406


@pytest.mark.parametrize("ds", COMPRESSED, ids=lambda ds: ds.file_meta.TransferSyntaxUID.keyword)
def test_every_transfer_syntax_looks_the_same(web: WebNode, ds: Dataset) -> None:
    """Trap 13."""
    plain = web.get(f"{path(SERIES[0])}/rendered", "image/png")
    assert web.get(f"{path(ds)}/rendered", "image/png").content == plain.content


def test_a_window_changes_what_is_seen(web: WebNode) -> None:
    """Trap 13."""
    stored = np.asarray(picture(web.get(f"{path(CT)}/rendered", "image/png"), "image/png"), int)
    wide = np.asarray(picture(web.get(f"{path(CT)}/rendered?window=1000,4096,linear", "image/png"), "image/png"), int)
    same = np.asarray(picture(web.get(f"{path(CT)}/rendered?window=40,400,linear", "image/png"), "image/png"), int)
    assert np.array_equal(stored, same)
    assert len(np.unique(wide)) > len(np.unique(stored))
    for function in ("linear-exact", "sigmoid", "LINEAR"):
        picture(web.get(f"{path(CT)}/rendered?window=40,400,{function}"))


@pytest.mark.parametrize(
    ("viewport", "size"),
    [
        ("40,20", (40, 20)),
        ("160,160", (160, 80)),
        ("40,20,10,10,20,10", (40, 20)),
        ("10,10,,,,", (10, 5)),
        ("10,10,70", (2, 10)),
    ],
)
def test_a_viewport_scales_and_cuts(web: WebNode, viewport: str, size: tuple[int, int]) -> None:
    """Trap 13; PS3.18 8.3.5.1.3"""
    assert picture(web.get(f"{path(CT)}/rendered?viewport={viewport}")).size == size


def test_quality_changes_the_size(web: WebNode) -> None:
    low, high = (web.get(f"{path(CT)}/rendered?quality={quality}") for quality in (5, 95))
    assert len(low.content) < len(high.content)
    assert picture(low).size == picture(high).size


@pytest.mark.parametrize(
    "query",
    [
        "quality=0",
        "quality=101",
        "quality=best",
        "window=",
        "window=1",
        "window=40,400",
        "window=a,b",
        "window=40,0,linear",
        "window=40,-5",
        "window=40,400,cubic",
        "window=nan,1",
        "window=40,inf",
        "window=1,2,linear,3",
        "viewport=0,0",
        "viewport=-1,5",
        "viewport=10",
        "viewport=",
        "viewport=10,10,5,5,5,5,5",
        "viewport=10,10,81",
        "viewport=10,10,70,0,20,20",
        "viewport=99999,99999",
        "viewport=10,10,5,5,0,0",
        "viewport=1e3,10",
        "quality=",
        "annotation=",
        "annotation=everything",
        "iccprofile=",
        "iccprofile=srgb&accept=image/gif",
        "iccprofile=yes&accept=image/jp2",
        "iccprofile=mine",
        "window=40,400&window=1,2",
    ],
)
def test_impossible_parameters_are_a_400(web: WebNode, query: str) -> None:
    """Trap 13."""
    response = web.get(f"{path(CT)}/rendered?{query}")
    assert response.status_code == 400
    assert response.json()["message"]


def test_quality_that_changes_nothing_is_told(web: WebNode) -> None:
    """Trap 13: done, or said."""
    response = web.get(f"{path(CT)}/rendered?quality=50&accept=image/png")
    assert response.status_code == 200
    assert "quality" in response.headers["Warning"]


def test_a_window_on_colours_is_told_to_change_nothing(web: WebNode) -> None:
    """Trap 13: done, or said."""
    plain, asked = (web.get(f"{path(COLOURS)}/rendered{query}") for query in ("", "?window=1,2,linear"))
    assert plain.content == asked.content
    assert "window" in asked.headers["Warning"]
    assert "Warning" not in web.get(f"{path(CT)}/rendered?window=1,2,linear").headers
    both = web.get(f"{path(COLOURS)}/rendered?window=1,2,linear&quality=5", "image/png").headers["Warning"]
    assert [warning[:13] for warning in both.split('", ')] == ['299 relais "T', '299 relais "A']


def test_annotation_is_written_into_the_image(web: WebNode) -> None:
    """PS3.18 8.3.5.1.1"""
    size = "accept=image/png&viewport=800,400"
    bare, *annotated = (
        np.asarray(picture(web.get(f"{path(CT)}/rendered?{size}{more}"), "image/png"), int)
        for more in ("", "&annotation=patient", "&annotation=technique", "&annotation=patient,technique")
    )
    changed = [np.argwhere(other != bare) for other in annotated]
    assert changed[0][:, 0].max() < 150  # at the top
    assert changed[1][:, 0].min() > 250  # at the bottom
    assert len(changed[2]) == len(changed[0]) + len(changed[1])


@pytest.mark.parametrize("profile", ["yes", "srgb", "adobergb", "rommrgb", "displayp3"])
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_an_image_is_labelled_with_the_colour_space_that_was_asked_for(
    web: WebNode, profile: str, media_type: str
) -> None:
    """PS3.18 8.3.5.1.5"""
    image = picture(web.get(f"{path(COLOURS)}/rendered?iccprofile={profile}", media_type), media_type)
    assert image.info["icc_profile"][36:40] == b"acsp"
    assert "icc_profile" not in picture(web.get(f"{path(COLOURS)}/rendered?iccprofile=no")).info


def test_several_frames_move_as_a_gif(web: WebNode) -> None:
    """PS3.18 8.7.4: Multi-frame Image"""
    moving = Image.open(io.BytesIO(web.get(f"{path(MOVING)}/rendered", "image/gif").content))
    assert (moving.n_frames, moving.info["duration"], moving.info["loop"]) == (5, 40, 0)
    response = web.get(f"{path(MOVING)}/frames/5,1,3/rendered", "image/gif")
    assert Image.open(io.BytesIO(response.content)).n_frames == 3
    assert web.get(f"{path(MOVING)}/frames/5,9/rendered", "image/gif").status_code == 404


def test_every_frame_is_a_part_where_parts_are_acceptable(web: WebNode) -> None:
    parts = parts_of(web.get(f"{path(LOOP)}/rendered", 'multipart/related; type="image/png"'))
    assert len(parts) == 5
    assert picture(web.get(f"{path(LOOP)}/rendered", "image/jpeg")).size == (48, 24)


@pytest.mark.parametrize("resource", ["rendered", "frames/1/rendered"])
def test_head_of_what_is_no_image_is_refused_as_get_is(tmp_path: Path, resource: str) -> None:
    """RFC 9110 9.3.2"""
    no_pixels, no_loop, damaged = a_ct(), a_multiframe(frames=5), a_ct(transfer_syntax=JPEG2000Lossless)
    del no_pixels.PixelData, no_loop.PixelData
    damaged.PixelData = encapsulate([b"not a picture"])
    with web_node(tmp_path) as node:
        for ds in (no_pixels, no_loop, damaged, CT):
            assert node.store(ds).status_code == 200
            for accept in ("image/png", 'multipart/related; type="image/png"'):
                get, head = (node.request(method, f"{path(ds)}/{resource}", accept) for method in ("GET", "HEAD"))
                assert (get.status_code == 200) == (ds is CT)
                assert head.status_code == get.status_code
                assert ds is not CT or head.headers["Content-Length"] == get.headers["Content-Length"]


def test_frames_are_rendered_by_their_numbers(web: WebNode) -> None:
    image = picture(web.get(f"{path(LOOP)}/frames/5/rendered"))
    assert image.size == (48, 24)
    response = web.get(f"{path(LOOP)}/frames/5,1/rendered", 'multipart/related; type="image/png"')
    assert response.headers["Content-Type"].startswith('multipart/related; type="image/png"; boundary=')
    parts = parts_of(response)
    assert [headers["Content-Location"].rpartition("/frames/")[2] for headers, _ in parts] == [
        "5/rendered",
        "1/rendered",
    ]
    assert all(Image.open(io.BytesIO(content)).size == (48, 24) for _, content in parts)
    assert web.get(f"{path(LOOP)}/frames/5,1/rendered", "image/jpeg").status_code == 406


@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
@pytest.mark.parametrize(("numbers", "status"), [("6", 404), ("0", 400), ("a", 400)])
def test_frames_that_are_not_there_are_told(web: WebNode, resource: str, numbers: str, status: int) -> None:
    assert web.get(f"{path(LOOP)}/frames/{numbers}/{resource}").status_code == status


@pytest.mark.parametrize("numbers", ["1,6", "6,1"])
def test_a_list_with_a_frame_that_is_not_there_is_told_before_the_answer_begins(web: WebNode, numbers: str) -> None:
    """Trap 12"""
    for accept in ('multipart/related; type="image/jpeg"', "image/gif", "*/*"):
        assert web.get(f"{path(LOOP)}/frames/{numbers}/rendered", accept).status_code == 404


def test_a_study_and_a_series_are_rendered_image_by_image(web: WebNode) -> None:
    for resource in (f"/studies/{uid('to see')}", f"/studies/{uid('to see')}/series/{uid('to see 1')}"):
        parts = parts_of(web.get(f"{resource}/rendered"))
        assert [headers["Content-Type"] for headers, _ in parts] == ["image/jpeg"] * 3
        assert all(Image.open(io.BytesIO(content)).size == (32, 32) for _, content in parts)


def test_what_is_no_image_has_no_picture(web: WebNode) -> None:
    for resource in ("rendered", "thumbnail"):
        response = web.get(f"{path(REPORT)}/{resource}", "image/jpeg")
        assert response.status_code == 406
        assert response.json()["message"]


def test_what_was_rendered_is_kept_within_its_bound(tmp_path: Path) -> None:
    with web_node(tmp_path) as node:
        node.store(CT)
        first = node.get(f"{path(CT)}/rendered?quality=50")
        assert len([file for file in (tmp_path / "cache").rglob("*") if file.is_file()]) == 1
        kept = next(file for file in (tmp_path / "cache").rglob("*") if file.is_file())
        kept.write_bytes(b"kept")
        assert node.get(f"{path(CT)}/rendered?quality=50").content == b"kept"
        assert node.get(f"{path(CT)}/rendered?quality=51").content[:4] == first.content[:4]


def test_an_instance_whose_pixels_cannot_be_decoded_is_a_406(web: WebNode) -> None:
    """hardening.md 10: never 500."""
    ds = a_ct(transfer_syntax=JPEGLSLossless)
    ds.PixelData = ds.PixelData[:40] + b"\xff" * (len(ds.PixelData) - 48) + ds.PixelData[-8:]
    web.store(ds)
    response = web.get(f"{path(ds)}/rendered")
    assert response.status_code == 406
    assert response.json()["message"]


@pytest.mark.parametrize("place", [1, 2])
def test_an_image_that_cannot_be_decoded_cuts_no_other_short(web: WebNode, place: int) -> None:
    """Trap 12: it is left out, alone it is an error."""
    study = uid(f"spoilt at {place}")
    seen = [a_ct(StudyInstanceUID=study, SeriesNumber=n) for n in (1, 2, 3) if n != place]
    spoilt = a_ct(StudyInstanceUID=study, SeriesNumber=place, transfer_syntax=JPEG2000Lossless)
    beginning = b"\xff\x4f\xff\x51"
    web.store(part10(spoilt).replace(beginning, bytes(len(beginning))), *seen)
    response = web.get(f"/studies/{study}/rendered", 'multipart/related; type="image/png"')
    locations = [headers["Content-Location"] for headers, _ in parts_of(response)]
    assert locations == [f"{web.service}{path(ds)}/frames/1/rendered" for ds in seen]
    assert web.get(f"{path(spoilt)}/rendered", 'multipart/related; type="image/png"').status_code == 406


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")])
def test_pixels_are_floats_where_their_element_says_so(web: WebNode, keyword: str, kind: str, count: int) -> None:
    """PS3.3 C.7.6.24, C.7.6.25; whatever a writer has left of a template for integers."""
    frames = np.stack([np.linspace(0, 1, 4096).reshape(64, 64).astype(kind)] * count)
    ds = an_image(frames, frames=True, SOPInstanceUID=uid(f"{count} {kind}"), BitsAllocated=frames.itemsize * 8)
    assert ds.BitsStored == ds.BitsAllocated
    setattr(ds, keyword, ds.PixelData)
    del ds.PixelData
    web.store(ds)
    shown = picture(web.get(f"{path(ds)}/frames/{count}/rendered", "image/png"), "image/png")
    assert np.abs(np.asarray(shown, int) - np.rint(frames[0] * 255)).max() == 0


def test_wide_integers_are_none_the_less_integers(web: WebNode) -> None:
    """PS3.3 C.7.6.24: Float Pixel Data has an element of its own."""
    pixels = np.linspace(0, 0xFFFFFFFF, 4096).reshape(64, 64).astype(np.uint32)
    ds = an_image(pixels, SOPInstanceUID=uid("wide"))
    del ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    web.store(ds)
    shown = picture(web.get(f"{path(ds)}/rendered", "image/png"), "image/png")
    assert np.abs(np.asarray(shown, int) - np.rint(pixels / 0xFFFFFFFF * 255)).max() <= 1


@pytest.mark.parametrize("place", [1, 2])
def test_an_image_beyond_a_limit_cuts_no_other_short(web: WebNode, place: int) -> None:
    """Trap 12: it is left out, alone it is an error."""
    study = uid(f"too large at {place}")
    seen = [a_ct(StudyInstanceUID=study, SeriesNumber=n) for n in (1, 2, 3) if n != place]
    large = a_ct(StudyInstanceUID=study, SeriesNumber=place, transfer_syntax=JPEG2000Lossless, Rows=9000, Columns=8000)
    web.store(large, *seen)
    response = web.get(f"/studies/{study}/rendered", 'multipart/related; type="image/png"')
    locations = [headers["Content-Location"] for headers, _ in parts_of(response)]
    assert locations == [f"{web.service}{path(ds)}/frames/1/rendered" for ds in seen]
    assert response.content.endswith(b"--\r\n")
    assert web.get(f"{path(large)}/rendered", 'multipart/related; type="image/png"').status_code == 413
