"""dicomweb-client of npm, what OHIF and others are built on, against our door: all that it can do, on real files."""

import io
import json
import warnings
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian

from fixtures import npm_client
from fixtures.builders import A_TINY_PDF, a_ct, a_multiframe, a_pdf, a_series, dataset_bytes, part10, uid
from fixtures.cast import YAMADA
from fixtures.npm_client import NpmClient, Refused
from fixtures.real_files import RealFile, real_files
from fixtures.web import WebNode, web_node
from relais.dicom.part10 import read_head
from relais.ui import npm

REAL: dict[str, RealFile] = {file.name.removeprefix("test_files/"): file for file in real_files()}
LOSSY = "examples_ybr_color.dcm"
NATIVE = ("CT_small.dcm", "examples_rgb_color.dcm", "liver_1frame.dcm", "test-SR.dcm", "waveform_ecg.dcm")
REENCODED = ("MR_small_implicit.dcm", "examples_jpeg2k.dcm", "image_dfl.dcm", "rtdose.dcm")
# Real file, the media type of its frames.
COMPRESSED = (
    ("examples_jpeg2k.dcm", "image/jp2"),
    (LOSSY, "image/jpeg"),
    ("SC_rgb_rle_2frame.dcm", "image/dicom-rle"),
    ("JPEG-lossy.dcm", "image/jpeg"),
)
THORAX, SLICES = uid("thorax of npm"), uid("slices of npm")
CTS = a_series(5, StudyInstanceUID=THORAX, SeriesInstanceUID=SLICES)
JAPANESE = a_ct(**YAMADA)
LOOP = a_multiframe(frames=4)
PDF = a_pdf(EncapsulatedDocument=A_TINY_PDF * 10)
BUILT = [*CTS, JAPANESE, LOOP, PDF]


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the client comes from."""
    try:
        npm_client.install()
    except npm.FetchFailed as exc:
        pytest.skip(f"dicomweb-client of npm is not installed and could not be fetched: {exc}.")
    with npm_client.origin() as base:
        yield base


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[WebNode]:
    with web_node(tmp_path_factory.mktemp("npm"), cors_origins=[origin], cors_may_store=True) as node:
        yield node


@pytest.fixture(scope="module")
def client(browser: Browser, web: WebNode, origin: str) -> Iterator[NpmClient]:
    """The client, once it has stored everything."""
    with npm_client.client(browser, origin, web.service) as made:
        answer = made("storeInstances", datasets=[part10(ds) for ds in BUILT])
        stored = Dataset.from_json(json.loads(answer))
        assert {item.ReferencedSOPInstanceUID for item in stored.ReferencedSOPSequence} == {
            ds.SOPInstanceUID for ds in BUILT
        }
        names = {*NATIVE, *REENCODED, *(name for name, _ in COMPRESSED)}
        made("storeInstances", datasets=[REAL[name].path.read_bytes() for name in sorted(names)])
        yield made


def of(what: Dataset | RealFile) -> dict[str, str]:
    """The client's names for an instance's UIDs."""
    if isinstance(what, RealFile):
        uids = what.study_instance_uid, what.series_instance_uid, what.sop_instance_uid
    else:
        uids = what.StudyInstanceUID, what.SeriesInstanceUID, what.SOPInstanceUID
    return dict(zip(("studyInstanceUID", "seriesInstanceUID", "sopInstanceUID"), uids, strict=True))


def data_set(content: bytes) -> bytes:
    stream = io.BytesIO(content)
    read_head(stream.read)
    return content[stream.tell() :]


def read(file: RealFile) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real files are what they are
        return dcmread(file.path)


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_real_file_comes_back_bit_for_bit(client: NpmClient, name: str) -> None:
    """It asks for `application/dicom` and no Transfer Syntax: clients.md 3."""
    assert data_set(client("retrieveInstance", **of(REAL[name]))) == REAL[name].dataset


@pytest.mark.parametrize("name", REENCODED)
def test_any_other_real_file_comes_in_the_default_transfer_syntax(client: NpmClient, name: str) -> None:
    """PS3.18 8.7.3.5.2"""
    found = dcmread(io.BytesIO(client("retrieveInstance", **of(REAL[name]))))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(found.pixel_array, read(REAL[name]).pixel_array)


def test_what_there_is_in_a_lossy_form_only_comes_in_it(client: NpmClient) -> None:
    """PS3.18 8.7.3.3"""
    assert data_set(client("retrieveInstance", **of(REAL[LOSSY]))) == REAL[LOSSY].dataset


def test_a_series_and_a_study_come_whole(client: NpmClient) -> None:
    one = {"studyInstanceUID": THORAX}
    expected = [dataset_bytes(ds) for ds in CTS]
    assert [data_set(item) for item in client("retrieveStudy", **one)] == expected
    assert [data_set(item) for item in client("retrieveSeries", **one, seriesInstanceUID=SLICES)] == expected


@pytest.mark.parametrize(("name", "media_type"), COMPRESSED)
def test_frames_come_as_they_are_stored(client: NpmClient, name: str, media_type: str) -> None:
    """clients.md 2"""
    ds = read(REAL[name])
    count = int(ds.get("NumberOfFrames", 1))
    numbers = list(range(1, count + 1))
    expected = list(generate_frames(ds.PixelData, number_of_frames=count))
    any_syntax = [{"mediaType": "application/octet-stream", "transferSyntaxUID": "*"}]
    frames = client("retrieveInstanceFrames", **of(REAL[name]), frameNumbers=numbers, mediaTypes=any_syntax)
    assert frames == expected
    if media_type != "image/dicom-rle":  # which the client does not know
        named = [{"mediaType": media_type, "transferSyntaxUID": str(ds.file_meta.TransferSyntaxUID)}]
        assert client("retrieveInstanceFrames", **of(REAL[name]), frameNumbers=[1], mediaTypes=named) == expected[:1]


def test_frames_come_decoded_unless_asked_otherwise(client: NpmClient) -> None:
    assert [frame[:1] for frame in client("retrieveInstanceFrames", **of(LOOP), frameNumbers=[4, 1])] == [b"\4", b"\1"]
    (frame,) = client("retrieveInstanceFrames", **of(REAL["examples_jpeg2k.dcm"]), frameNumbers=[1])
    assert frame == read(REAL["examples_jpeg2k.dcm"]).pixel_array.tobytes()


def test_metadata_is_that_of_the_instances(client: NpmClient) -> None:
    study, series = {"studyInstanceUID": THORAX}, {"studyInstanceUID": THORAX, "seriesInstanceUID": SLICES}
    whole = client("retrieveStudyMetadata", **study)
    assert [row["00200013"]["Value"] for row in whole] == [[number] for number in range(1, 6)]
    assert client("retrieveSeriesMetadata", **series) == whole
    for row, ds in zip(whole, CTS, strict=True):
        found = Dataset.from_json(row, lambda *_: b"")
        assert {element.tag for element in found} == {element.tag for element in ds}
        assert (found.PatientName, found.WindowCenter) == (ds.PatientName, ds.WindowCenter)
    (japanese,) = client("retrieveInstanceMetadata", **of(JAPANESE))
    assert japanese["00100010"]["Value"][0]["Ideographic"] == "山田^太郎"


def test_bulk_data_are_where_the_metadata_says(client: NpmClient) -> None:
    (document,) = client("retrieveInstanceMetadata", **of(PDF))
    uri = document["00420011"]["BulkDataURI"]
    assert client("retrieveBulkData", BulkDataURI=uri) == [PDF.EncapsulatedDocument]
    as_pdf = [{"mediaType": "application/pdf"}, {"mediaType": "application/octet-stream"}]
    assert client("retrieveBulkData", BulkDataURI=uri, mediaTypes=as_pdf) == [PDF.EncapsulatedDocument]
    alone = NpmClient(client.page, client.url, {"singlepart": "bulkdata"})
    assert alone("retrieveBulkData", BulkDataURI=uri) == [PDF.EncapsulatedDocument]


def test_images_are_rendered_within_a_window_and_a_viewport(client: NpmClient) -> None:
    asked = {"queryParams": {"window": "40,400,linear", "viewport": "16,16"}}
    (jpeg,) = client("retrieveInstanceRendered", **of(CTS[0]))
    (png,) = client("retrieveInstanceRendered", **of(CTS[0]), mediaTypes=[{"mediaType": "image/png"}], **asked)
    (frame,) = client(
        "retrieveInstanceFramesRendered", **of(LOOP), frameNumbers=[2], mediaTypes=[{"mediaType": "image/jpeg"}]
    )
    (small,) = client("retrieveInstanceThumbnail", **of(CTS[0]), mediaTypes=[{"mediaType": "image/jpeg"}])
    assert [content[:3] for content in (jpeg, png, frame, small)] == [
        b"\xff\xd8\xff",
        b"\x89PN",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff",
    ]


@pytest.mark.parametrize(
    "params",
    [
        {"PatientName": "Yamada*"},
        {"PatientName": "taro yamada", "fuzzymatching": True},
        {"PatientName": "山田^太郎"},
        {"00100020": "JP-0007"},
        {"PatientBirthDate": "19550611", "ModalitiesInStudy": "CT"},
        {"StudyInstanceUID": f"{JAPANESE.StudyInstanceUID},1.2.3"},
    ],
    ids=count(),
)
def test_studies_are_found_by_keys_of_every_kind(client: NpmClient, params: dict[str, Any]) -> None:
    (row,) = client("searchForStudies", queryParams=params)
    assert row["0020000D"]["Value"] == [JAPANESE.StudyInstanceUID]


def test_series_and_instances_are_found(client: NpmClient) -> None:
    (series,) = client("searchForSeries", studyInstanceUID=THORAX)
    assert series["0020000E"]["Value"] == [SLICES]
    asked = {"includefield": "ImagePositionPatient", "InstanceNumber": 3}
    (row,) = client("searchForInstances", studyInstanceUID=THORAX, seriesInstanceUID=SLICES, queryParams=asked)
    assert (row["00080018"]["Value"], row["00200032"]["Value"]) == ([CTS[2].SOPInstanceUID], [0, 0, 3])
    assert len(client("searchForInstances", queryParams={"SOPInstanceUID": CTS[0].SOPInstanceUID})) == 1
    assert client("searchForStudies", queryParams={"PatientID": "nobody"}) == []


def test_pages_join_to_the_whole(client: NpmClient) -> None:
    whole = client("searchForStudies")
    paged = [
        row
        for offset in range(0, len(whole), 3)
        for row in client("searchForStudies", queryParams={"limit": 3, "offset": offset})
    ]
    assert len(whole) > 6
    assert paged == whole


def test_a_wado_uri_that_it_builds_brings_the_instance(client: NpmClient, web: WebNode) -> None:
    """PS3.18 9.4"""
    at_door = NpmClient(client.page, f"{web.base}/wado")
    url = at_door("buildInstanceWadoURIUrl", **of(CTS[0]))
    assert data_set(web.session.get(url, timeout=120).content) == dataset_bytes(CTS[0])


def test_what_fails_is_told_across_origins(client: NpmClient) -> None:
    with pytest.raises(Refused) as missing:
        client("retrieveStudy", studyInstanceUID="1.2.3")
    with pytest.raises(Refused) as impossible:
        client("searchForStudies", queryParams={"StudyDate": "yesterday"})
    with pytest.raises(Refused) as unlike:
        client("storeInstances", datasets=[part10(a_ct())], studyInstanceUID="1.2.3.4")
    with pytest.raises(Refused) as none:
        client("storeInstances", datasets=[b"no instance at all"])
    assert [one.value.status for one in (missing, impossible, unlike, none)] == [404, 400, 409, 409]
    assert Dataset.from_json(json.loads(unlike.value.said)).FailedSOPSequence[0].FailureReason == 0xA900


def test_some_of_several_may_fail(client: NpmClient) -> None:
    """PS3.18 10.5.3: 202, which the client takes for a success."""
    good = a_ct()
    answer = Dataset.from_json(json.loads(client("storeInstances", datasets=[part10(good), b"bad"])))
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [good.SOPInstanceUID]
    assert len(answer.FailedSOPSequence) == 1
