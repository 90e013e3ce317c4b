"""WADO-RS: studies, series and instances as application/zip. PS3.18 8.6.1.3."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from fixtures.builders import a_ct, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.node import spoil
from fixtures.web import WebNode, web_node

STUDY = uid("study to take home")
ZIP = "application/zip"
SLICES = a_series(3, StudyInstanceUID=STUDY, SeriesInstanceUID=uid("slices"), SeriesDescription="Thorax/../../etc")
AGAIN = a_ct(StudyInstanceUID=STUDY, SeriesDescription="Thorax .. .. etc", transfer_syntax=JPEGLSLossless)
REPORT = a_sr(StudyInstanceUID=STUDY, SeriesNumber=7)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("zip")
    with web_node(folder) as node:
        assert node.store(*SLICES, AGAIN, REPORT).status_code == 200
        yield node


def files(content: bytes) -> dict[str, bytes]:
    """What unpacking gives; every checksum is compared."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        return {info.filename: archive.read(info) for info in archive.infolist()}


def data_sets(found: dict[str, bytes]) -> dict[str, Dataset]:
    return {ds.SOPInstanceUID: ds for ds in (dcmread(io.BytesIO(content)) for content in found.values())}


def test_a_study_is_one_archive_of_files_that_people_can_find(web: WebNode) -> None:
    response = web.get(f"/studies/{STUDY}", f"{ZIP}; transfer-syntax=*")
    assert (response.status_code, response.headers["Content-Type"]) == (200, ZIP)
    assert response.headers["Content-Disposition"] == f'attachment; filename="{STUDY}.zip"'
    assert response.headers["Content-Length"] == str(len(response.content))
    found = files(response.content)
    assert len(found) == 5
    assert {name.split("/")[0] for name in found} == {f"MOREL Hélène {SLICES[0].PatientID}"}
    assert len({name.split("/")[2] for name in found}) == 3
    assert all(name.count("/") == 3 and ".." not in name and name.endswith(".dcm") for name in found)
    read = data_sets(found)
    assert read.keys() == {ds.SOPInstanceUID for ds in (*SLICES, AGAIN, REPORT)}
    assert read[AGAIN.SOPInstanceUID].file_meta.TransferSyntaxUID == JPEGLSLossless


def test_series_and_instance_are_archives_too(web: WebNode) -> None:
    series = f"/studies/{STUDY}/series/{uid('slices')}"
    assert len(files(web.get(series, ZIP).content)) == 3
    one = files(web.get(f"{series}/instances/{SLICES[0].SOPInstanceUID}", ZIP).content)
    ((name, content),) = one.items()
    assert name.endswith("/00001.dcm")
    assert content.endswith(dataset_bytes(SLICES[0]))


def test_without_a_transfer_syntax_it_is_explicit_little_endian(web: WebNode) -> None:
    """PS3.18 8.7.3.4"""
    read = data_sets(files(web.get(f"/studies/{STUDY}", ZIP).content))
    assert {ds.file_meta.TransferSyntaxUID for ds in read.values()} == {ExplicitVRLittleEndian}
    compressed = web.get(f"/studies/{STUDY}", f"{ZIP}; transfer-syntax={JPEGLSLossless}")
    assert (compressed.status_code, len(files(compressed.content))) == (206, 4)


def test_zip_is_chosen_only_by_those_who_ask_for_it(web: WebNode) -> None:
    assert "multipart" in web.get(f"/studies/{STUDY}", "*/*").headers["Content-Type"]
    assert web.get(f"/studies/{STUDY}?accept=application/zip", "*/*").headers["Content-Type"] == ZIP
    assert web.get("/studies/1.2.3", ZIP).status_code == 404


def test_a_damaged_object_leaves_an_archive_that_cannot_be_opened(tmp_path: Path) -> None:
    """hardening.md 9"""
    with web_node(tmp_path) as node:
        ds = a_ct(rows=1024, columns=1024)
        node.store(part10(ds))
        (key,) = node.kept
        spoil(node.archive, key)
        request = f"GET /dicom-web/studies/{ds.StudyInstanceUID} HTTP/1.1\r\nHost: x\r\nAccept: {ZIP}\r\n"
        answer = node.exchange(f"{request}Connection: close\r\n\r\n".encode())
        assert b"PK\x05\x06" not in answer
        as_stored = request.replace(ZIP, f"{ZIP}; transfer-syntax=*")
        head, _, body = node.exchange(f"{as_stored}Connection: close\r\n\r\n".encode()).partition(b"\r\n\r\n")
        assert len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


@pytest.mark.parametrize("below", ["", f"/series/{uid('slices')}"])
def test_metadata_are_one_array_in_one_archive(web: WebNode, below: str) -> None:
    """PS3.18 10.4.4: also where JSON is in a zip container, it is a single array."""
    resource = f"/studies/{STUDY}{below}/metadata"
    response = web.get(resource, ZIP)
    assert (response.status_code, response.headers["Content-Type"]) == (200, ZIP)
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        (info,) = archive.infolist()
        assert info.compress_size < info.file_size / 2
        assert json.loads(archive.read(info)) == web.get(resource).json()
    again = web.get(resource, ZIP, **{"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert web.get(resource, "application/dicom+json", **{"If-None-Match": response.headers["ETag"]}).status_code == 200
