"""Retrieve (PS3.4 C.4.2, C.4.3) over real sockets: C-MOVE and C-GET as DCMTK and pynetdicom see them."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.uid import JPEGLSLossless, RLELossless
from pynetdicom import evt

from fixtures import dcmtk
from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.cast import MALLORY, SURYA, YAMADA
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.pynetdicom_scu import STUDY_ROOT, UNCOMPRESSED, Inbox, Proposal, Received, scu, storage_scp
from relais.access.policy import Mode, Policy
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin
from relais.peers.settings import PeerSettings

MOVE, GET = f"{STUDY_ROOT}.2", f"{STUDY_ROOT}.3"
CT, US, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.88.11"
EVERYTHING = [(sop_class, (*UNCOMPRESSED, RLELossless, JPEGLSLossless)) for sop_class in (CT, US, SR)]
KNEE, THORAX, SLICES = uid("knee"), uid("thorax"), uid("slices")


@contextmanager
def node_with(folder: Path, datasets: list[FileDataset], port: int = 9, **options: object) -> Iterator[DimseNode]:
    """A node that holds *datasets* and knows the peer DESTINATION on *port*, and one that nobody answers for."""
    peers = [PeerSettings("dest", "DESTINATION", "127.0.0.1", port), PeerSettings("dead", "DEAD", "127.0.0.1", 9)]
    with dimse_node(folder / "node", peers, **options) as node:  # type: ignore[arg-type]
        for ds in datasets:
            store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
        yield node


def holdings() -> list[FileDataset]:
    """A study of three slices and a report; a knee of another patient."""
    slices = a_series(3, StudyInstanceUID=THORAX, SeriesInstanceUID=SLICES)
    return [*slices, a_sr(StudyInstanceUID=THORAX, SeriesNumber=2), a_ct(StudyInstanceUID=KNEE, **YAMADA)]


def counters(ran: dcmtk.Ran) -> list[tuple[int, ...]]:
    """Completed, failed and warning sub-operations of every response, in order."""
    pattern = r"Completed Suboperations\s*: (\w+)\n.*Failed Suboperations\s*: (\w+)\n.*Warning Suboperations\s*: (\w+)"
    return [tuple(int(number) for number in found) for found in re.findall(pattern, ran.output)]


@pytest.mark.parametrize(
    ("model", "keys", "count"),
    [
        ("-S", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}"], 4),
        ("-S", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}\\{KNEE}"], 5),
        ("-S", ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={THORAX}", f"SeriesInstanceUID={SLICES}"], 3),
        ("-P", ["QueryRetrieveLevel=PATIENT", "PatientID=JP-0007"], 1),
        ("-P", ["QueryRetrieveLevel=STUDY", "PatientID=JP-0007", f"StudyInstanceUID={KNEE}"], 1),
        ("-P", ["QueryRetrieveLevel=STUDY", "PatientID=somebody", f"StudyInstanceUID={KNEE}"], 0),
        ("-S", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3"], 0),
        ("-S", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={KNEE}", "AccessionNumber=other", "PatientName=x*"], 1),
    ],
)
def test_each_level_moves_its_instances_and_counts_them(
    tmp_path: Path, model: str, keys: list[str], count: int
) -> None:
    """PS3.4 C.4.2.2.1; non-unique keys are ignored (client lesson 7)."""
    with (
        dcmtk.storescp(tmp_path / "out", ae_title="DESTINATION") as scp,
        node_with(tmp_path, holdings(), scp.port) as node,
    ):
        ran = dcmtk.movescu(node.port, keys, destination="DESTINATION", model=model)
        assert ran.code == 0
        assert ran.statuses == [*[0xFF00] * (count - 1), 0]
        assert counters(ran) == [(done, 0, 0) for done in range(1, count)] + [(count, 0, 0)]
        assert len(scp.files) == count


def test_one_instance_is_moved_as_it_is_stored_and_says_who_asked(tmp_path: Path) -> None:
    """PS3.7 9.1.1.1: Move Originator"""
    slices = a_series(2)
    inbox = Inbox()
    with storage_scp(EVERYTHING, inbox) as port, node_with(tmp_path, slices, port) as node:
        identifier = an_identifier("IMAGE", slices[1])
        with scu(node.port, [(MOVE, UNCOMPRESSED)], calling="WORKSTATION") as assoc:
            statuses = [s.Status for s, _ in assoc.send_c_move(identifier, "DESTINATION", MOVE, msg_id=77)]
    assert statuses == [0]
    [received] = inbox.received
    assert (received.originator, received.originator_message_id) == ("WORKSTATION", 77)
    assert received.dataset == dataset_bytes(slices[1])


def test_an_unknown_destination_is_a801(tmp_path: Path) -> None:
    """PS3.4 C.4.2.1.5"""
    with node_with(tmp_path, holdings()) as node:
        ran = dcmtk.movescu(node.port, ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={KNEE}"], destination="NOBODY")
        assert ran.statuses == [0xA801]


def test_a_destination_that_does_not_answer_fails_every_sub_operation(tmp_path: Path) -> None:
    """PS3.4 C.4.2.1.5: A702, and the list of what failed"""
    with node_with(tmp_path, holdings()) as node, scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc:
        answers = list(assoc.send_c_move(an_identifier("STUDY", THORAX), "DEAD", MOVE))
    status, failed = answers[-1]
    assert status.Status == 0xA702
    assert (status.NumberOfCompletedSuboperations, status.NumberOfFailedSuboperations) == (0, 4)
    assert "NumberOfRemainingSuboperations" not in status
    assert failed is not None
    assert len(failed.FailedSOPInstanceUIDList) == 4


def test_partial_failure_is_b000_with_the_list_of_what_failed(tmp_path: Path) -> None:
    """PS3.4 C.4.2.1.5; the report's SOP Class is not taken there."""
    held = holdings()
    report = next(ds.SOPInstanceUID for ds in held if ds.Modality == "SR")
    inbox = Inbox()
    with (
        storage_scp(EVERYTHING[:1], inbox) as port,
        node_with(tmp_path, held, port) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc,
    ):
        answers = list(assoc.send_c_move(an_identifier("STUDY", THORAX), "DESTINATION", MOVE))
    status, failed = answers[-1]
    assert status.Status == 0xB000
    assert (status.NumberOfCompletedSuboperations, status.NumberOfFailedSuboperations) == (3, 1)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == report
    assert len(inbox.received) == 3


