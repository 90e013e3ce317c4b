"""WADO-RS over real sockets: instances, whole, in ranges, transcoded, damaged. PS3.18 10.4, traps 10 to 12."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import FileDataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from fixtures.builders import A_TINY_PDF, SYNTAXES, a_ct, a_pdf, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.node import lose, spoil
from fixtures.web import WebNode, parts_of, path, web_node
from relais.dicom.part10 import read_head
from relais.dicomweb.media_types import parse_media_type
from relais.dicomweb.multipart import boundary_of, events
from relais.errors import InvalidRequest

MIXED = uid("mixed")  # a study with an instance in every Transfer Syntax below
DICOM = 'multipart/related; type="application/dicom"'
JPEGS = 'multipart/related; type="image/jpeg"'
PDF = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10)
SERIES = a_series(5, StudyInstanceUID=uid("series"), SeriesInstanceUID=uid("series 1"))
BY_SYNTAX = {syntax: a_ct(StudyInstanceUID=MIXED, transfer_syntax=syntax) for syntax in SYNTAXES}
REPORT = a_sr()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("retrieve")
    with web_node(folder) as node:
        stored = node.store(*SERIES, *BY_SYNTAX.values(), PDF, REPORT)
        assert stored.status_code == 200, stored.text
        yield node


def data_set(content: bytes) -> bytes:
    """What follows the File Meta Information."""
    stream = DicomBytesIO(content)
    read_head(stream.read)
    return content[stream.tell() :]


def pixels(ds: FileDataset) -> bytes:
    return ds.pixel_array.astype("<u2" if ds.BitsAllocated == 16 else "u1").tobytes()


@pytest.mark.parametrize("level", [1, 2])
def test_a_study_and_a_series_come_in_the_order_of_their_numbers(web: WebNode, level: int) -> None:
    resource = f"/studies/{uid('series')}" + (f"/series/{uid('series 1')}" if level == 2 else "")
    response = web.get(resource, DICOM + "; transfer-syntax=*")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert response.headers["Content-Length"] == str(len(response.content))
    parts = parts_of(response)
    assert [data_set(content) for _, content in parts] == [dataset_bytes(ds) for ds in SERIES]
    assert [headers["Content-Location"] for headers, _ in parts] == [web.service + path(ds) for ds in SERIES]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_star_gives_what_is_stored_but_never_implicit_or_big_endian(web: WebNode, syntax: str) -> None:
    """Trap 10."""
    ds = BY_SYNTAX[syntax]
    ((headers, content),) = parts_of(web.get(path(ds), DICOM + "; transfer-syntax=*"))
    never_sent = syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian)
    expected = ExplicitVRLittleEndian if never_sent else syntax
    assert headers["Content-Type"] == f"application/dicom; transfer-syntax={expected}"
    read = dcmread(DicomBytesIO(content))
    assert read.file_meta.TransferSyntaxUID == expected
    assert never_sent or data_set(content) == dataset_bytes(ds)
    assert pixels(read) == pixels(ds)


@pytest.mark.parametrize("accept", [DICOM, "*/*", "", f"{DICOM}; transfer-syntax={ExplicitVRLittleEndian}"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_without_a_transfer_syntax_it_is_explicit_little_endian(web: WebNode, syntax: str, accept: str) -> None:
    """Traps 10, 11; clients.md 3."""
    ds = BY_SYNTAX[syntax]
    ((headers, content),) = parts_of(web.get(path(ds), accept))
    assert headers["Content-Type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    read = dcmread(DicomBytesIO(content))
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert pixels(read) == pixels(ds)
    assert read.PatientName == ds.PatientName


def test_a_whole_study_is_transcoded_instance_by_instance(web: WebNode) -> None:
    parts = parts_of(web.get(f"/studies/{MIXED}", DICOM))
    assert len(parts) == len(SYNTAXES)
    assert {headers["Content-Type"].rpartition("=")[2] for headers, _ in parts} == {str(ExplicitVRLittleEndian)}


def test_what_cannot_be_had_in_the_syntax_asked_is_left_out_and_told(web: WebNode) -> None:
    """PS3.18 table 10.4.3-1: 206."""
    response = web.get(f"/studies/{MIXED}", f"{DICOM}; transfer-syntax={DeflatedExplicitVRLittleEndian}")
    assert response.status_code == 206
    assert "left out" in response.headers["Warning"]
    ((_, content),) = parts_of(response)
    assert data_set(content) == dataset_bytes(BY_SYNTAX[DeflatedExplicitVRLittleEndian])


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, ImplicitVRLittleEndian, "1.2.3"])
def test_an_instance_that_cannot_be_had_in_the_syntax_asked_is_a_406(web: WebNode, syntax: str) -> None:
    for ds in (BY_SYNTAX[ExplicitVRLittleEndian], BY_SYNTAX[ImplicitVRLittleEndian]):
        assert web.get(path(ds), f"{DICOM}; transfer-syntax={syntax}").status_code == 406


def test_among_several_syntaxes_the_stored_one_is_taken(web: WebNode) -> None:
    ds = BY_SYNTAX[JPEGLSLossless]
    accept = f"{DICOM}; transfer-syntax={JPEG2000Lossless}, {DICOM}; transfer-syntax={JPEGLSLossless}"
    ((_, content),) = parts_of(web.get(path(ds), accept))
    assert data_set(content) == dataset_bytes(ds)


def test_an_instance_without_pixels_is_transcoded_too(web: WebNode) -> None:
    ((_, content),) = parts_of(web.get(path(REPORT), DICOM))
    assert dcmread(DicomBytesIO(content)).ContentSequence[0].TextValue == "No abnormality."


def test_a_single_instance_comes_alone_when_asked_for(web: WebNode) -> None:
    """Evidence 24."""
    ds = BY_SYNTAX[JPEGLSLossless]
    response = web.get(path(ds), "application/dicom; transfer-syntax=*")
    assert response.headers["Content-Type"] == f"application/dicom; transfer-syntax={JPEGLSLossless}"
    assert response.headers["Content-Location"] == web.service + path(ds)
    assert response.headers["Content-Disposition"] == f'attachment; filename="{ds.SOPInstanceUID}.dcm"'
    assert data_set(response.content) == dataset_bytes(ds)
    assert web.get(path(ds), "text/plain;q=0.1, application/dicom").status_code == 200


@pytest.mark.parametrize("resource", [f"/studies/{MIXED}", f"/studies/{uid('series')}/series/{uid('series 1')}"])
def test_a_study_as_a_single_part_is_a_406(web: WebNode, resource: str) -> None:
    """Trap 10."""
    assert web.get(resource, "application/dicom").status_code == 406
    assert web.get(resource, "application/octet-stream").status_code == 406


def test_a_range_of_a_single_part_is_a_206(web: WebNode) -> None:
    """Evidence 26: ends inclusive."""
    ds = BY_SYNTAX[ExplicitVRLittleEndian]
    whole = web.get(path(ds), "application/dicom")
    assert whole.headers["Accept-Ranges"] == "bytes"
    size = len(whole.content)
    for asked, start, stop in (
        (f"bytes=0-{size // 2}", 0, size // 2 + 1),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
    ):
        part = web.get(path(ds), "application/dicom", Range=asked)
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.content == whole.content[start:stop]
    beyond = web.get(path(ds), "application/dicom", Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    for ignored in ("bytes=0-1,5-6", "bytes=9-1", "lines=1-2", "nonsense"):
        assert web.get(path(ds), "application/dicom", Range=ignored).content == whole.content
    assert web.get(path(ds), "application/dicom", Range="bytes=0-9", If_Range='"other"').status_code == 200
    fresh = web.get(path(ds), "application/dicom", Range="bytes=0-9", If_Range=whole.headers["ETag"])
    assert fresh.content == whole.content[:10]


def test_what_the_user_agent_already_has_is_a_304(web: WebNode) -> None:
    """Evidence 16."""
    ds = BY_SYNTAX[ExplicitVRLittleEndian]
    for resource, accept in (
        (path(ds), "application/dicom"),
        (f"{path(ds)}/metadata", "application/dicom+json"),
        (f"{path(ds)}/frames/1", "application/octet-stream"),
        (f"{path(ds)}/rendered", "image/jpeg"),
        (f"{path(PDF)}/bulkdata/00420011", "application/pdf"),
    ):
        first = web.get(resource, accept)
        assert first.headers["Cache-Control"] == "private, no-cache"
        again = web.get(resource, accept, If_None_Match=first.headers["ETag"])
        assert (again.status_code, again.content) == (304, b""), resource
        assert web.get(resource, accept, If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize("accept", [DICOM, DICOM + "; transfer-syntax=*", "application/dicom"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_head_of_an_instance_is_as_get_without_a_body(web: WebNode, syntax: str, accept: str) -> None:
    """RFC 9110 9.3.2: a length that is not known is not told."""
    response = web.request("HEAD", path(BY_SYNTAX[syntax]), accept)
    assert (response.status_code, response.content) == (200, b"")
    got = web.get(path(BY_SYNTAX[syntax]), accept).headers
    for name in ("Content-Type", "Vary", "ETag", "Content-Location", "Cache-Control", "Content-Disposition"):
        assert told(response.headers.get(name)) == told(got.get(name)), name
    assert response.headers.get("Content-Length") in {None, got.get("Content-Length")}


def told(field: str | None) -> str:
    """A header field without the boundary, which is made anew for each answer."""
    return (field or "").partition("boundary=")[0]


@pytest.mark.parametrize(
    "resource",
    [
        "/studies/1.2.3",
        f"/studies/{MIXED}/series/1.2.3",
        f"{path(REPORT)}1",
        f"/studies/{MIXED}/metadata/1",
        "/studies/1.2.3/metadata",
        f"{path(REPORT)}1/frames/1",
        f"{path(REPORT)}1/rendered",
        "/studies/1.2.3/thumbnail",
        f"/studies/1.2.3/series/{SERIES[0].SeriesInstanceUID}/instances/{SERIES[0].SOPInstanceUID}",
    ],
)
def test_what_is_not_there_is_a_404(web: WebNode, resource: str) -> None:
    response = web.get(resource, "*/*")
    assert response.status_code == 404
    assert response.json()["message"]


# Damage


def test_one_instance_that_cannot_be_decoded_cuts_no_other_short(web: WebNode) -> None:
    """Trap 12."""
    good, bad = (
        a_ct(StudyInstanceUID=uid("damaged"), transfer_syntax=JPEG2000Lossless, InstanceNumber=n) for n in (2, 1)
    )
    encoded = part10(bad)
    start = encoded.index(b"\xff\x4f\xff\x51") + 100
    web.store(encoded[:start] + b"\xff" * 60 + encoded[start + 60 :], good)
    response = web.get(f"/studies/{uid('damaged')}", DICOM)
    by_uid = {
        headers["Content-Location"].rpartition("/")[2]: (headers, content) for headers, content in parts_of(response)
    }
    assert by_uid.keys() == {good.SOPInstanceUID, bad.SOPInstanceUID}
    headers, content = by_uid[good.SOPInstanceUID]
    assert headers["Content-Type"].endswith(ExplicitVRLittleEndian)
    assert pixels(dcmread(DicomBytesIO(content))) == pixels(good)
    headers, _ = by_uid[bad.SOPInstanceUID]
    if headers["Content-Type"].endswith(JPEG2000Lossless):  # the codec noticed
        assert web.get(path(bad), DICOM).status_code == 406


def test_a_damaged_object_is_never_served_as_a_success(tmp_path: Path) -> None:
    """hardening.md 9."""
    with web_node(tmp_path) as node:
        small, large = a_ct(), a_ct(rows=1024, columns=1024)
        node.store(small, large)
        for key in node.kept:
            spoil(node.archive, key)
        response = node.get(path(small), "application/dicom")
        assert (response.status_code, response.json()["message"]) == (503, "The stored instance is damaged.")
        for resource in (path(large), f"/studies/{large.StudyInstanceUID}"):
            request = f"GET /dicom-web{resource} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            head, _, body = node.exchange(request.encode()).partition(b"\r\n\r\n")
            announced = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            assert len(body) < announced
        assert sum("damaged" in line for line in node.log_lines()) >= 3


def test_what_is_made_as_it_goes_out_ends_in_order_only_if_it_is_whole(tmp_path: Path) -> None:
    """hardening.md 9: such an answer has no length, and the server ends it like any other; what it holds tells."""
    study = f"/studies/{uid('lost')}"
    syntax = JPEG2000Lossless
    first, lost, last = (a_ct(StudyInstanceUID=uid("lost"), SeriesNumber=n, transfer_syntax=syntax) for n in (1, 2, 3))
    with web_node(tmp_path) as node:
        node.store(first, lost, last)
        (key,) = (key for key in node.kept if lost.SOPInstanceUID in key)
        lose(node.archive, key)
        for resource, accept in ((study, DICOM), (f"{study}/rendered", JPEGS), (study, "application/zip")):
            answer = node.get(resource, accept)
            assert (answer.status_code, "Content-Length" in answer.headers) == (200, False)
            if "zip" in accept:
                with pytest.raises(zipfile.BadZipFile):
                    zipfile.ZipFile(io.BytesIO(answer.content))
            else:
                boundary = boundary_of(parse_media_type(answer.headers["Content-Type"]))
                with pytest.raises(InvalidRequest, match="ends in a part's content"):
                    list(events([answer.content], boundary))
