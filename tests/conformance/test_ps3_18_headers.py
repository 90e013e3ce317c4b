"""Header fields of answers and of their parts (PS3.18 8.4, 8.6.1.2)."""

from collections.abc import Iterator

import pytest
import requests
import zstandard

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, a_sr, uid
from fixtures.web import WebNode, parts_of, path, web_node

CT, LOOP, REPORT, PDF = a_ct(), a_multiframe(frames=3), a_sr(), a_pdf()
SERIES = a_series(3, StudyInstanceUID=uid("study"), SeriesInstanceUID=uid("series"))
LONG = a_series(30, StudyInstanceUID=uid("long study"), SeriesInstanceUID=uid("long series"))
STUDY = f"/studies/{uid('study')}"
XML, OCTETS = 'multipart/related; type="application/dicom+xml"', 'multipart/related; type="application/octet-stream"'


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    with web_node(tmp_path_factory.mktemp("headers")) as node:
        assert node.store(CT, LOOP, REPORT, PDF, *SERIES, *LONG).status_code == 200
        yield node


@pytest.mark.parametrize(
    ("resource", "accept", "location"),
    [
        (path(CT), "application/dicom", path(CT)),
        (path(CT), "application/zip", path(CT)),
        (STUDY, "application/zip", STUDY),
        (f"{path(CT)}/metadata", "application/dicom+json", f"{path(CT)}/metadata"),
        (f"{STUDY}/metadata", "application/zip", f"{STUDY}/metadata"),
        (f"{path(CT)}/frames/1", "application/octet-stream", f"{path(CT)}/frames/1"),
        (f"{path(CT)}/rendered?quality=50", "image/jpeg", f"{path(CT)}/frames/1/rendered"),
        (f"{path(LOOP)}/rendered", "image/gif", f"{path(LOOP)}/rendered"),
        (f"{path(REPORT)}/rendered", "text/html", f"{path(REPORT)}/rendered"),
        (f"{path(PDF)}/rendered", "application/pdf", f"{path(PDF)}/rendered"),
        (f"{STUDY}/thumbnail", "image/png", f"{STUDY}/thumbnail"),
        (f"{path(LOOP)}/frames/2/thumbnail", "image/png", f"{path(LOOP)}/frames/2/thumbnail"),
    ],
)
def test_an_answer_names_the_resource_that_it_represents(
    web: WebNode, resource: str, accept: str, location: str
) -> None:
    """PS3.18 table 8.4.2-1"""
    for _ in range(2):  # made, and kept from before
        response = web.get(resource, accept)
        assert response.headers["Content-Location"] == web.service + location
    assert web.request("HEAD", resource, accept).headers["Content-Location"] == web.service + location


@pytest.mark.parametrize(
    ("resource", "accept"),
    [
        (STUDY, 'multipart/related; type="application/dicom"'),
        (f"{STUDY}/metadata", XML),
        (f"{STUDY}/bulkdata", OCTETS),
        (f"{STUDY}/pixeldata", OCTETS),
        (f"{STUDY}/rendered", 'multipart/related; type="image/png"'),
        (f"{path(LOOP)}/frames/3,1,2", OCTETS),
        (f"{path(REPORT)}/rendered", 'multipart/related; type="text/plain"'),
    ],
)
def test_every_part_tells_its_type_its_length_and_its_resource(web: WebNode, resource: str, accept: str) -> None:
    """PS3.18 table 8.6.1-1"""
    parts = parts_of(web.get(resource, accept))
    assert parts
    for headers, content in parts:
        assert headers["Content-Type"].partition(";")[0] in accept
        assert int(headers["Content-Length"]) == len(content)
        assert headers["Content-Location"].startswith(f"{web.service}/studies/")
    assert len({headers["Content-Location"] for headers, _ in parts}) == len(parts)


@pytest.mark.parametrize(
    ("resource", "accept"),
    [
        (path(CT), "application/dicom"),
        (path(CT), "application/zip"),
        (STUDY, "*/*"),
        (f"{STUDY}/metadata", "*/*"),
        (f"{STUDY}/metadata", "application/zip"),
        (f"{path(CT)}/frames/1", "*/*"),
        (f"{path(CT)}/rendered", "*/*"),
        (f"{path(CT)}/thumbnail", "*/*"),
        ("/studies", "*/*"),
    ],
)
def test_what_was_negotiated_says_that_it_was(web: WebNode, resource: str, accept: str) -> None:
    """RFC 9110 12.5.5: no cache gives to one what was made for another."""
    response = web.get(resource, accept)
    assert "Accept" in {name.strip() for name in response.headers["Vary"].split(",")}
    if validator := response.headers.get("ETag"):
        unchanged = web.get(resource, accept, If_None_Match=validator)
        assert unchanged.status_code == 304
        assert unchanged.headers["Vary"] == response.headers["Vary"]  # RFC 9110 15.4.5


