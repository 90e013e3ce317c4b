"""dicomweb-client, an independent user agent, against our door: all that it can do, as it does it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from fixtures.builders import A_TINY_PDF, a_ct, a_multiframe, a_pdf, a_series, uid
from fixtures.cast import YAMADA
from fixtures.web import WebNode, web_node

STUDY, SERIES = uid("of the client"), uid("of the client 1")
CTS = a_series(4, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
LOOPS = [a_multiframe(frames=4, transfer_syntax=s) for s in (ExplicitVRLittleEndian, JPEGLSLossless, RLELossless)]
PDF = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10)
JAPANESE = a_ct(transfer_syntax=JPEG2000Lossless, **YAMADA)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("client")
    with web_node(folder) as node:
        yield node


@pytest.fixture(scope="module")
def client(web: WebNode) -> DICOMwebClient:
    """The client, once it has stored everything."""
    made = DICOMwebClient(web.service)
    stored = made.store_instances([*CTS, *LOOPS, PDF, JAPANESE])
    assert len(stored.ReferencedSOPSequence) == len(CTS) + len(LOOPS) + 2
    assert "FailedSOPSequence" not in stored
    return made


def test_it_finds_studies_series_and_instances(client: DICOMwebClient) -> None:
    studies = [Dataset.from_json(row) for row in client.search_for_studies(search_filters={"StudyInstanceUID": STUDY})]
    assert [study.NumberOfStudyRelatedInstances for study in studies] == [4]
    assert len(client.search_for_series(study_instance_uid=STUDY)) == 1
    assert len(client.search_for_instances(study_instance_uid=STUDY, series_instance_uid=SERIES)) == 4
    assert len(client.search_for_instances(STUDY, fields=["SOPClassUID", "00080060"])) == 4


def test_it_searches_with_filters_of_every_kind(client: DICOMwebClient) -> None:
    for filters in (
        {"PatientName": "Yamada*"},
        {"PatientName": "山田^太郎"},
        {"00100020": "JP-0007"},
        {"PatientBirthDate": "19550611", "ModalitiesInStudy": "CT"},
    ):
        found = client.search_for_studies(search_filters=filters, fuzzymatching=True, limit=10)
        assert [row["0020000D"]["Value"][0] for row in found] == [JAPANESE.StudyInstanceUID], filters
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_it_pages_through_everything(client: DICOMwebClient) -> None:
    whole = client.search_for_studies(get_remaining=True)
    paged = client.search_for_studies(limit=2, get_remaining=True)
    assert len(whole) == len(paged) == 6
    assert whole == paged


def test_it_retrieves_metadata(client: DICOMwebClient) -> None:
    assert [row["00200013"]["Value"] for row in client.retrieve_study_metadata(STUDY)] == [[1], [2], [3], [4]]
    assert len(client.retrieve_series_metadata(STUDY, SERIES)) == 4
    ds = Dataset.from_json(client.retrieve_instance_metadata(*_uids(JAPANESE)), lambda *_: b"")
    assert ds.PatientName.ideographic == "山田^太郎"


def test_it_retrieves_instances_in_the_default_transfer_syntax(client: DICOMwebClient) -> None:
    """clients.md 3."""
    for ds in (*CTS, *LOOPS, JAPANESE):
        read = client.retrieve_instance(*_uids(ds), media_types=("application/dicom",))
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert np.array_equal(read.pixel_array, ds.pixel_array)
    assert [ds.SOPInstanceUID for ds in client.retrieve_study(STUDY)] == [ds.SOPInstanceUID for ds in CTS]
    assert len(client.retrieve_series(STUDY, SERIES)) == 4
    assert len(list(client.iter_study(STUDY))) == 4


def test_it_retrieves_instances_as_they_are_stored(client: DICOMwebClient) -> None:
    """clients.md 3: the Python client's default of other calls."""
    for ds in LOOPS:
        read = client.retrieve_instance(*_uids(ds))
        assert read.file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID
        assert read == ds


def test_it_retrieves_frames(client: DICOMwebClient) -> None:
    for ds in LOOPS:
        frames = client.retrieve_instance_frames(*_uids(ds), frame_numbers=[1, 3, 4])
        assert [frame[:1] for frame in frames] == [b"\1", b"\3", b"\4"]
        asked = (("application/octet-stream", "*"), ("image/jls", JPEGLSLossless), ("image/dicom-rle", RLELossless))
        assert len(list(client.iter_instance_frames(*_uids(ds), [2, 4], media_types=asked))) == 2


def test_it_retrieves_bulk_data(client: DICOMwebClient) -> None:
    uri = client.retrieve_instance_metadata(*_uids(PDF))["00420011"]["BulkDataURI"]
    (content,) = client.retrieve_bulkdata(uri)
    assert content == PDF.EncapsulatedDocument


def test_it_retrieves_rendered_images(client: DICOMwebClient) -> None:
    jpeg = client.retrieve_instance_rendered(*_uids(JAPANESE), media_types=("image/jpeg",))
    png = client.retrieve_instance_frames_rendered(*_uids(LOOPS[0]), [2], media_types=("image/png",))
    params = {"window": "40,400,linear", "viewport": "16,16"}
    small = client.retrieve_instance_rendered(*_uids(JAPANESE), media_types=("image/png",), params=params)
    assert jpeg.startswith(b"\xff\xd8")
    assert png.startswith(b"\x89PNG")
    assert small.startswith(b"\x89PNG")
    pdf = client.retrieve_instance_rendered(*_uids(PDF), media_types=("application/pdf",))
    assert pdf.startswith(b"%PDF")


def test_it_is_told_what_fails(web: WebNode, client: DICOMwebClient) -> None:
    stranger = DICOMwebClient(web.service)
    stranger.set_http_retry_params(retry=False)
    with pytest.raises(requests.HTTPError, match="404"):
        stranger.retrieve_study("1.2.3")
    with pytest.raises(requests.HTTPError, match="409") as refused:
        stranger.store_instances([a_ct()], study_instance_uid="1.2.3.4")
    assert Dataset.from_json(refused.value.response.json()).FailedSOPSequence[0].FailureReason == 0xA900


def _uids(ds: Dataset) -> tuple[str, str, str]:
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