@pytest.mark.parametrize(
    ("answer", "final", "expected"),
    [
        (0xB000, 0xB000, (0, 0, 3)),
        (0xB007, 0xB000, (0, 0, 3)),
        (0xA700, 0xA702, (0, 3, 0)),
        (0x0000, 0x0000, (3, 0, 0)),
    ],
)
def test_what_the_destination_says_of_each_is_counted(
    tmp_path: Path, answer: int, final: int, expected: tuple[int, ...]
) -> None:
    """PS3.4 C.4.2.3.1"""
    inbox = Inbox(lambda received: answer)
    with (
        storage_scp(EVERYTHING, inbox) as port,
        node_with(tmp_path, a_series(3, StudyInstanceUID=KNEE), port) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc,
    ):
        answers = list(assoc.send_c_move(an_identifier("STUDY", KNEE), "DESTINATION", MOVE))
    assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, final]
    assert [status.get("NumberOfRemainingSuboperations") for status, _ in answers] == [2, 1, None]
    assert numbers(answers[-1][0]) == expected


def test_a_destination_that_breaks_off_fails_what_is_left(tmp_path: Path) -> None:
    inbox = Inbox(cut_after=2)
    with (
        storage_scp(EVERYTHING, inbox) as port,
        node_with(tmp_path, a_series(4, StudyInstanceUID=KNEE), port) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc,
    ):
        answers = list(assoc.send_c_move(an_identifier("STUDY", KNEE), "DESTINATION", MOVE))
    assert answers[-1][0].Status == 0xB000
    assert numbers(answers[-1][0]) == (3, 1, 0)  # the others went over another association


