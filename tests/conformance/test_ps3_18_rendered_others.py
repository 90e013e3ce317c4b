"""Rendered reports, documents, video, presentation states; thumbnails. PS3.18 8.7.4, 8.8, 10.4.1.1.3, 10.4.1.1.4."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import HEVCMP51, MPEG2MPML, MPEG4HP41, EncapsulatedCDAStorage

from fixtures.builders import A_TINY_PDF, a_ct, a_film, a_multiframe, a_pdf, a_series, a_sr, uid
from fixtures.pictures import picture
from fixtures.states import a_state
from fixtures.web import WebNode, parts_of, path, web_node

CT = a_ct(rows=40, columns=80)
LOOP = a_multiframe(frames=5, rows=24, columns=48)
PDF, REPORT = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10), a_sr()
LETTER = a_pdf(
    SOPClassUID=EncapsulatedCDAStorage,
    MIMETypeOfEncapsulatedDocument="text/xml",
    EncapsulatedDocument=b"<ClinicalDocument/>\0",
    EncapsulatedDocumentLength=19,
)
FILMS = [
    (a_film(MPEG2MPML, b"\0\0\1\xba"), "video/mpeg"),
    (a_film(MPEG4HP41, b"\0\0\0\x18ftypmp42"), "video/mp4"),
    (a_film(HEVCMP51, (b"\x47" + bytes(187)) * 2), "video/mp2t"),
]
NO_FILM = a_film(MPEG4HP41, b"nothing known")
STATE = a_state(CT, voi=(0, 100), PresentationLUTShape="INVERSE", ImageHorizontalFlip="Y", ImageRotation=0)
LOOP_STATE = a_state(LOOP, frames=[2, 4], RescaleSlope=None, RescaleIntercept=None)
LONG_STATE = a_state(LOOP, frames=[1, LOOP.NumberOfFrames + 1], RescaleSlope=None, RescaleIntercept=None)
LOST_STATE = a_state(a_ct())
SERIES = a_series(3, StudyInstanceUID=uid("to see"), SeriesInstanceUID=uid("to see 1"))
BESIDES = a_sr(StudyInstanceUID=uid("to see"), SeriesNumber=0)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("others")
    with web_node(folder) as node:
        films = [ds for ds, _ in FILMS]
        others = (LETTER, NO_FILM, STATE, LOOP_STATE, LONG_STATE, LOST_STATE, *films)
        assert node.store(CT, LOOP, PDF, REPORT, BESIDES, *SERIES, *others).status_code == 200
        yield node


def test_a_report_is_a_page_or_lines_of_text(web: WebNode) -> None:
    """PS3.18 8.7.4: Text"""
    page = web.get(f"{path(REPORT)}/rendered")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script" not in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<b>Finding:</b> No abnormality." in page.text
    assert "Hélène" in page.text
    lines = web.get(f"{path(REPORT)}/rendered", "text/plain")
    assert "Finding: No abnormality.\n" in lines.text
    assert web.get(f"{path(REPORT)}/rendered", "text/xml").text.startswith("<?xml")
    document = web.get(f"{path(REPORT)}/rendered", "text/rtf, text/html;q=0.5")
    assert document.headers["Content-Type"] == "text/rtf"
    assert document.content.startswith(rb"{\rtf1\ansi")
    assert rb"H\u233?l\u232?ne" in document.content
    assert "window" in web.get(f"{path(REPORT)}/rendered?window=1,2,linear").headers["Warning"]


@pytest.mark.parametrize(
    ("charset", "status", "found"),
    [
        ("utf-8", 200, "Hélène".encode()),
        ("iso-8859-1", 200, "Hélène".encode("latin-1")),
        ("us-ascii", 406, b""),
        ("rot13, utf-8;q=0.5", 200, "Hélène".encode()),
    ],
)
def test_text_comes_in_the_character_set_that_was_asked_for(
    web: WebNode, charset: str, status: int, found: bytes
) -> None:
    """PS3.18 8.8"""
    by_parameter = web.get(f"{path(REPORT)}/rendered?charset={charset}", "text/plain")
    by_header = web.get(f"{path(REPORT)}/rendered", "text/plain", Accept_Charset=charset)
    with_type = (
        web.get(f"{path(REPORT)}/rendered?charset=utf-8", f"text/plain;charset={charset}") if found else by_header
    )
    for response in (by_parameter, by_header, with_type):
        assert response.status_code == status
        assert found in response.content


def test_a_character_set_that_is_not_made_is_a_400_as_parameter_and_a_406_as_header_field(web: WebNode) -> None:
    """PS3.18 8.3.3.2, 8.8"""
    for charset in ("ebcdic-nonsense", "rot13", "shift_jis"):
        assert web.get(f"{path(REPORT)}/rendered?charset={charset}", "text/plain").status_code == 400
        by_header = web.get(f"{path(REPORT)}/rendered", "text/plain", Accept_Charset=charset)
        assert by_header.status_code == 406


def test_a_document_is_rendered_as_itself(web: WebNode) -> None:
    """PS3.18 8.7.4"""
    for accept in ("application/pdf", "*/*"):
        response = web.get(f"{path(PDF)}/rendered", accept)
        assert response.headers["Content-Type"] == "application/pdf"
        assert response.content == PDF.EncapsulatedDocument
    assert web.get(f"{path(PDF)}/rendered", "image/jpeg").status_code == 406
    response = web.get(f"{path(LETTER)}/rendered")
    assert response.headers["Content-Type"] == "text/xml"
    assert response.content == b"<ClinicalDocument/>"
    assert "sandbox" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("ds", "media_type"), FILMS, ids=lambda value: value if isinstance(value, str) else "")
def test_video_is_passed_on_as_it_is(web: WebNode, ds: Dataset, media_type: str) -> None:
    """PS3.18 8.7.4: Video"""
    response = web.get(f"{path(ds)}/rendered")
    assert (response.status_code, response.headers["Content-Type"]) == (200, media_type)
    start = response.content[:50]
    assert b"".join(generate_frames(ds.PixelData, number_of_frames=1)).startswith(start)
    assert web.get(f"{path(ds)}/rendered", Range="bytes=4-11").content == response.content[4:12]
    assert web.get(f"{path(ds)}/rendered", "image/jpeg").status_code == 406


def test_video_in_no_known_stream_is_a_406(web: WebNode) -> None:
    assert web.get(f"{path(NO_FILM)}/rendered").status_code == 406


# Presentation states


def test_a_presentation_state_is_the_images_that_it_shows(web: WebNode) -> None:
    """PS3.18 10.4.1.1.3; PS3.4 N.2"""
    shown = np.asarray(picture(web.get(f"{path(STATE)}/rendered", "image/png"), "image/png"), int)
    stored = np.asarray(picture(web.get(f"{path(CT)}/rendered?window=0,100,linear", "image/png"), "image/png"), int)
    assert np.abs(shown - (255 - stored)[:, ::-1]).max() <= 1  # inverted and flipped
    parts = parts_of(web.get(f"{path(LOOP_STATE)}/rendered", 'multipart/related; type="image/png"'))
    assert [headers["Content-Location"].rpartition("/frames/")[2] for headers, _ in parts] == [
        "2/rendered",
        "4/rendered",
    ]


def test_a_presentation_state_shows_the_frames_that_there_are(web: WebNode) -> None:
    """Whatever other frame it names."""
    [(headers, _)] = parts_of(web.get(f"{path(LONG_STATE)}/rendered", 'multipart/related; type="image/png"'))
    assert headers["Content-Location"].endswith("/frames/1/rendered")


@pytest.mark.parametrize("query", ["window=1,2,linear", "viewport=10,10,1,1,2,2"])
def test_a_presentation_state_decides_itself(web: WebNode, query: str) -> None:
    """PS3.18 8.3.5.1"""
    assert web.get(f"{path(STATE)}/rendered?{query}").status_code == 400
    assert picture(web.get(f"{path(STATE)}/rendered?viewport=40,40")).size == (40, 20)


def test_a_presentation_state_without_its_images_is_a_404(web: WebNode) -> None:
    assert web.get(f"{path(LOST_STATE)}/rendered").status_code == 404


def test_every_level_has_a_thumbnail(web: WebNode) -> None:
    study, series = f"/studies/{uid('to see')}", f"/studies/{uid('to see')}/series/{uid('to see 1')}"
    for resource in (study, series, path(SERIES[0]), f"{path(LOOP)}/frames/3"):
        assert max(picture(web.get(f"{resource}/thumbnail", "image/jpeg")).size) <= 200
        assert picture(web.get(f"{resource}/thumbnail?viewport=20,40", "image/png"), "image/png").width == 20
    assert web.get(f"{study}/thumbnail?viewport=20,40,1,1,2,2").status_code == 400


def test_an_image_that_counts_no_frames_has_one(web: WebNode) -> None:
    """Seen: Number of Frames 0."""
    ds = a_ct(NumberOfFrames=0)
    web.store(ds)
    for resource in ("rendered", "thumbnail", "frames/1/rendered"):
        assert picture(web.get(f"{path(ds)}/{resource}", "image/jpeg")).size == (32, 32)
