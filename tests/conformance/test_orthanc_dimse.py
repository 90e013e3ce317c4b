"""A real Orthanc as the other archive: it stores to us, queries us, moves from us, and takes what we move to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import pytest
from pydicom.uid import RLELossless

from fixtures import dcmtk
from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.cast import YAMADA
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.node import content_of
from fixtures.orthanc import Orthanc, orthanc
from fixtures.ports import free_port
from fixtures.waiting import eventually
from relais.archive import commitment_asked
from relais.archive.ingest import store_part10
from relais.dicom.commitment import Reference
from relais.dicom.origin import Channel, Origin
from relais.node.commitments import Commitments
from relais.peers.dimse import DimsePeer
from relais.peers.registry import Registry
from relais.peers.settings import PeerSettings

THORAX, KNEE = uid("thorax"), uid("knee")
QUERIED = {"PatientName": "QUERIED^Often", "PatientID": "Q-1"}


@dataclass
class Pair:
    """Orthanc and a node, each a peer of the other."""

    orthanc: Orthanc
    node: DimseNode


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    port, folder = free_port(), tmp_path_factory.mktemp("pair")
    with orthanc(folder / "orthanc", {"relais": ("RELAIS", "127.0.0.1", port)}) as server:
        peer = PeerSettings("orthanc", server.ae_title, "127.0.0.1", server.dicom_port)
        with dimse_node(folder / "node", [peer], listen_port=port) as node:
            thorax = [*a_series(3, StudyInstanceUID=THORAX, **QUERIED), a_sr(StudyInstanceUID=THORAX, **QUERIED)]
            for ds in (*thorax, a_ct(StudyInstanceUID=KNEE, **YAMADA)):
                store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
            yield Pair(server, node)


def test_orthanc_echoes_and_is_echoed(pair: Pair) -> None:
    assert pair.orthanc.post("/modalities/relais/echo", {}) == {}
    DimsePeer(PeerSettings("orthanc", "ORTHANC", "127.0.0.1", pair.orthanc.dicom_port)).echo()


def test_orthanc_stores_to_us(pair: Pair) -> None:
    instances = [a_ct(), a_multiframe(transfer_syntax=RLELossless), a_sr()]
    ids = [pair.orthanc.post("/instances", part10(ds))["ID"] for ds in instances]
    before = set(pair.node.kept)
    answer = pair.orthanc.post("/modalities/relais/store", ids)
    assert answer["FailedInstancesCount"] == 0
    stored = {content_of(pair.node.archive, key)[-200:] for key in set(pair.node.kept) - before}
    assert stored == {dataset_bytes(ds)[-200:] for ds in instances}


@pytest.mark.parametrize(
    ("level", "query", "count"),
    [
        ("Patient", {"PatientID": "JP-*"}, 1),
        ("Patient", {"PatientName": "QUERIED^*"}, 1),
        ("Study", {"PatientID": "Q-1", "StudyDate": "20240101-20241231"}, 1),
        ("Study", {"PatientID": "Q-1", "StudyDate": "-20231231"}, 0),
        ("Study", {"StudyInstanceUID": str(KNEE)}, 1),
        ("Study", {"PatientID": "Q-?", "ModalitiesInStudy": "SR"}, 1),
        ("Series", {"StudyInstanceUID": str(THORAX), "Modality": "CT"}, 1),
    ],
)
def test_orthanc_queries_us(pair: Pair, level: str, query: dict[str, str], count: int) -> None:
    assert len(_query(pair, level, query)) == count


def test_orthanc_reads_our_names_in_three_scripts(pair: Pair) -> None:
    [answer] = _query(pair, "Study", {"StudyInstanceUID": str(KNEE), "PatientName": ""})
    assert answer["PatientName"].startswith("Yamada^Tarou=山田^太郎")


def test_orthanc_moves_what_it_found_from_us_to_itself(pair: Pair) -> None:
    """Its C-MOVE Identifier carries keys that are not unique (client lesson 7)."""
    query = {"Level": "Study", "Query": {"StudyInstanceUID": str(THORAX)}}
    found = pair.orthanc.post("/modalities/relais/query", query)["ID"]
    pair.orthanc.post(f"/queries/{found}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    assert len(_instances_at_orthanc(pair, THORAX)) == 4


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", RLELossless])
def test_orthanc_takes_what_we_move_to_it(pair: Pair, syntax: str) -> None:
    ds = a_multiframe(transfer_syntax=syntax)
    store_part10(pair.node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={ds.StudyInstanceUID}"]
    ran = dcmtk.movescu(pair.node.port, keys, destination="ORTHANC")
    assert ran.statuses == [0]
    [instance] = _instances_at_orthanc(pair, ds.StudyInstanceUID)
    assert pair.orthanc.get_bytes(f"/instances/{instance}/file").endswith(dataset_bytes(ds))


def test_orthanc_asks_us_for_storage_commitment_and_is_told(pair: Pair) -> None:
    """PS3.4 J: it releases at once, so the answer goes over a new association."""
    ds = a_ct()
    kept = pair.orthanc.post("/instances", part10(ds))["ID"]
    pair.orthanc.post("/modalities/relais/store", [kept])
    never = pair.orthanc.post("/instances", part10(a_ct()))["ID"]
    asked = pair.orthanc.post("/modalities/relais/storage-commitment", {"Resources": [kept, never]})
    peer = PeerSettings("orthanc", "ORTHANC", "127.0.0.1", pair.orthanc.dicom_port)
    assert eventually(Commitments(pair.node.archive, Registry([peer]), lambda: False).step, 120)
    answer = pair.orthanc.get(f"/storage-commitment/{asked['ID']}")
    assert answer["Status"] == "Failure"
    assert [one["SOPInstanceUID"] for one in answer["Success"]] == [ds.SOPInstanceUID]
    assert [one["FailureReason"] for one in answer["Failures"]] == [0x0112]


def test_orthanc_commits_to_what_we_sent_it(pair: Pair) -> None:
    """It answers over a new association to our door."""
    ds = a_ct()
    pair.orthanc.post("/instances", part10(ds))
    wanted = [Reference(ds.SOPClassUID, ds.SOPInstanceUID), Reference(ds.SOPClassUID, uid("never"))]
    peer = DimsePeer(PeerSettings("orthanc", "ORTHANC", "127.0.0.1", pair.orthanc.dicom_port))
    report = commitment_asked.commit(pair.node.archive, peer, wanted, 120)
    assert report is not None
    assert list(report.committed) == wanted[:1]
    assert [(one.reference, one.reason) for one in report.failed] == [(wanted[1], 0x0112)]


def _query(pair: Pair, level: str, query: dict[str, str]) -> list[dict[str, str]]:
    found = pair.orthanc.post("/modalities/relais/query", {"Level": level, "Query": query})["ID"]
    answers = pair.orthanc.get(f"/queries/{found}/answers")
    return [pair.orthanc.get(f"/queries/{found}/answers/{answer}/content?simplify") for answer in answers]


def _instances_at_orthanc(pair: Pair, study_instance_uid: str) -> list[str]:
    query = {"Level": "Instance", "Query": {"StudyInstanceUID": str(study_instance_uid)}}
    return list(pair.orthanc.post("/tools/find", query))