def test_a_cancelled_move_ends_with_fe00_and_what_remains(tmp_path: Path) -> None:
    """PS3.4 C.4.2.3.1"""
    slow = Inbox(lambda received: time.sleep(0.1) or 0)  # type: ignore[func-returns-value]
    with (
        storage_scp(EVERYTHING, slow) as port,
        node_with(tmp_path, a_series(30, StudyInstanceUID=KNEE), port) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc,
    ):
        answers = []
        for status, identifier in assoc.send_c_move(an_identifier("STUDY", KNEE), "DESTINATION", MOVE, msg_id=5):
            answers.append((status, identifier))
            if len(answers) == 3:
                assoc.send_c_cancel(5, 1)
    status, identifier = answers[-1]
    assert status.Status == 0xFE00
    assert not identifier
    done = len(slow.received)
    assert 3 <= done < 30
    assert numbers(status) == (done, 0, 0)
    assert status.NumberOfRemainingSuboperations == 30 - done


NAMES_NOTHING = [
    ["QueryRetrieveLevel=STUDY"],
    ["QueryRetrieveLevel=STUDY", "StudyInstanceUID"],
    ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=*"],
    ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=2.25.*"],
    ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=?"],
    ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}\\*"],
    ["QueryRetrieveLevel=STUDY", "PatientID=*"],
    ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={THORAX}"],
    ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={THORAX}", "SeriesInstanceUID=*"],
    ["QueryRetrieveLevel=SERIES", f"SeriesInstanceUID={SLICES}"],
    ["QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={THORAX}", "SOPInstanceUID=1.2.3"],
    ["QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={THORAX}", f"SeriesInstanceUID={SLICES}", "SOPInstanceUID"],
    ["QueryRetrieveLevel=PATIENT", "PatientID=*"],
    ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}", f"SeriesInstanceUID={SLICES}"],
    ["StudyInstanceUID=*"],
]


@pytest.mark.parametrize("keys", NAMES_NOTHING)
def test_an_identifier_that_names_nothing_never_sends_the_archive(tmp_path: Path, keys: list[str]) -> None:
    """PS3.4 C.4.2.1.5, C.4.3.1.4"""
    inbox = Inbox()
    with storage_scp(EVERYTHING, inbox) as port, node_with(tmp_path, holdings(), port) as node:
        for model in ("-S", "-P"):
            ran = dcmtk.movescu(node.port, keys, destination="DESTINATION", model=model)
            assert ran.statuses in ([0xA900], [0xC000])
            ran = dcmtk.getscu(node.port, keys, into=tmp_path / "got", model=model)
            assert ran.statuses in ([0xA900], [0xC000])
    assert inbox.received == []


def test_a_patient_id_of_patient_root_must_not_be_a_wild_card(tmp_path: Path) -> None:
    with node_with(tmp_path, holdings()) as node:
        for patient_id in ("*", "JP-000?", "", "JP-0007\\100042"):
            keys = ["QueryRetrieveLevel=PATIENT", f"PatientID={patient_id}"]
            assert dcmtk.movescu(node.port, keys, destination="DEAD", model="-P").statuses in ([0xA900], [0xC000])


def test_keys_above_the_level_may_be_left_out_once_relational_retrieval_is_negotiated(tmp_path: Path) -> None:
    """PS3.4 C.4.2.2.2.1, C.5.2.1"""
    inbox = Inbox()
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.SeriesInstanceUID = "SERIES", SLICES
    with (
        storage_scp(EVERYTHING, inbox) as port,
        node_with(tmp_path, holdings(), port) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)], extended={MOVE: b"\1"}) as assoc,
    ):
        answers = list(assoc.send_c_move(identifier, "DESTINATION", MOVE))
    assert numbers(answers[-1][0]) == (3, 0, 0)


