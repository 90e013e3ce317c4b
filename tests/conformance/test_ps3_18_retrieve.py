"""WADO-RS over real sockets: instances, metadata, frames and bulk data. PS3.18 10.4, traps 8 to 12."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
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
    RLELossless,
)

from fixtures.builders import A_TINY_PDF, a_ct, a_multiframe, a_pdf, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.node import spoil
from fixtures.web import WebNode, parts_of, path, web_node
from relais.dicom.part10 import read_head

MIXED = uid("mixed")  # a study with an instance in every Transfer Syntax below
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
)
DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'

PDF = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10, StudyInstanceUID=uid("letters"))
HTML = a_pdf(
    EncapsulatedDocument=b"<script>alert(1)</script>" * 50,
    MIMETypeOfEncapsulatedDocument="text/html",
    StudyInstanceUID=uid("letters"),
)
SERIES = a_series(5, StudyInstanceUID=uid("series"), SeriesInstanceUID=uid("series 1"))
BY_SYNTAX = {syntax: a_ct(StudyInstanceUID=MIXED, transfer_syntax=syntax) for syntax in SYNTAXES}
LOOPS = {s: a_multiframe(frames=5, transfer_syntax=s) for s in SYNTAXES if s != JPEG2000Lossless}
REPORT = a_sr()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("retrieve")
    with web_node(folder) as node:
        stored = node.store(*SERIES, *BY_SYNTAX.values(), *LOOPS.values(), PDF, HTML, REPORT)
        assert stored.status_code == 200, stored.text
        yield node


def data_set(content: bytes) -> bytes:
    """What follows the File Meta Information."""
    stream = DicomBytesIO(content)
    read_head(stream.read)
    return content[stream.tell() :]


def pixels(ds: FileDataset) -> bytes:
    return ds.pixel_array.astype("<u2" if ds.BitsAllocated == 16 else "u1").tobytes()


# Instances


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
def test_head_of_an_instance_has_no_body(web: WebNode, syntax: str, accept: str) -> None:
    response = web.request("HEAD", path(BY_SYNTAX[syntax]), accept)
    assert (response.status_code, response.content) == (200, b"")


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


# Metadata


def test_metadata_is_everything_but_bulk_data(web: WebNode) -> None:
    """PS3.18 10.4.1.1.2, trap 8."""
    ds = SERIES[0]
    response = web.get(f"/studies/{uid('series')}/metadata", "application/dicom+json")
    assert response.headers["Content-Type"] == "application/dicom+json"
    documents = response.json()
    assert [document["00200013"]["Value"] for document in documents] == [[1], [2], [3], [4], [5]]
    assert list(documents[0]) == sorted(documents[0])
    assert not any(tag.startswith("0002") for tag in documents[0])
    assert documents[0]["7FE00010"] == {"vr": "OW", "BulkDataURI": f"{web.service}{path(ds)}/bulkdata/7FE00010"}
    assert documents[0]["00100010"]["Value"] == [{"Alphabetic": "MOREL^Hélène"}]
    for resource in (f"{path(ds)}/metadata", f"/studies/{uid('series')}/series/{uid('series 1')}/metadata"):
        assert web.get(resource).json()[0] == documents[0]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip, zstd;q=0", "gzip"),
        ("gzip, zstd", "zstd"),
        ("gzip, zstd;q=0.5", "gzip"),
        ("GZIP;q=0.1", "gzip"),
        ("br", ""),
        ("gzip;q=0", ""),
        ("", ""),
    ],
)
def test_metadata_is_compressed_when_that_is_acceptable(web: WebNode, accepted: str, encoding: str) -> None:
    """Evidence 13."""
    resource = f"/studies/{uid('series')}/metadata"
    plain = web.get(resource)
    request = f"GET /dicom-web{resource} HTTP/1.0\r\nHost: x\r\nAccept-Encoding: {accepted}\r\n\r\n"
    head, _, body = web.exchange(request.encode()).partition(b"\r\n\r\n")
    decoders = {"gzip": gzip.decompress, "zstd": zstandard.ZstdDecompressor().decompressobj().decompress, "": bytes}
    assert decoders[encoding](body) == plain.content
    assert (f"content-encoding: {encoding}".encode() in head.lower()) == bool(encoding)
    assert b"vary: accept, accept-encoding" in head.lower()


def test_a_new_instance_changes_the_validator_of_its_series(web: WebNode) -> None:
    """Evidence 16."""
    first, second = a_series(2)
    web.store(first)
    resource = f"/studies/{first.StudyInstanceUID}/metadata"
    before = web.get(resource).headers["ETag"]
    web.store(second)
    after = web.get(resource, If_None_Match=before)
    assert (after.status_code, len(after.json())) == (200, 2)


@pytest.mark.parametrize(
    ("accept", "status"), [("application/json", 200), ("text/html", 406), (DICOM, 406), ("x", 400)]
)
def test_metadata_is_negotiated(web: WebNode, accept: str, status: int) -> None:
    """Trap 3."""
    assert web.get(f"{path(REPORT)}/metadata", accept).status_code == status


def test_metadata_comes_as_xml_when_asked_for(web: WebNode) -> None:
    resource, accept = f"/studies/{uid('series')}/metadata", 'multipart/related; type="application/dicom+xml"'
    response = web.get(resource, accept)
    parts = parts_of(response)
    assert len(parts) == 5
    assert b'keyword="PatientName"' in parts[0][1]
    assert web.get(resource, accept, If_None_Match=response.headers["ETag"]).status_code == 304
    assert web.get(resource, accept, If_None_Match=web.get(resource).headers["ETag"]).status_code == 200


def test_one_instance_s_metadata_comes_as_one_xml_document_when_asked_for(web: WebNode) -> None:
    """PS3.18 10.4.4: a single part is for what is one item, and for nothing else."""
    in_parts = 'multipart/related; type="application/dicom+xml"'
    alone = web.get(f"{path(REPORT)}/metadata", "application/dicom+xml")
    assert alone.headers["Content-Type"] == "application/dicom+xml"
    ((_, document),) = parts_of(web.get(f"{path(REPORT)}/metadata", in_parts))
    assert alone.content == document
    assert web.get(f"{path(REPORT)}/metadata", in_parts, If_None_Match=alone.headers["ETag"]).status_code == 200
    assert web.get(f"/studies/{REPORT.StudyInstanceUID}/metadata", "application/dicom+xml").status_code == 406


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
