"""Retrieve by C-MOVE (PS3.4 C.4.2) over real sockets, as DCMTK and pynetdicom see it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import RLELossless
from pynetdicom import evt

from fixtures import dcmtk
from fixtures.builders import a_multiframe, a_series, dataset_bytes
from fixtures.cast import MALLORY
from fixtures.dimse_node import DimseNode
from fixtures.pynetdicom_scu import PATIENT_ROOT, STUDY_ROOT, UNCOMPRESSED, Inbox, Received, scu, storage_scp
from fixtures.retrieving import (
    EVERYTHING,
    KNEE,
    MOVE,
    SLICES,
    THORAX,
    US,
    Shared,
    an_identifier,
    counters,
    holdings,
    node_with,
    numbers,
)
from fixtures.waiting import eventually
from relais.access.policy import Action, Mode, Policy, Rule


@pytest.mark.parametrize(
    ("model", "keys", "count"),
    [
        ("-S", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}"], 4),
        ("-S", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}\\{KNEE}"], 5),
        ("-S", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}\\{THORAX}"], 4),
        ("-S", ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={THORAX}", f"SeriesInstanceUID={SLICES}"], 3),
        ("-P", ["QueryRetrieveLevel=PATIENT", "PatientID=JP-0007"], 1),
        ("-P", ["QueryRetrieveLevel=STUDY", "PatientID=JP-0007", f"StudyInstanceUID={KNEE}"], 1),
        ("-P", ["QueryRetrieveLevel=STUDY", "PatientID=somebody", f"StudyInstanceUID={KNEE}"], 0),
        ("-S", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3"], 0),
        ("-S", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={KNEE}", "AccessionNumber=other", "PatientName=x*"], 1),
    ],
)
def test_each_level_moves_its_instances_and_counts_them(
    shared: Shared, model: str, keys: list[str], count: int
) -> None:
    """PS3.4 C.4.2.2.1; non-unique keys are ignored (client lesson 7)."""
    ran = dcmtk.movescu(shared.node.port, keys, destination="DESTINATION", model=model)
    assert ran.code == 0
    *pending, final = ran.statuses
    assert final == 0
    assert pending == [0xFF00] * len(pending)
    assert bool(pending) is (count > 1)  # after the first; further ones where it takes long
    assert counters(ran)[-1] == (count, 0, 0)
    assert len(shared.inbox.received) == count


def test_movescu_moves_to_storescp(tmp_path: Path) -> None:
    with dcmtk.storescp(tmp_path / "out", ae_title="DESTINATION") as scp:
        held = holdings()
        with node_with(tmp_path, held, scp.port) as node:
            keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}"]
            assert dcmtk.movescu(node.port, keys, destination="DESTINATION").statuses[-1] == 0
        moved = [path.read_bytes() for path in scp.files]
    assert len(moved) == 4
    assert all(any(data.endswith(dataset_bytes(ds)) for data in moved) for ds in held[:4])


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


def test_an_unknown_destination_is_a801(shared: Shared) -> None:
    """PS3.4 C.4.2.1.5"""
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={KNEE}"]
    assert dcmtk.movescu(shared.node.port, keys, destination="NOBODY").statuses == [0xA801]


def test_a_destination_that_does_not_answer_fails_every_sub_operation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PS3.4 C.4.2.1.5: A702, and the list of what failed; the log says why"""
    with node_with(tmp_path, holdings()) as node, scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc:
        answers = list(assoc.send_c_move(an_identifier("STUDY", THORAX), "DEAD", MOVE))
    status, failed = answers[-1]
    assert status.Status == 0xA702
    assert (status.NumberOfCompletedSuboperations, status.NumberOfFailedSuboperations) == (0, 4)
    assert "NumberOfRemainingSuboperations" not in status
    assert failed is not None
    assert len(failed.FailedSOPInstanceUIDList) == 4
    assert 'service=C-MOVE failed=4 error="dead at 127.0.0.1:9 does not answer' in caplog.text


