"""WADO-RS with a series of 3,000 instances: whole, in order, and in little memory. PS3.18 10.4."""

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from fixtures.builders import a_ct, part10, uid
from fixtures.web import WebNode, web_node
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin

COUNT = 3000
STUDY, SERIES = uid("large study"), uid("large series")
RESOURCE = f"/studies/{STUDY}/series/{SERIES}"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
GROWTH_KB = 64 * 1024


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("large")
    with web_node(folder, workers=1) as node:
        model = a_ct(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, InstanceNumber="10000", rows=32, columns=32)
        encoded, last = part10(model), str(model.SOPInstanceUID)

        def store(number: int) -> None:
            place = f"{number:04d}".encode()
            one = encoded.replace(last.encode(), last[:-4].encode() + place).replace(b"10000 ", b"1" + place + b" ")
            store_part10(node.archive, io.BytesIO(one), Origin(Channel.IMPORT))

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(store, range(COUNT)))
        yield node


def locations(response: requests.Response) -> list[str]:
    """The Content-Location of every part, in order."""
    boundary = response.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    heads = (part.partition(b"\r\n\r\n")[0] for part in response.content.split(b"--" + boundary)[1:-1])
    return [head.partition(b"Content-Location: ")[2].split(b"\r\n")[0].decode() for head in heads]


def test_every_instance_comes_once_and_in_order(web: WebNode) -> None:
    web.get(f"{RESOURCE}/instances?limit=1")
    before = web.peak_memory_kb()
    response = web.get(RESOURCE, AS_STORED)
    assert response.headers["Content-Length"] == str(len(response.content))
    assert [location[-4:] for location in locations(response)] == [f"{number:04d}" for number in range(COUNT)]
    assert web.peak_memory_kb() - before < GROWTH_KB


def test_metadata_of_all_is_made_once_and_then_comes_from_memory(web: WebNode) -> None:
    first = web.get(f"{RESOURCE}/metadata", "application/dicom+json")
    documents = first.json()
    assert [document["00200013"]["Value"] for document in documents] == [[10000 + number] for number in range(COUNT)]
    again = web.get(f"{RESOURCE}/metadata", "application/dicom+json", Accept_Encoding="gzip")
    assert again.json() == documents
    assert again.headers["ETag"] == first.headers["ETag"]
    unchanged = web.get(f"{RESOURCE}/metadata", "application/dicom+json", If_None_Match=first.headers["ETag"])
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_bulk_data_of_all_has_a_part_for_each(web: WebNode) -> None:
    response = web.get(f"{RESOURCE}/pixeldata", 'multipart/related; type="application/octet-stream"')
    assert len(set(locations(response))) == COUNT


def test_the_zip_has_a_name_of_its_own_for_each(web: WebNode) -> None:
    content = web.get(RESOURCE, "application/zip; transfer-syntax=*").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(set(archive.namelist())) == COUNT
        assert archive.testzip() is None
