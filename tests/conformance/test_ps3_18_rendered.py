"""Rendered resources, thumbnails and WADO-URI over real sockets: PS3.18 8.3.5, 9, 10.4.1.1.3; trap 13 as HTTP."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from fixtures.builders import A_TINY_PDF, a_ct, a_multiframe, a_pdf, a_series, a_sr, uid
from fixtures.web import WebNode, parts_of, web_node

CT = a_ct(rows=40, columns=80)
LOOP = a_multiframe(frames=5, rows=24, columns=48)
PDF, REPORT = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10), a_sr()
SERIES = a_series(3, StudyInstanceUID=uid("to see"), SeriesInstanceUID=uid("to see 1"))
BESIDES = a_sr(StudyInstanceUID=uid("to see"), SeriesNumber=0)
COMPRESSED = [a_ct(transfer_syntax=s) for s in (JPEGLSLossless, JPEG2000Lossless, RLELossless, ExplicitVRBigEndian)]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("rendered")
    with web_node(folder) as node:
        assert node.store(CT, LOOP, PDF, REPORT, BESIDES, *SERIES, *COMPRESSED).status_code == 200
        yield node


def path(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def picture(response: requests.Response, media_type: str = "image/jpeg") -> Image.Image:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == media_type
    image = Image.open(io.BytesIO(response.content))
    image.load()
    assert image.get_format_mimetype() == media_type
    return image


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("*/*", "image/jpeg"),
        ("", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/png, image/jpeg;q=0.5", "image/png"),
        ("text/html, image/webp, */*;q=0.8", "image/jpeg"),
    ],
)
def test_an_instance_is_rendered_as_it_is_accepted(web: WebNode, accept: str, media_type: str) -> None:
    image = picture(web.get(f"{path(CT)}/rendered", accept), media_type)
    assert image.size == (80, 40)


@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
def test_the_query_parameter_wins_over_the_header_field(web: WebNode, resource: str) -> None:
    """Trap 3, clients.md: OHIF."""
    header = 'multipart/related; type="application/octet-stream"'
    picture(web.get(f"{path(CT)}/{resource}?accept=image/jpeg", header))
    assert web.get(f"{path(CT)}/{resource}", header).status_code == 406
    assert web.get(f"{path(CT)}/{resource}?accept=text/html", "image/jpeg").status_code == 406


@pytest.mark.parametrize("accept", ["image/gif", "video/mp4", "text/html", "image/jpeg;q=0"])
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
    [("40,20", (40, 20)), ("160,160", (160, 80)), ("40,20,10,10,20,10", (40, 20)), ("10,10,,,,", (10, 5))],
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
        "window=1",
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
        "viewport=10,10,5",
        "viewport=99999,99999",
        "viewport=10,10,5,5,0,0",
        "viewport=1e3,10",
        "annotation=everything",
        "iccprofile=mine",
        "window=40,400&window=1,2",
    ],
)
def test_impossible_parameters_are_a_400(web: WebNode, query: str) -> None:
    """Trap 13."""
    response = web.get(f"{path(CT)}/rendered?{query}")
    assert response.status_code == 400
    assert response.json()["message"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("annotation=patient,technique", "annotation"),
        ("iccprofile=srgb", "iccprofile"),
        ("quality=50&accept=image/png", "quality"),
    ],
)
def test_parameters_that_change_nothing_are_told(web: WebNode, query: str, named: str) -> None:
    """Trap 13: done, or said."""
    response = web.get(f"{path(CT)}/rendered?{query}")
    assert response.status_code == 200
    assert named in response.headers["Warning"]


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


def test_a_study_and_a_series_are_rendered_image_by_image(web: WebNode) -> None:
    for resource in (f"/studies/{uid('to see')}", f"/studies/{uid('to see')}/series/{uid('to see 1')}"):
        parts = parts_of(web.get(f"{resource}/rendered"))
        assert [headers["Content-Type"] for headers, _ in parts] == ["image/jpeg"] * 3
        assert all(Image.open(io.BytesIO(content)).size == (32, 32) for _, content in parts)


def test_what_is_no_image_cannot_be_rendered(web: WebNode) -> None:
    for resource in ("rendered", "thumbnail"):
        response = web.get(f"{path(REPORT)}/{resource}")
        assert response.status_code == 406
        assert response.json()["message"]


def test_a_document_is_rendered_as_itself(web: WebNode) -> None:
    """PS3.18 8.7.4"""
    for accept in ("application/pdf", "*/*"):
        response = web.get(f"{path(PDF)}/rendered", accept)
        assert response.headers["Content-Type"] == "application/pdf"
        assert response.content == PDF.EncapsulatedDocument
    assert web.get(f"{path(PDF)}/rendered", "image/jpeg").status_code == 406


def test_every_level_has_a_thumbnail(web: WebNode) -> None:
    study, series = f"/studies/{uid('to see')}", f"/studies/{uid('to see')}/series/{uid('to see 1')}"
    for resource in (study, series, path(SERIES[0]), f"{path(LOOP)}/frames/3"):
        assert max(picture(web.get(f"{resource}/thumbnail", "image/jpeg")).size) <= 200


def test_an_instance_whose_pixels_cannot_be_decoded_is_a_406(web: WebNode) -> None:
    """hardening.md 10: never 500."""
    ds = a_ct(transfer_syntax=JPEGLSLossless)
    ds.PixelData = ds.PixelData[:40] + b"\xff" * (len(ds.PixelData) - 48) + ds.PixelData[-8:]
    web.store(ds)
    response = web.get(f"{path(ds)}/rendered")
    assert response.status_code == 406
    assert response.json()["message"]


# WADO-URI


def wado(web: WebNode, ds: Dataset, query: str = "", **headers: str) -> requests.Response:
    uids = f"studyUID={ds.StudyInstanceUID}&seriesUID={ds.SeriesInstanceUID}&objectUID={ds.SOPInstanceUID}"
    url = f"{web.base}/wado?requestType=WADO&{uids}&{query}"
    return requests.get(url, headers=headers, timeout=30)


def test_wado_uri_gives_an_image_by_default_and_a_file_of_the_rest(web: WebNode) -> None:
    """PS3.18 9.1.2.2.1"""
    assert picture(wado(web, CT)).size == (80, 40)
    for ds in (LOOP, REPORT):
        response = wado(web, ds)
        assert response.headers["Content-Type"].startswith("application/dicom")
        assert dcmread(DicomBytesIO(response.content)).SOPInstanceUID == ds.SOPInstanceUID


@pytest.mark.parametrize("syntax", ["", "*", ExplicitVRLittleEndian, JPEGLSLossless])
def test_wado_uri_gives_the_file_in_the_transfer_syntax_asked(web: WebNode, syntax: str) -> None:
    """clients.md: OHIF asks so, with the Accept of frames."""
    ds = COMPRESSED[0]
    accept = 'multipart/related; type="application/octet-stream"'
    response = wado(web, ds, f"contentType=application/dicom&transferSyntax={syntax}", Accept=accept)
    assert response.status_code == 200
    read = dcmread(DicomBytesIO(response.content))
    stored = syntax in ("*", JPEGLSLossless)
    assert read.file_meta.TransferSyntaxUID == (JPEGLSLossless if stored else ExplicitVRLittleEndian)


def test_wado_uri_renders_with_its_own_parameters(web: WebNode) -> None:
    """Trap 13."""
    image = picture(wado(web, CT, "contentType=image/png&windowCenter=40&windowWidth=400"), "image/png")
    assert image.size == (80, 40)
    assert picture(wado(web, CT, "contentType=image/jpeg&rows=20")).size == (40, 20)
    assert picture(wado(web, CT, "contentType=image/jpeg&columns=20")).size == (20, 10)
    assert picture(wado(web, CT, "contentType=image/jpeg&rows=100&columns=100")).size == (100, 50)
    assert picture(wado(web, CT, "contentType=image/jpeg&region=0,0,0.5,1")).size == (40, 40)
    assert picture(wado(web, LOOP, "contentType=image/jpeg&frameNumber=5&imageQuality=50")).size == (48, 24)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("contentType=image/gif", 406),
        ("contentType=nonsense", 400),
        ("contentType=application/dicom&transferSyntax=nonsense", 400),
        ("contentType=application/dicom&transferSyntax=1.2.3", 406),
        ("anonymize=yes", 400),
        ("presentationUID=1.2", 400),
        ("frameNumber=2", 404),
        ("frameNumber=0", 400),
        ("frameNumber=1,1", 400),
        ("windowCenter=40", 400),
        ("windowCenter=a&windowWidth=b", 400),
        ("region=0,0,2,2", 400),
        ("region=0.5,0,0.4,1", 400),
        ("rows=0", 400),
        ("rows=-5", 400),
        ("imageQuality=500", 400),
        ("studyUID=1.2", 400),
    ],
)
def test_wado_uri_tells_what_it_cannot_do(web: WebNode, query: str, status: int) -> None:
    """Trap 13: `anonymize=yes` is done or refused."""
    assert wado(web, CT, query).status_code == status


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("requestType=XERO&studyUID=1&seriesUID=2&objectUID=3", 400),
        ("requestType=WADO&studyUID=1.2&seriesUID=1.3", 400),
        ("requestType=WADO&studyUID=../..&seriesUID=1.3&objectUID=1.4", 400),
        ("requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4", 404),
    ],
)
def test_wado_uri_needs_its_uids(web: WebNode, query: str, status: int) -> None:
    assert requests.get(f"{web.base}/wado?{query}", timeout=10).status_code == status
