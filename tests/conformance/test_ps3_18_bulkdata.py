"""WADO-RS: bulk data and Pixel Data of whole studies, series and instances. PS3.18 10.4.1.1.5, 10.4.1.1.6 (CP 2040)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from fixtures.builders import A_TINY_PDF, a_ct, a_multiframe, a_pdf, a_sr, part10, uid
from fixtures.node import lose
from fixtures.web import WebNode, parts_of, path, web_node

OCTETS = 'multipart/related; type="application/octet-stream"'
AS_STORED = OCTETS + "; transfer-syntax=*"
STUDY = uid("study with bulk data")

CT = a_ct(StudyInstanceUID=STUDY, SeriesNumber=1)
TURNED = a_ct(StudyInstanceUID=STUDY, SeriesNumber=2, transfer_syntax=ExplicitVRBigEndian)
LOOP = a_multiframe(frames=3, StudyInstanceUID=STUDY, SeriesNumber=3, transfer_syntax=JPEGLSLossless)
PDF = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10, StudyInstanceUID=STUDY, SeriesNumber=4)
REPORT = a_sr()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("bulkdata")
    with web_node(folder) as node:
        assert node.store(CT, TURNED, LOOP, PDF, REPORT).status_code == 200
        yield node


def uris(web: WebNode) -> set[str]:
    documents = web.get(f"/studies/{STUDY}/metadata").json()
    return {element["BulkDataURI"] for ds in documents for element in ds.values() if "BulkDataURI" in element}


@pytest.mark.parametrize("resource", [f"/studies/{STUDY}/bulkdata", f"/studies/{STUDY}"])
def test_all_bulk_data_of_a_study_is_where_the_metadata_says(web: WebNode, resource: str) -> None:
    """PS3.18 10.4.3.3.5; and table 10.4.4-1: a study asked for as octets is its bulk data."""
    response = web.get(resource, OCTETS)
    assert response.status_code == 200, response.text
    by_location = {headers["Content-Location"]: content for headers, content in parts_of(response)}
    assert by_location.keys() == uris(web)
    for ds in (CT, TURNED):
        assert by_location[f"{web.service}{path(ds)}/bulkdata/7FE00010"] == CT.PixelData
    assert by_location[f"{web.service}{path(PDF)}/bulkdata/00420011"] == PDF.EncapsulatedDocument
    for location, content in by_location.items():
        assert parts_of(web.get(location.removeprefix(web.service), OCTETS))[0][1] == content


@pytest.mark.parametrize("ds", [CT, LOOP, PDF], ids=["ct", "loop", "pdf"])
def test_a_series_and_an_instance_have_bulk_data_of_their_own(web: WebNode, ds: Dataset) -> None:
    for resource in (path(ds), path(ds).partition("/instances")[0]):
        (part,) = parts_of(web.get(f"{resource}/bulkdata", OCTETS))
        assert part[0]["Content-Location"].startswith(f"{web.service}{path(ds)}/bulkdata/")


def test_bulk_data_without_an_acceptable_form_is_left_out_and_told(web: WebNode) -> None:
    """PS3.18 table 10.4.3-1: 206."""
    response = web.get(f"/studies/{STUDY}/bulkdata", 'multipart/related; type="application/pdf"')
    assert (response.status_code, len(parts_of(response))) == (206, 1)
    assert "left out" in response.headers["Warning"]
    assert web.get(f"{path(CT)}/bulkdata", 'multipart/related; type="application/pdf"').status_code == 406


@pytest.mark.parametrize("level", ["", "/series", "/instances"])
def test_pixel_data_of_every_image_and_of_nothing_else(web: WebNode, level: str) -> None:
    """PS3.18 10.4.3.3.6"""
    resource = {"": f"/studies/{STUDY}", "/series": path(LOOP).partition("/instances")[0], "/instances": path(LOOP)}
    parts = parts_of(web.get(f"{resource[level]}/pixeldata", OCTETS))
    native = b"".join(bytes([number]) * 1024 for number in (1, 2, 3))
    assert [content for _, content in parts][-1] == native
    assert len(parts) == (3 if not level else 1)
    assert {headers["Content-Type"].rpartition("=")[2] for headers, _ in parts} == {str(ExplicitVRLittleEndian)}


def test_encoded_pixel_data_is_a_part_for_each_frame(web: WebNode) -> None:
    """PS3.18 8.7.3.3.2"""
    parts = parts_of(web.get(f"{path(LOOP)}/pixeldata", AS_STORED))
    assert [headers["Content-Location"].rpartition("/")[2] for headers, _ in parts] == ["1", "2", "3"]
    assert all(headers["Content-Type"] == f"image/jls; transfer-syntax={JPEGLSLossless}" for headers, _ in parts)
    made = parts_of(web.get(f"/studies/{STUDY}/pixeldata", 'multipart/related; type="image/dicom-rle"'))
    assert [headers["Content-Type"].rpartition("=")[2] for headers, _ in made] == [str(RLELossless)] * 5


def test_tags_may_be_written_in_small_letters(web: WebNode) -> None:
    as_stored = f"{OCTETS}; transfer-syntax=*"
    (capital, *_), (small, *_) = (
        parts_of(web.get(f"{path(LOOP)}/bulkdata/{tag}", as_stored)) for tag in ("7FE00010", "7fe00010")
    )
    assert small == capital
    assert "transfer-syntax=" in small[0]["Content-Type"]


def test_pixel_data_comes_alone_where_it_is_one_item(web: WebNode) -> None:
    """PS3.18 10.4.4"""
    whole = web.get(f"{path(LOOP)}/pixeldata", "application/octet-stream")
    assert (whole.status_code, len(whole.content)) == (200, 3 * 1024)
    assert whole.headers["Content-Location"] == f"{web.service}{path(LOOP)}/bulkdata/7FE00010"
    part = web.get(f"{path(LOOP)}/pixeldata", "application/octet-stream", Range="bytes=1020-1027")
    assert (part.status_code, part.content) == (206, b"\1" * 4 + b"\2" * 4)
    assert web.get(f"{path(LOOP)}/pixeldata", "image/jls").status_code == 406
    assert web.get(f"{path(CT)}/pixeldata", "image/jls").headers["Content-Type"].startswith("image/jls")
    assert web.get(f"/studies/{STUDY}/pixeldata", "application/octet-stream").status_code == 406


@pytest.mark.parametrize("name", ["bulkdata", "pixeldata"])
def test_what_has_none_is_a_404(web: WebNode, name: str) -> None:
    assert web.get(f"{path(REPORT)}/{name}", OCTETS).status_code == 404
    assert web.get(f"/studies/1.2.3/{name}", OCTETS).status_code == 404


@pytest.mark.parametrize("name", ["bulkdata", "pixeldata", "bulkdata/7FE00010", "frames/1"])
def test_head_is_as_get_without_a_body(web: WebNode, name: str) -> None:
    response = web.request("HEAD", f"{path(CT)}/{name}", OCTETS)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Type"].startswith("multipart/related")


@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
def test_pixel_data_that_cannot_be_decoded_cuts_no_other_short(web: WebNode, resource: str) -> None:
    """Trap 12: it leaves as stored, alone it is an error."""
    study = uid(f"spoilt {resource}")
    spoilt, good, last = (
        a_ct(StudyInstanceUID=study, SeriesNumber=n, transfer_syntax=JPEG2000Lossless) for n in (1, 2, 3)
    )
    beginning = b"\xff\x4f\xff\x51"
    web.store(part10(spoilt).replace(beginning, bytes(len(beginning))), good, last)
    response = web.get(f"/studies/{study}/{resource}", OCTETS)
    types = {headers["Content-Location"]: headers["Content-Type"] for headers, _ in parts_of(response)}
    decoded = f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert types == {
        f"{web.service}{path(spoilt)}/frames/1": f"image/jp2; transfer-syntax={JPEG2000Lossless}",
        f"{web.service}{path(good)}/bulkdata/7FE00010": decoded,
        f"{web.service}{path(last)}/bulkdata/7FE00010": decoded,
    }
    assert web.get(f"{path(spoilt)}/{resource}", OCTETS).status_code == 406


def test_pixel_data_that_is_lost_breaks_the_answer_off(tmp_path: Path) -> None:
    """hardening.md 9: what is missing is never passed over."""
    study = uid("lost in part")
    first, lost, last = (a_ct(StudyInstanceUID=study, SeriesNumber=n) for n in (1, 2, 3))
    with web_node(tmp_path) as node:
        node.store(first, lost, last)
        (key,) = (key for key in node.kept if lost.SOPInstanceUID in key)
        lose(node.archive, key)
        response = node.get(f"/studies/{study}/pixeldata", OCTETS)
    boundary = response.headers["Content-Type"].rpartition("boundary=")[2].strip('"')
    assert response.content.count(b"Content-Location: ") == 1
    assert f"--{boundary}--".encode() not in response.content
