"""WADO-RS over real sockets: metadata as JSON and as XML. PS3.18 10.4.1.1.2, trap 8."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from fixtures.builders import a_series, a_sr, uid
from fixtures.web import WebNode, parts_of, path, web_node

DICOM = 'multipart/related; type="application/dicom"'
SERIES = a_series(5, StudyInstanceUID=uid("series"), SeriesInstanceUID=uid("series 1"))
REPORT = a_sr()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("metadata")
    with web_node(folder) as node:
        stored = node.store(*SERIES, REPORT)
        assert stored.status_code == 200, stored.text
        yield node


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


@pytest.mark.parametrize("accept", ["application/dicom+json", "application/dicom+xml"])
def test_specific_character_set_is_that_of_the_source_and_the_text_is_utf_8(web: WebNode, accept: str) -> None:
    """PS3.18 F.2.2, note 3; the same instance comes out of it when it is stored."""
    ds = a_sr(SpecificCharacterSet="ISO_IR 100", PatientName="MOREL^Hélène", SOPInstanceUID=uid(f"Latin-1 {accept}"))
    web.store(ds)
    content = web.get(f"{path(ds)}/metadata", accept).content
    assert b"ISO_IR 100" in content
    assert "Hélène".encode() in content
    copied_uid = uid(f"copied {accept}")
    copied = content.replace(ds.SOPInstanceUID.encode(), copied_uid.encode())
    stored = web.session.post(f"{web.service}/studies", copied, headers={"Content-Type": accept})
    assert (stored.status_code, "Warning" in stored.headers) == (200, False)
    copy = f"{path(ds).removesuffix(ds.SOPInstanceUID)}{copied_uid}"
    assert web.get(f"{copy}/metadata", accept).content == copied
    assert "Hélène".encode("latin-1") in web.get(copy, "application/dicom").content


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
