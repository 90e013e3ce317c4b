"""A real Orthanc as DICOMweb client: it searches us, retrieves from us and stores to us. PS3.18 10.4 to 10.6."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import JPEGLSLossless

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.cast import YAMADA
from fixtures.orthanc import Orthanc, orthanc
from fixtures.web import WebNode, parts_of, web_node
from relais.dicom.part10 import read_head

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'

THORAX, SLICES, KNEE = uid("thorax to fetch"), uid("slices to fetch"), uid("knee to fetch")
HELD: list[Dataset] = [
    *a_series(5, StudyInstanceUID=THORAX, SeriesInstanceUID=SLICES),
    a_sr(StudyInstanceUID=THORAX, SeriesNumber=2),
    a_pdf(StudyInstanceUID=THORAX, SeriesNumber=3),
    a_multiframe(frames=4, StudyInstanceUID=KNEE, transfer_syntax=JPEGLSLossless, **YAMADA),
]


@dataclass
class Pair:
    """Orthanc, which knows us as `relais`, and our door."""

    orthanc: Orthanc
    web: WebNode

    def ask(self, what: str, **body: Any) -> Any:
        return self.orthanc.post(f"/dicom-web/servers/relais/{what}", {"Synchronous": True, **body})

    def files(self) -> dict[str, bytes]:
        """What Orthanc holds, by SOP Instance UID."""
        found = {}
        for name in self.orthanc.get("/instances"):
            tags = self.orthanc.get(f"/instances/{name}/simplified-tags")
            found[tags["SOPInstanceUID"]] = self.orthanc.get_bytes(f"/instances/{name}/file")
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with web_node(tmp_path / "node") as web:
        assert web.store(*HELD).status_code == 200
        known = {"Enable": True, "Root": "/dicom-web/", "Servers": {"relais": {"Url": web.service + "/"}}}
        with orthanc(tmp_path / "orthanc", dicomweb=True, DicomWeb=known) as server:
            yield Pair(server, web)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{"Study": THORAX}, {"Study": KNEE}], HELD),
        ([{"Study": THORAX, "Series": SLICES}], HELD[:5]),
        ([{"Study": THORAX, "Series": SLICES, "Instance": HELD[2].SOPInstanceUID}], [HELD[2]]),
    ],
    ids=["studies", "series", "instance"],
)
def test_orthanc_retrieves_from_us(pair: Pair, resources: list[dict[str, str]], expected: list[Dataset]) -> None:
    answer = pair.ask("retrieve", Resources=resources)
    found = pair.files()
    assert found.keys() == {ds.SOPInstanceUID for ds in expected}, answer
    native = [ds for ds in expected if ds.file_meta.TransferSyntaxUID != JPEGLSLossless]
    assert all(found[ds.SOPInstanceUID].endswith(dataset_bytes(ds)) for ds in native)


def test_orthanc_searches_us(pair: Pair) -> None:
    def query(uri: str, **arguments: str) -> Any:
        return pair.orthanc.post("/dicom-web/servers/relais/qido", {"Uri": uri, "Arguments": arguments})

    (study,) = query("/studies", PatientName="*MOREL*", StudyInstanceUID=THORAX)
    assert (study["00100010"]["Value"], study["0020000D"]["Value"]) == ("MOREL^Hélène", THORAX)
    assert len(query(f"/studies/{THORAX}/series")) == 3
    assert query("/studies", PatientID="nobody") == []


def test_orthanc_stores_to_us(pair: Pair) -> None:
    sent = [a_ct(), a_multiframe(frames=2)]
    ids = [pair.orthanc.post("/instances", part10(ds))["ID"] for ds in sent]
    pair.ask("stow", Resources=ids)
    for ds in sent:
        (row,) = pair.web.get(f"/instances?SOPInstanceUID={ds.SOPInstanceUID}").json()
        assert row["0020000D"]["Value"] == [ds.StudyInstanceUID]


def test_orthanc_stores_a_whole_study_to_us_bit_for_bit(pair: Pair) -> None:
    sent = [
        *a_series(4, StudyInstanceUID=uid("knee to send"), SeriesInstanceUID=uid("slices to send")),
        a_multiframe(frames=3, StudyInstanceUID=uid("knee to send"), transfer_syntax=JPEGLSLossless),
        a_pdf(StudyInstanceUID=uid("knee to send"), SeriesNumber=9),
    ]
    (study,) = {pair.orthanc.post("/instances", part10(ds))["ParentStudy"] for ds in sent}
    pair.ask("stow", Resources=[study])
    parts = parts_of(pair.web.get(f"/studies/{uid('knee to send')}", AS_STORED))
    assert sorted(dataset_bytes(ds) for ds in sent) == sorted(data_set(content) for _, content in parts)


def data_set(content: bytes) -> bytes:
    stream = io.BytesIO(content)
    read_head(stream.read)
    return content[stream.tell() :]