def test_partial_failure_is_b000_with_the_list_of_what_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
    assert 'failed=1 error="No presentation context was accepted for it."' in caplog.text


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
    assert [status.Status for status, _ in answers] == [0xFF00, final]
    assert [status.get("NumberOfRemainingSuboperations") for status, _ in answers] == [2, None]
    assert numbers(answers[-1][0]) == expected


def test_a_destination_that_breaks_off_at_some_instances_gets_the_others(tmp_path: Path) -> None:
    """PS3.4 C.4.2.3.1: three in a row cost an association each, and not what comes after them"""
    held = a_series(6, StudyInstanceUID=KNEE)
    inbox = Inbox(cut_at=frozenset(ds.SOPInstanceUID for ds in held[1:4]))
    with (
        storage_scp(EVERYTHING, inbox) as port,
        node_with(tmp_path, held, port) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc,
    ):
        answers = list(assoc.send_c_move(an_identifier("STUDY", KNEE), "DESTINATION", MOVE))
    assert answers[-1][0].Status == 0xB000
    assert numbers(answers[-1][0]) == (3, 3, 0)


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


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_cancelled_move_ends_with_fe00_and_what_remains(tmp_path: Path, parallel: int) -> None:
    """PS3.4 C.4.2.3.1"""
    slow, is_cancelled = Inbox(), threading.Event()

    def answer(received: Received) -> int:
        """Slowly, and half of them not before somebody has asked for the end."""
        is_half = len(slow.received) >= 15
        assert not is_half or is_cancelled.wait(120)
        time.sleep(1.0 if is_half else 0.1 * parallel)
        return 0

    slow.answer = answer
    with (
        storage_scp(EVERYTHING, slow) as port,
        node_with(tmp_path, a_series(30, StudyInstanceUID=KNEE), port, parallel=parallel) as node,
        scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc,
    ):
        answers = []
        for status, identifier in assoc.send_c_move(an_identifier("STUDY", KNEE), "DESTINATION", MOVE, msg_id=5):
            answers.append((status, identifier))
            if len(answers) == 3:
                assoc.send_c_cancel(5, 1)
                is_cancelled.set()
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
def test_an_identifier_that_names_nothing_never_sends_the_archive(
    shared: Shared, tmp_path: Path, keys: list[str]
) -> None:
    """PS3.4 C.4.2.1.5, C.4.3.1.4"""
    for model in ("-S", "-P"):
        ran = dcmtk.movescu(shared.node.port, keys, destination="DESTINATION", model=model)
        assert ran.statuses in ([0xA900], [0xC000])
        ran = dcmtk.getscu(shared.node.port, keys, into=tmp_path / "got", model=model)
        assert ran.statuses in ([0xA900], [0xC000])
    assert shared.inbox.received == []


@pytest.mark.parametrize("patient_id", ["*", "JP-000?", "", "JP-0007\\100042"])
def test_a_patient_id_of_patient_root_must_not_be_a_wild_card(shared: Shared, patient_id: str) -> None:
    keys = ["QueryRetrieveLevel=PATIENT", f"PatientID={patient_id}"]
    ran = dcmtk.movescu(shared.node.port, keys, destination="DESTINATION", model="-P")
    assert ran.statuses in ([0xA900], [0xC000])
    assert shared.inbox.received == []


def test_keys_above_the_level_may_be_left_out_once_relational_retrieval_is_negotiated(shared: Shared) -> None:
    """PS3.4 C.4.2.2.2.1, C.5.2.1"""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.SeriesInstanceUID = "SERIES", SLICES
    with scu(shared.node.port, [(MOVE, UNCOMPRESSED)], extended={MOVE: b"\1"}) as assoc:
        answers = list(assoc.send_c_move(identifier, "DESTINATION", MOVE))
    assert numbers(answers[-1][0]) == (3, 0, 0)


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