@pytest.mark.parametrize("accept", ["application/dicom", 'multipart/related; type="application/dicom"'])
def test_what_is_asked_for_under_a_validator_comes_under_no_other(web: WebNode, accept: str) -> None:
    """RFC 9110 13.1.1: strong validators only; 13.2.2: before If-None-Match; 13.2.1: never instead of an error."""
    resource = path(CT)
    validator = web.get(resource, accept).headers.get("ETag", '"none"')
    has_one = validator != '"none"'
    for method in ("GET", "HEAD"):
        headers = {"Accept": accept, "If-Match": f'"other", {validator}'}
        assert web.request(method, resource, **headers).status_code == (200 if has_one else 412)
        assert web.request(method, resource, **{**headers, "If-Match": "*"}).status_code == 200
        for other in ('"other"', f"W/{validator}"):
            headers |= {"If-Match": other, "If-None-Match": validator, "Range": "bytes=0-9"}
            refused = web.request(method, resource, **headers)
            assert (refused.status_code, "ETag" in refused.headers) == (412, False)
            assert b"If-Match" in refused.content or method == "HEAD"
    assert web.get(f"/studies/{uid('nobody')}", accept, If_Match='"other"').status_code == 404


def test_a_weak_validator_is_none_to_ask_under(web: WebNode) -> None:
    """RFC 9110 13.1.1: If-Match compares strongly, and that of a search is weak."""
    validator = web.get("/studies").headers["ETag"]
    assert validator.startswith("W/")
    assert web.get("/studies", If_Match=validator).status_code == 412
    assert web.get("/studies", If_Match="*").status_code == 200


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("zstd, gzip;q=0.5", "zstd"), ("br", None), ("gzip;q=0", None), ("identity", None)],
)
def test_a_long_answer_of_a_search_is_compressed_for_who_takes_that(
    web: WebNode, accepted: str, encoding: str | None
) -> None:
    """RFC 9110 12.5.3: the same rows, the same validator, and a short answer as it is."""
    studies = f"/instances?includefield=all&StudyInstanceUID={LONG[0].StudyInstanceUID}"
    plain = web.get(studies)
    assert len(plain.content) > 16 * 1024
    for _ in range(2):  # made, and kept from before
        answer = web.get(studies, Accept_Encoding=accepted)
        assert answer.headers.get("Content-Encoding") == encoding
        sent_bytes = int(answer.headers["Content-Length"])
        assert sent_bytes * 4 < len(plain.content) if encoding else sent_bytes == len(plain.content)
        assert unpacked(answer) == plain.content
        assert answer.headers["ETag"] == plain.headers["ETag"]
        assert answer.headers["Vary"] == plain.headers["Vary"] == "Accept, Accept-Encoding"
    assert web.get(studies, Accept_Encoding=accepted, If_None_Match=plain.headers["ETag"]).status_code == 304
    assert "Content-Encoding" not in web.get("/studies?limit=1", Accept_Encoding=accepted).headers


def unpacked(answer: requests.Response) -> bytes:
    """Its content, whether requests can open zstd or not."""
    packed = answer.content
    return (
        zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        if packed[:4] == zstandard.FRAME_HEADER
        else packed
    )


def test_a_range_that_is_not_there_is_told_in_a_sentence(web: WebNode) -> None:
    """PS3.18 8.4.3, 8.6.3"""
    response = web.get(path(CT), "application/dicom", Range="bytes=99999999-")
    assert response.status_code == 416
    assert response.headers["Content-Range"].startswith("bytes */")
    assert response.json()["message"].endswith("bytes.")


def test_a_method_that_is_not_there_is_told_with_those_that_are(web: WebNode) -> None:
    """PS3.18 table 8.5-1"""
    response = web.request("PUT", "/studies")
    assert response.status_code == 405
    assert {"GET", "HEAD", "OPTIONS", "POST"} <= {name.strip() for name in response.headers["Allow"].split(",")}