@pytest.mark.parametrize("keys", [["STUDY", THORAX], ["STUDY", f"{THORAX}\\{KNEE}"], ["STUDY", "1.2.3"]])
def test_getscu_gets_what_is_stored(tmp_path: Path, keys: list[str]) -> None:
    """PS3.4 C.4.3"""
    held = holdings()
    expected = {ds.SOPInstanceUID: dataset_bytes(ds) for ds in held if ds.StudyInstanceUID in keys[1].split("\\")}
    with node_with(tmp_path, held) as node:
        ran = dcmtk.getscu(
            node.port, [f"QueryRetrieveLevel={keys[0]}", f"StudyInstanceUID={keys[1]}"], into=tmp_path / "got"
        )
    assert ran.code == 0
    assert ran.statuses[-1] == 0
    got = list((tmp_path / "got").iterdir())
    assert {dcmread(path).SOPInstanceUID for path in got} == set(expected)
    assert all(path.read_bytes().endswith(expected[dcmread(path).SOPInstanceUID]) for path in got)


def test_what_the_peer_does_not_take_as_stored_is_decoded_for_it(tmp_path: Path) -> None:
    """PS3.5 10.1; getscu offers only uncompressed Transfer Syntaxes (client lesson 8)."""
    compressed = a_multiframe(frames=2, transfer_syntax=RLELossless, StudyInstanceUID=KNEE, **SURYA)
    native = a_multiframe(frames=2)
    with node_with(tmp_path, [compressed]) as node:
        ran = dcmtk.getscu(node.port, ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={KNEE}"], into=tmp_path / "got")
    assert counters(ran)[-1] == (1, 0, 0)
    [path] = (tmp_path / "got").iterdir()
    got = dcmread(path)
    assert got.file_meta.TransferSyntaxUID in UNCOMPRESSED
    assert got.PixelData == native.PixelData
    assert got.PatientName == "SURYA"


def test_a_move_decodes_too_where_the_destination_wants_it(tmp_path: Path) -> None:
    compressed = a_multiframe(frames=2, transfer_syntax=RLELossless, StudyInstanceUID=KNEE)
    inbox = Inbox()
    with (
        storage_scp([(US, UNCOMPRESSED[1:])], inbox) as port,
        node_with(tmp_path, [compressed], port) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc,
    ):
        answers = list(assoc.send_c_move(an_identifier("STUDY", KNEE), "DESTINATION", MOVE))
    assert numbers(answers[-1][0]) == (1, 0, 0)
    assert inbox.received[0].transfer_syntax_uid == UNCOMPRESSED[1]


def test_an_instance_for_which_nothing_was_accepted_fails_and_the_others_go(tmp_path: Path) -> None:
    """PS3.4 C.4.3.3.1: roles and contexts decide"""
    held = holdings()
    received, answers = get(
        tmp_path, held, an_identifier("STUDY", THORAX), [(CT, UNCOMPRESSED), (SR, UNCOMPRESSED)], [CT]
    )
    status, failed = answers[-1]
    assert status.Status == 0xB000
    assert numbers(status) == (3, 1, 0)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == held[3].SOPInstanceUID
    assert len(received) == 3


def test_a_get_without_a_role_sends_nothing_and_says_so(tmp_path: Path) -> None:
    """PS3.7 D.3.3.4"""
    received, answers = get(tmp_path, holdings(), an_identifier("STUDY", THORAX), [(CT, UNCOMPRESSED)], [])
    assert answers[-1][0].Status == 0xA702
    assert numbers(answers[-1][0]) == (0, 4, 0)
    assert received == []


def test_a_get_is_answered_after_each_sub_operation(tmp_path: Path) -> None:
    """PS3.4 C.4.3.3.1"""
    held = holdings()
    received, answers = get(tmp_path, held, an_identifier("STUDY", THORAX), EVERYTHING, [CT, SR])
    assert [status.Status for status, _ in answers] == [0xFF00] * 3 + [0]
    assert [numbers(status) for status, _ in answers] == [(1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)]
    assert [status.get("NumberOfRemainingSuboperations") for status, _ in answers] == [3, 2, 1, None]
    assert sorted(one.dataset for one in received) == sorted(
        dataset_bytes(ds) for ds in held if ds.StudyInstanceUID == THORAX
    )


def test_a_cancelled_get_ends_with_fe00(tmp_path: Path) -> None:
    """PS3.4 C.4.3.3.1"""
    with node_with(tmp_path, a_series(30, StudyInstanceUID=KNEE)) as node:
        inbox = Inbox(lambda received: time.sleep(0.05) or 0)  # type: ignore[func-returns-value]
        handlers = [(evt.EVT_C_STORE, inbox.take)]
        with scu(node.port, [(GET, UNCOMPRESSED), (CT, UNCOMPRESSED)], as_scp=[CT], handlers=handlers) as assoc:
            answers = []
            for status, _ in assoc.send_c_get(an_identifier("STUDY", KNEE), GET, msg_id=5):
                answers.append(status)
                if len(answers) == 3:
                    assoc.send_c_cancel(5, 1)
    assert answers[-1].Status == 0xFE00
    assert numbers(answers[-1]) == (len(inbox.received), 0, 0)
    assert answers[-1].NumberOfRemainingSuboperations == 30 - len(inbox.received)


def test_a_peer_that_breaks_off_its_get_leaves_the_node_well(tmp_path: Path) -> None:
    contexts = [(GET, UNCOMPRESSED), (CT, UNCOMPRESSED)]
    inbox = Inbox(cut_after=3)
    handlers = [(evt.EVT_C_STORE, inbox.take)]
    with node_with(tmp_path, a_series(30, StudyInstanceUID=KNEE)) as node:
        with scu(node.port, contexts, as_scp=[CT], handlers=handlers, timeout_s=1) as assoc:
            list(assoc.send_c_get(an_identifier("STUDY", KNEE), GET))
        assert dcmtk.echoscu(node.port).code == 0
    assert len(inbox.received) == 3


def test_mallory_gets_and_moves_nothing(tmp_path: Path) -> None:
    """What Mallory may not see is not there for Mallory; what Mallory may not do is refused (PS3.7 C.5.10)."""
    inbox = Inbox()
    with (
        storage_scp(EVERYTHING, inbox) as port,
        node_with(tmp_path, holdings(), port, policy=Policy(Mode.ENFORCED)) as node,
    ):
        keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}"]
        mallory = ("-aet", MALLORY.upper())
        moved = dcmtk.movescu(node.port, keys, *mallory, destination="DESTINATION")
        assert moved.statuses == [0x0124]
        got = dcmtk.getscu(node.port, keys, *mallory, into=tmp_path / "got")
        assert got.statuses == [0]
        assert counters(got)[-1] == (0, 0, 0)
    assert inbox.received == []