def test_mallory_gets_and_moves_nothing(tmp_path: Path) -> None:
    """What Mallory may not do is refused (PS3.7 C.5.10)."""
    inbox = Inbox()
    with (
        storage_scp(EVERYTHING, inbox) as port,
        node_with(tmp_path, holdings(), port, policy=Policy(Mode.ENFORCED, {MALLORY.upper(): Rule()})) as node,
    ):
        keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={THORAX}"]
        mallory = ("-aet", MALLORY.upper())
        moved = dcmtk.movescu(node.port, keys, *mallory, destination="DESTINATION")
        assert moved.statuses == [0x0124]
        got = dcmtk.getscu(node.port, keys, *mallory, into=tmp_path / "got")
        assert got.statuses == [0x0124]
    assert inbox.received == []


@pytest.mark.parametrize(("may", "others"), [(Action.MOVE, "C-GET"), (Action.RETRIEVE, "C-MOVE")])
def test_who_may_only_move_or_only_get_does_so_in_every_model_and_at_every_level(
    tmp_path: Path, may: Action, others: str
) -> None:
    """The right to search is another one; what is looked up for a retrieve is no search, nor recorded as one."""
    inbox = Inbox()
    policy = Policy(Mode.ENFORCED, {"WARD": Rule(frozenset({may}))})
    [patient_id] = {ds.PatientID for ds in holdings() if ds.StudyInstanceUID == THORAX}
    with storage_scp(EVERYTHING, inbox) as port, node_with(tmp_path, holdings(), port, policy=policy) as node:
        for root, identifier, relational, count in _named(patient_id):
            for service in ("C-MOVE", "C-GET"):
                status = _retrieved(node, inbox, f"{root}.{2 if service == 'C-MOVE' else 3}", identifier, relational)
                assert status.Status == (0x0124 if service == others else 0), identifier
                assert len(inbox.received) == (0 if service == others else count), identifier
                inbox.received.clear()
        assert eventually(lambda: may in _audited(node), 60)
        assert _audited(node) == {may}


def _audited(node: DimseNode) -> set[str]:
    """What WARD did, by the record."""
    with node.archive.db.read() as connection:
        return {row[0] for row in connection.execute("SELECT action FROM audit WHERE name = 'WARD'")}


def _named(patient_id: str) -> Iterator[tuple[str, Dataset, bool, int]]:
    """Model, Identifier, whether that is relational, and of how many instances."""
    of_patient = Dataset()
    of_patient.QueryRetrieveLevel, of_patient.PatientID = "PATIENT", patient_id
    yield PATIENT_ROOT, of_patient, False, 4
    study = an_identifier("STUDY", THORAX)
    yield STUDY_ROOT, study, False, 4
    study_of_patient = an_identifier("STUDY", THORAX)
    study_of_patient.PatientID = patient_id
    yield PATIENT_ROOT, study_of_patient, False, 4
    series = Dataset()
    series.QueryRetrieveLevel, series.SeriesInstanceUID = "SERIES", SLICES
    yield STUDY_ROOT, series, True, 3


def _retrieved(node: DimseNode, inbox: Inbox, sop_class: str, identifier: Dataset, relational: bool) -> Dataset:
    """The final response to a C-MOVE or C-GET of the peer WARD."""
    contexts = [(sop_class, UNCOMPRESSED), *EVERYTHING]
    extended = {sop_class: b"\1"} if relational else {}
    handlers = [(evt.EVT_C_STORE, inbox.take)]
    as_scp = [uid for uid, _ in EVERYTHING]
    with scu(node.port, contexts, calling="WARD", as_scp=as_scp, extended=extended, handlers=handlers) as assoc:
        if sop_class.endswith("2"):
            answers = list(assoc.send_c_move(identifier, "DESTINATION", sop_class))
        else:
            answers = list(assoc.send_c_get(identifier, sop_class))
    return answers[-1][0]
