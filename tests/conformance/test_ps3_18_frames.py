"""WADO-RS over real sockets: frames, and bulk data of one attribute. PS3.18 10.4.1.1.5, 10.4.1.1.6, traps 10 to 12."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import FileDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from fixtures.builders import A_TINY_PDF, SYNTAXES, a_ct, a_multiframe, a_pdf, a_sr, uid
from fixtures.web import WebNode, parts_of, path, web_node

DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'
PDF = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10, StudyInstanceUID=uid("letters"))
HTML = a_pdf(
    EncapsulatedDocument=b"<script>alert(1)</script>" * 50,
    MIMETypeOfEncapsulatedDocument="text/html",
    StudyInstanceUID=uid("letters"),
)
BY_SYNTAX = {syntax: a_ct(transfer_syntax=syntax) for syntax in SYNTAXES}
LOOPS = {s: a_multiframe(frames=5, transfer_syntax=s) for s in SYNTAXES if s != JPEG2000Lossless}
REPORT = a_sr()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("frames")
    with web_node(folder) as node:
        stored = node.store(*BY_SYNTAX.values(), *LOOPS.values(), PDF, HTML, REPORT)
        assert stored.status_code == 200, stored.text
        yield node


def pixels(ds: FileDataset) -> bytes:
    return ds.pixel_array.astype("<u2" if ds.BitsAllocated == 16 else "u1").tobytes()


# Frames


@pytest.mark.parametrize("syntax", list(LOOPS))
def test_frames_come_native_in_the_order_asked(web: WebNode, syntax: str) -> None:
    """Traps 10, 12."""
    ds = LOOPS[syntax]
    parts = parts_of(web.get(f"{path(ds)}/frames/5,1,3", OCTETS))
    assert [content[:1] for _, content in parts] == [b"\5", b"\1", b"\3"]
    assert {len(content) for _, content in parts} == {32 * 32}
    for headers, _ in parts:
        assert headers["Content-Type"] == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert parts[0][0]["Content-Location"] == f"{web.service}{path(ds)}/frames/5"


@pytest.mark.parametrize(
    "accept",
    [
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
        'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        'multipart/related; type="application/octet-stream; transfer-syntax=*"',
        "multipart/related; type=image/jls",
        f'multipart/related; type="image/jls"; transfer-syntax={JPEGLSLossless}',
        f'multipart/related; type="application/octet-stream"; transfer-syntax={JPEGLSLossless}',
        'multipart/related; type="image/jpx", multipart/related; type="image/jls"; q=0.5',
    ],
)
def test_stored_frames_are_labelled_with_what_they_are(web: WebNode, accept: str) -> None:
    """clients.md 2, evidence 24."""
    response = web.get(f"{path(LOOPS[JPEGLSLossless])}/frames/2", accept)
    assert response.headers["Content-Type"].startswith('multipart/related; type="image/jls"; boundary=')
    ((headers, content),) = parts_of(response)
    assert headers["Content-Type"] == f"image/jls; transfer-syntax={JPEGLSLossless}"
    assert content.startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize("accept", ["*/*", OCTETS, "multipart/related", "multipart/*"])
def test_without_a_transfer_syntax_frames_are_decoded(web: WebNode, accept: str) -> None:
    ((headers, content),) = parts_of(web.get(f"{path(LOOPS[RLELossless])}/frames/4", accept))
    assert headers["Content-Type"] == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert content == b"\4" * 1024


def test_a_single_frame_comes_alone_when_asked_for(web: WebNode) -> None:
    """Evidence 24, 26."""
    resource = f"{path(LOOPS[JPEGLSLossless])}/frames/2"
    response = web.get(resource, "application/octet-stream")
    assert response.headers["Content-Type"] == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert response.content == b"\2" * 1024
    assert web.get(resource, "application/octet-stream", Range="bytes=0-9").content == b"\2" * 10
    assert web.get(resource, "image/jls").content.startswith(b"\xff\xd8\xff")
    assert web.get(f"{path(LOOPS[JPEGLSLossless])}/frames/1,2", "application/octet-stream").status_code == 406


@pytest.mark.parametrize("accept", ["image/png", "text/html", 'multipart/related; type="image/jpx"', DICOM])
def test_frames_that_cannot_be_had_so_are_a_406(web: WebNode, accept: str) -> None:
    assert web.get(f"{path(LOOPS[JPEGLSLossless])}/frames/1", accept).status_code == 406


@pytest.mark.parametrize(
    ("numbers", "status"),
    [("6", 404), ("1,6", 404), ("999999999", 404), ("0", 400), ("-1", 400), ("a", 400), ("1;2", 400)],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_frames_that_are_not_there_are_told_before_anything_is_sent(
    web: WebNode, syntax: str, numbers: str, status: int
) -> None:
    """Trap 12."""
    for accept in (OCTETS, OCTETS + "; transfer-syntax=*"):
        assert web.get(f"{path(LOOPS[syntax])}/frames/{numbers}", accept).status_code == status


def test_frames_of_what_is_no_image_are_an_error_of_the_client(web: WebNode) -> None:
    """Trap 12."""
    response = web.get(f"{path(REPORT)}/frames/1", OCTETS)
    assert response.status_code == 400
    assert "Pixel Data" in response.json()["message"]


# Bulk data


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/pdf", "application/pdf"),
        ("application/octet-stream", "application/octet-stream"),
        ("text/html, application/pdf;q=0.9", "application/pdf"),
    ],
)
def test_a_document_comes_alone_when_asked_for(web: WebNode, accept: str, media_type: str) -> None:
    uri = web.get(f"{path(PDF)}/metadata").json()[0]["00420011"]["BulkDataURI"]
    assert uri.startswith(web.service)
    response = web.get(uri.removeprefix(web.service), accept)
    assert response.headers["Content-Type"] == media_type
    assert response.content == PDF.EncapsulatedDocument
    part = web.get(uri.removeprefix(web.service), accept, Range="bytes=4-7")
    assert part.content == PDF.EncapsulatedDocument[4:8]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (OCTETS, "application/octet-stream"),
        (OCTETS + "; transfer-syntax=*", "application/octet-stream"),
        (f'multipart/related; type="application/pdf", {OCTETS}', "application/pdf"),
        ("*/*", "application/pdf"),
    ],
)
def test_bulk_data_comes_in_a_part(web: WebNode, accept: str, media_type: str) -> None:
    """clients.md: OHIF's BulkDataURI, and that of a PDF."""
    response = web.get(f"{path(PDF)}/bulkdata/00420011", accept)
    assert response.headers["Content-Type"].startswith(f'multipart/related; type="{media_type}"; boundary=')
    ((headers, content),) = parts_of(response)
    assert headers["Content-Type"] == media_type
    assert content == PDF.EncapsulatedDocument


