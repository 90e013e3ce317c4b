"""WADO-URI over real sockets: PS3.18 9; trap 13: what it cannot do is told."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    MPEG4HP41,
    ExplicitVRLittleEndian,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from fixtures.builders import a_code, a_ct, a_film, a_multiframe, a_pdf, a_series, a_sr, uid
from fixtures.images import an_image, texture
from fixtures.pictures import picture
from fixtures.states import a_state
from fixtures.unknown import as_unknown
from fixtures.web import WebNode, web_node

CT = a_ct(rows=40, columns=80, ImageComments="MOREL", OtherPatientNames="GRAND^Hélène")
CT.private_block(0x0099, "NORTH", create=True).add_new(1, "LO", "MOREL^Hélène")
LOOP = a_multiframe(frames=5, rows=24, columns=48)
MOVING = an_image(np.stack([np.roll(texture(8), step) for step in range(5)]), frames=True)
REPORT, LETTER, FILM = a_sr(), a_pdf(), a_film(MPEG4HP41, b"\0\0\0\x18ftypmp42")
COMPRESSED, IMPLICIT = a_ct(transfer_syntax=JPEGLSLossless), a_ct(transfer_syntax=ImplicitVRLittleEndian)
SERIES = a_series(2, StudyInstanceUID=uid("of nobody"), SeriesInstanceUID=uid("of nobody 1"))
STATE = a_state(CT, voi=(0, 100), PresentationLUTShape="INVERSE")
STATE_UIDS = f"presentationUID={STATE.SOPInstanceUID}&presentationSeriesUID={STATE.SeriesInstanceUID}"
HELD = (CT, LOOP, MOVING, REPORT, LETTER, FILM, COMPRESSED, IMPLICIT, STATE, *SERIES)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("wado")
    with web_node(folder, archive_deidentify_key_file=str(folder / "key")) as node:
        assert node.store(*HELD).status_code == 200
        yield node


def wado(web: WebNode, ds: Dataset, query: str = "", **headers: str) -> requests.Response:
    uids = f"studyUID={ds.StudyInstanceUID}&seriesUID={ds.SeriesInstanceUID}&objectUID={ds.SOPInstanceUID}"
    url = f"{web.base}/wado?requestType=WADO&{uids}&{query}"
    return requests.get(url, headers=headers, timeout=120)


def test_wado_uri_gives_an_image_by_default_and_a_file_of_the_rest(web: WebNode) -> None:
    """PS3.18 9.1.2.2.1"""
    assert picture(wado(web, CT)).size == (80, 40)
    response = wado(web, LOOP)
    assert response.headers["Content-Type"].startswith("application/dicom")
    assert dcmread(DicomBytesIO(response.content)).SOPInstanceUID == LOOP.SOPInstanceUID
    for ds, media_type in ((REPORT, "text/html; charset=utf-8"), (LETTER, "application/pdf"), (FILM, "video/mp4")):
        assert wado(web, ds).headers["Content-Type"] == media_type
        assert wado(web, ds, "contentType=application/dicom").headers["Content-Type"].startswith("application/dicom")


@pytest.mark.parametrize(
    ("ds", "content_type", "found"),
    [
        (CT, "image/webp, image/png;q=0.5, image/gif;q=0.4", "image/png"),
        (CT, "image/jp2", "image/jp2"),
        (LOOP, "image/gif", "image/gif"),
        (REPORT, "text/plain, text/html;q=0.1", "text/plain; charset=utf-8"),
        (REPORT, "*/*", "text/html; charset=utf-8"),
    ],
)
def test_wado_uri_makes_the_best_of_a_list(web: WebNode, ds: Dataset, content_type: str, found: str) -> None:
    """PS3.18 9.1.2.2.1"""
    assert wado(web, ds, f"contentType={content_type}").headers["Content-Type"] == found


def test_wado_uri_turns_to_the_accept_header_field_where_nothing_in_the_list_can_be_made(web: WebNode) -> None:
    """PS3.18 8.7.8.1"""
    assert wado(web, CT, "contentType=image/webp", Accept="image/png").headers["Content-Type"] == "image/png"
    assert wado(web, CT, "contentType=image/webp", Accept="*/*").headers["Content-Type"] == "image/jpeg"
    assert wado(web, CT, "contentType=image/webp", Accept="image/webp").status_code == 406


def test_wado_uri_moves_all_frames_or_shows_one(web: WebNode) -> None:
    assert picture(wado(web, MOVING, "contentType=image/gif"), "image/gif").n_frames == 5  # type: ignore[attr-defined]
    assert picture(wado(web, MOVING, "contentType=image/gif&frameNumber=2"), "image/gif").n_frames == 1  # type: ignore[attr-defined]
    assert picture(wado(web, CT, "frameNumber=1")).size == (80, 40)


def test_wado_uri_says_which_parameters_changed_nothing(web: WebNode) -> None:
    warning = wado(web, CT, "contentType=application/dicom&rows=5&windowCenter=1").headers["Warning"]
    assert "rows, windowCenter" in warning
    assert "transferSyntax" in wado(web, CT, "contentType=image/png&transferSyntax=1.2").headers["Warning"]
    both = wado(web, CT, "contentType=image/png&imageQuality=5&transferSyntax=1.2").headers["Warning"]
    assert "quality" in both
    assert "transferSyntax" in both
    assert "Warning" not in wado(web, CT).headers


def test_wado_uri_says_which_parameters_it_does_not_know(web: WebNode) -> None:
    """PS3.18 8.3"""
    for wanted in ("", "contentType=image/png&", "contentType=application/dicom&"):
        answer = wado(web, CT, f"{wanted}deidentify=yes&Rows=5")
        assert answer.status_code == 200
        assert answer.headers["Warning"].endswith('not known here and were ignored: Rows, deidentify."')
    assert "Warning" not in wado(web, REPORT, "charset=utf-8&accept=text/html").headers


def test_wado_uri_annotates(web: WebNode) -> None:
    """PS3.18 9.5.1.2.2"""
    size = "contentType=image/png&columns=800"
    plain = wado(web, CT, size).content
    assert plain != wado(web, CT, f"{size}&imageAnnotation=patient").content
    assert plain != wado(web, CT, f"{size}&annotation=technique").content


def test_wado_uri_applies_a_presentation_state(web: WebNode) -> None:
    """PS3.18 9.5.1.2.7"""
    by = f"presentationSeriesUID={STATE.SeriesInstanceUID}&presentationUID={STATE.SOPInstanceUID}"
    shown = np.asarray(picture(wado(web, CT, f"contentType=image/png&{by}"), "image/png"), int)
    inverse = np.asarray(
        picture(wado(web, CT, "contentType=image/png&windowCenter=0&windowWidth=100"), "image/png"), int
    )
    assert np.abs(shown + inverse - 255).max() <= 1
    assert picture(wado(web, CT, f"{by}&columns=40")).size == (40, 20)
    assert picture(wado(web, STATE, "contentType=image/png"), "image/png").size == (80, 40)
    for wrong in ("windowCenter=1&windowWidth=2", "region=0,0,1,0.5"):
        assert wado(web, CT, f"{by}&{wrong}").status_code == 400
    assert wado(web, COMPRESSED, f"contentType=image/png&{by}").status_code == 404  # it is of another study


@pytest.mark.parametrize("syntax", ["", "*", ExplicitVRLittleEndian, JPEGLSLossless])
def test_wado_uri_gives_the_file_in_the_transfer_syntax_asked(web: WebNode, syntax: str) -> None:
    """clients.md: OHIF asks so, with the Accept of frames."""
    ds = COMPRESSED
    accept = 'multipart/related; type="application/octet-stream"'
    response = wado(web, ds, f"contentType=application/dicom&transferSyntax={syntax}", Accept=accept)
    assert response.status_code == 200
    read = dcmread(DicomBytesIO(response.content))
    stored = syntax in ("*", JPEGLSLossless)
    assert read.file_meta.TransferSyntaxUID == (JPEGLSLossless if stored else ExplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless, HTJ2KLosslessRPCL])
def test_wado_uri_compresses_on_request(web: WebNode, syntax: str) -> None:
    """PS3.18 9.4.1.2.3"""
    response = wado(web, CT, f"contentType=application/dicom&transferSyntax={syntax}")
    assert response.headers["Content-Type"] == "application/dicom", "PS3.18 8.7.3.5.2: no parameter here"
    assert dcmread(DicomBytesIO(response.content)).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize(
    ("syntaxes", "found"),
    [
        (f"{ImplicitVRLittleEndian},{RLELossless}", RLELossless),
        (f"1.2.3, {ExplicitVRLittleEndian}", ExplicitVRLittleEndian),
        (f"{ExplicitVRLittleEndian},{RLELossless}", ExplicitVRLittleEndian),
    ],
)
def test_wado_uri_takes_a_list_of_transfer_syntaxes(web: WebNode, syntaxes: str, found: str) -> None:
    """PS3.18 8.7.3.6"""
    response = wado(web, CT, f"contentType=application/dicom&transferSyntax={syntaxes}")
    assert dcmread(DicomBytesIO(response.content)).file_meta.TransferSyntaxUID == found


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
        ("contentType=nonsense", 400),
        ("contentType=application/dicom,image/jpeg", 400),
        ("contentType=application/dicom&transferSyntax=nonsense", 400),
        ("contentType=application/dicom&transferSyntax=1.2.3", 406),
        ("presentationUID=1.2", 400),
        ("presentationUID=1.2&presentationSeriesUID=1.3", 404),
        ("frameNumber=2", 400),
        ("anonymize=no", 400),
        ("anonymize=yes&imageAnnotation=patient", 400),
        ("anonymize=yes&imageAnnotation=technique", 400),
        ("anonymize=yes&annotation=technique", 400),
        (f"anonymize=yes&{STATE_UIDS}", 406),
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
    "written", ["Anonymize=yes", "ANONYMIZE=yes", "anonymise=yes", "anonymized=yes", "amp;anonymize=yes", "Anonymize="]
)
def test_what_may_be_meant_for_anonymize_is_not_ignored(web: WebNode, written: str) -> None:
    """An answer that tells the name would be the worst reading of a mistake."""
    answer = wado(web, CT, f"contentType=application/dicom&{written}")
    assert answer.status_code == 400
    assert b"MOREL" not in answer.content


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
    assert requests.get(f"{web.base}/wado?{query}", timeout=120).status_code == status


# anonymize


def anonymous(web: WebNode, ds: Dataset) -> Dataset:
    response = wado(web, ds, "contentType=application/dicom&anonymize=yes")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/dicom"
    assert int(response.headers["Content-Length"]) == len(response.content)
    for word in (b"MOREL", "Hélène".encode("latin-1"), b"100042", b"A2024", b"CH du Nord", b"DURAND"):
        assert word not in response.content
    return dcmread(DicomBytesIO(response.content))


@pytest.mark.parametrize("ds", [CT, COMPRESSED, IMPLICIT], ids=["explicit", "JPEG-LS", "implicit"])
def test_an_anonymous_instance_is_that_of_nobody(web: WebNode, ds: Dataset) -> None:
    """PS3.18 9.4.1.2.1; PS3.15 E.2"""
    found = anonymous(web, ds)
    assert (found.PatientIdentityRemoved, found.PatientName, found.PatientID) == ("YES", "", "ANONYMIZED")
    assert found.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID != ds.SOPInstanceUID
    assert not [element for element in found if element.tag.is_private]
    plain = ds if ds is not COMPRESSED else IMPLICIT
    assert found.PixelData == plain.PixelData
    assert (found.Modality, found.Rows, found.WindowWidth) == ("CT", ds.Rows, 400)


def test_what_an_item_tells_of_the_patient_goes_too(web: WebNode) -> None:
    """PS3.15 E.1.1: at all levels."""
    region = a_code("51185008", "SCT", "Thorax")
    region.PatientName, region.PatientID = "MOREL^Helene", "P-1"
    ds = a_ct(SOPInstanceUID=uid("with an item"), AnatomicRegionSequence=[region])
    web.store(ds)
    [item] = anonymous(web, ds).AnatomicRegionSequence
    assert (item.PatientName, item.PatientID, item.CodeValue) == ("", "ANONYMIZED", "51185008")


@pytest.mark.parametrize("count", [1, 1000], ids=["short", "of more than 64 KB"])
def test_what_an_item_tells_goes_also_where_the_sequence_comes_as_un(web: WebNode, count: int) -> None:
    """PS3.15 E.1.1; PS3.5 6.2.2"""
    region = a_code("51185008", "SCT", "Thorax, as it is")
    region.PatientName, region.PatientID = "MOREL^Helene", "P-1"
    ds = a_ct(SOPInstanceUID=uid(f"with {count} items as UN"))
    as_unknown(ds, "AnatomicRegionSequence", [region] * count)
    web.store(ds)
    items = anonymous(web, ds).AnatomicRegionSequence
    assert [(item.PatientName, item.PatientID, item.CodeValue) for item in items] == [
        ("", "ANONYMIZED", "51185008")
    ] * count


def test_a_presentation_state_has_no_anonymous_picture(web: WebNode) -> None:
    """Its text may say anything, and so may the images that it shows."""
    for media_type in ("image/png", "image/jpeg"):
        assert wado(web, STATE, f"contentType={media_type}&anonymize=yes").status_code == 406
    assert wado(web, STATE, "contentType=image/png").status_code == 200


def test_anonymous_instances_still_belong_together(web: WebNode) -> None:
    first, second, other = (anonymous(web, ds) for ds in (*SERIES, CT))
    assert first.StudyInstanceUID == second.StudyInstanceUID != SERIES[0].StudyInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.StudyInstanceUID != other.StudyInstanceUID
    assert anonymous(web, SERIES[0]) == first


@pytest.mark.parametrize("ds", [LOOP, REPORT, LETTER, FILM], ids=["ultrasound", "report", "document", "video"])
@pytest.mark.parametrize("content_type", ["application/dicom", "*/*"])
def test_what_cannot_be_made_anonymous_is_refused(web: WebNode, ds: Dataset, content_type: str) -> None:
    """Trap 13."""
    response = wado(web, ds, f"contentType={content_type}&anonymize=yes")
    assert response.status_code == 406
    assert "de-identified" in response.json()["message"]


def test_an_anonymous_file_is_uncompressed(web: WebNode) -> None:
    asked = "contentType=application/dicom&anonymize=yes&transferSyntax="
    assert wado(web, COMPRESSED, asked + JPEGLSLossless).status_code == 406
    assert wado(web, COMPRESSED, asked + ExplicitVRLittleEndian).status_code == 200


def test_an_anonymous_file_is_not_made_for_its_head(web: WebNode) -> None:
    """RFC 9110 9.3.2"""
    uids = f"studyUID={CT.StudyInstanceUID}&seriesUID={CT.SeriesInstanceUID}&objectUID={CT.SOPInstanceUID}"
    url = f"{web.base}/wado?requestType=WADO&{uids}&contentType=application/dicom&anonymize=yes"
    response = requests.head(url, timeout=120)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/dicom")
    assert "Content-Length" not in response.headers  # RFC 9110 8.6: that of GET, or none


def test_an_anonymous_picture_is_only_the_picture(web: WebNode) -> None:
    assert (
        wado(web, CT, "contentType=image/png&anonymize=yes").content == wado(web, CT, "contentType=image/png").content
    )
