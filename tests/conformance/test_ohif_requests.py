"""Every request shape of OHIF 3.13 but its searches (see test_ps3_18_search.py), as data: clients.md."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import requests
from pydicom.uid import JPEGLSLossless

from fixtures.builders import A_TINY_PDF, a_ct, a_pdf, part10
from fixtures.web import WebNode, multipart_body, parts_of, web_node

CT = a_ct(transfer_syntax=JPEGLSLossless)
PDF = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10)
VIEWER = "http://127.0.0.1:3000"

JSON = "application/dicom+json"
ANY_FRAME = "multipart/related; type=application/octet-stream; transfer-syntax=*"
ANY_FRAME_QUOTED = 'multipart/related; type="application/octet-stream; transfer-syntax=*"'
OCTETS = 'multipart/related; type="application/octet-stream"'
PDF_FIRST = f'multipart/related; type="application/pdf", {OCTETS}, multipart/related; type="image/jpeg"'


def path(ds: object) -> str:
    study, series, instance = (getattr(ds, f"{name}InstanceUID") for name in ("Study", "Series", "SOP"))
    return f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"


STUDY, SERIES = path(CT).partition("/series/")[0], path(CT).partition("/instances/")[0]
WADO = f"studyUID={CT.StudyInstanceUID}&seriesUID={CT.SeriesInstanceUID}&objectUID={CT.SOPInstanceUID}"

REQUESTS = (
    # path and query, Accept, what the answer is
    (f"{SERIES}/metadata", JSON, JSON),
    (f"{STUDY}/metadata", JSON, JSON),
    (f"{path(CT)}/frames/1", ANY_FRAME, 'multipart/related; type="image/jls"'),
    (f"{path(CT)}/frames/1", ANY_FRAME_QUOTED, 'multipart/related; type="image/jls"'),
    (f"{path(CT)}/frames/1", OCTETS, OCTETS),
    (f"{path(CT)}/bulkdata/7FE00010", OCTETS, OCTETS),
    (f"{path(PDF)}/bulkdata/00420011", OCTETS, OCTETS),
    (f"{path(PDF)}/bulkdata/00420011", PDF_FIRST, 'multipart/related; type="application/pdf"'),
    (f"{path(PDF)}/rendered?accept=application/pdf", "*/*", "application/pdf"),
    (f"{path(CT)}/thumbnail?accept=image/jpeg", OCTETS, "image/jpeg"),
    (f"{path(CT)}/rendered?accept=image/jpeg", OCTETS, "image/jpeg"),
    (f"{SERIES}/thumbnail?accept=image/jpeg", OCTETS, "image/jpeg"),
    (f"/wado?requestType=WADO&{WADO}&contentType=application/dicom&transferSyntax=*", ANY_FRAME, "application/dicom"),
    (f"/wado?requestType=WADO&{WADO}&contentType=application%2Fdicom&transferSyntax=", OCTETS, "application/dicom"),
)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("ohif")
    with web_node(folder, cors_origins=[VIEWER], cors_may_store=True) as node:
        assert node.store(CT, PDF).status_code == 200
        yield node


@pytest.mark.parametrize(("resource", "accept", "media_type"), REQUESTS, ids=count())
def test_a_request_of_the_viewer_is_answered_with_what_it_can_read(
    web: WebNode, resource: str, accept: str, media_type: str
) -> None:
    response = requests.get(web.base + resource, headers={"Accept": accept, "Origin": VIEWER}, timeout=120)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].startswith(media_type)
    assert response.headers["Access-Control-Allow-Origin"] == VIEWER
    assert response.content


@pytest.mark.parametrize("resource", dict.fromkeys(resource for resource, _, _ in REQUESTS), ids=count())
def test_its_preflight_is_granted(web: WebNode, resource: str) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "accept,authorization"}
    response = requests.options(web.base + resource, headers={"Origin": VIEWER, **asked}, timeout=120)
    assert response.ok
    assert {"accept", "authorization"} <= set(response.headers["Access-Control-Allow-Headers"].split(", "))


def test_an_upload_from_the_viewer_is_stored(web: WebNode) -> None:
    ds = a_ct()
    content_type = 'multipart/related; type="application/dicom"; boundary=abc'
    headers = {"Content-Type": content_type, "Accept": "*/*", "Origin": VIEWER}
    body = multipart_body([part10(ds)], "abc")
    response = requests.post(f"{web.service}/studies", body, headers=headers, timeout=120)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == VIEWER


def test_the_bulk_data_uri_of_the_metadata_can_be_followed(web: WebNode) -> None:
    document = web.get(f"{path(PDF).removeprefix('/dicom-web')}/metadata").json()[0]
    response = requests.get(document["00420011"]["BulkDataURI"], headers={"Accept": OCTETS}, timeout=120)
    ((_, content),) = parts_of(response)
    assert content == PDF.EncapsulatedDocument