def test_a_document_that_calls_itself_a_web_page_is_never_sent_as_one(web: WebNode) -> None:
    """hardening.md 6."""
    resource = f"{path(HTML)}/bulkdata/00420011"
    assert web.get(resource, "text/html").status_code == 406
    response = web.get(resource, "text/html, */*;q=0.1")
    assert "html" not in response.headers["Content-Type"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pixel_data_is_bulk_data_in_every_transfer_syntax(web: WebNode, syntax: str) -> None:
    ds = BY_SYNTAX[syntax]
    ((headers, content),) = parts_of(web.get(f"{path(ds)}/bulkdata/7FE00010", OCTETS))
    assert headers["Content-Type"].startswith("application/octet-stream")
    assert content == pixels(ds)


def test_pixel_data_of_a_compressed_loop_is_one_part_for_each_frame(web: WebNode) -> None:
    parts = parts_of(web.get(f"{path(LOOPS[JPEGLSLossless])}/bulkdata/7FE00010", OCTETS + "; transfer-syntax=*"))
    assert len(parts) == 5
    assert all(content.startswith(b"\xff\xd8\xff") for _, content in parts)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("00100010", 404),
        ("00420011/0", 400),
        ("nonsense", 400),
        ("%2e%2e/%2e%2e/etc/passwd", 400),
        ("00400275/0/00420011", 404),
    ],
)
def test_bulk_data_that_is_not_there_is_told(web: WebNode, name: str, status: int) -> None:
    assert web.get(f"{path(PDF)}/bulkdata/{name}", OCTETS).status_code in (status, 404)