def get(
    folder: Path, held: list[FileDataset], identifier: Dataset, proposals: Sequence[Proposal], as_scp: Sequence[str]
) -> tuple[list[Received], list[tuple[Dataset, Dataset | None]]]:
    """C-GET by pynetdicom from a node that holds *held*: what it got, and every response."""
    inbox = Inbox()
    handlers = [(evt.EVT_C_STORE, inbox.take)]
    with (
        node_with(folder, held) as node,
        scu(node.port, [(GET, UNCOMPRESSED), *proposals], as_scp=as_scp, handlers=handlers) as assoc,
    ):
        return inbox.received, list(assoc.send_c_get(identifier, GET))


def an_identifier(level: str, of: Dataset | str) -> Dataset:
    """The unique keys that name *of*, a study UID or a Data Set, at *level*."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    identifier.StudyInstanceUID = of if isinstance(of, str) else of.StudyInstanceUID
    if isinstance(of, Dataset) and level in {"SERIES", "IMAGE"}:
        identifier.SeriesInstanceUID = of.SeriesInstanceUID
    if isinstance(of, Dataset) and level == "IMAGE":
        identifier.SOPInstanceUID = of.SOPInstanceUID
    return identifier


def numbers(status: Dataset) -> tuple[int, ...]:
    """Completed, failed, warning."""
    return (
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
    )
