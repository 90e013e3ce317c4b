"""Retrieve by C-GET (PS3.4 C.4.3) over real sockets, as DCMTK and pynetdicom see it."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless
from pynetdicom import evt

from fixtures import dcmtk
from fixtures.builders import a_multiframe, a_series, dataset_bytes
from fixtures.cast import SURYA
from fixtures.dimse_node import DimseNode
from fixtures.pynetdicom_scu import UNCOMPRESSED, Inbox, Proposal, Received, scu
from fixtures.retrieving import (
    CT,
    EVERYTHING,
    GET,
    KNEE,
    SR,
    THORAX,
    Shared,
    an_identifier,
    counters,
    node_with,
    numbers,
)


@pytest.mark.parametrize("keys", [["STUDY", THORAX], ["STUDY", f"{THORAX}\\{KNEE}"], ["STUDY", "1.2.3"]])
def test_getscu_gets_what_is_stored(shared: Shared, tmp_path: Path, keys: list[str]) -> None:
    """PS3.4 C.4.3"""
    expected = {
        ds.SOPInstanceUID: dataset_bytes(ds) for ds in shared.held if ds.StudyInstanceUID in keys[1].split("\\")
    }
    identifier = [f"QueryRetrieveLevel={keys[0]}", f"StudyInstanceUID={keys[1]}"]
    ran = dcmtk.getscu(shared.node.port, identifier, into=tmp_path / "got")
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


def test_an_instance_for_which_nothing_was_accepted_fails_and_the_others_go(shared: Shared) -> None:
    """PS3.4 C.4.3.3.1: roles and contexts decide"""
    proposals = [(CT, UNCOMPRESSED), (SR, UNCOMPRESSED)]
    received, answers = get(shared.node, an_identifier("STUDY", THORAX), proposals, [CT])
    status, failed = answers[-1]
    assert status.Status == 0xB000
    assert numbers(status) == (3, 1, 0)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == shared.held[3].SOPInstanceUID
    assert len(received) == 3


def test_a_get_without_a_role_sends_nothing_and_says_so(shared: Shared) -> None:
    """PS3.7 D.3.3.4"""
    received, answers = get(shared.node, an_identifier("STUDY", THORAX), [(CT, UNCOMPRESSED)], [])
    assert answers[-1][0].Status == 0xA702
    assert numbers(answers[-1][0]) == (0, 4, 0)
    assert received == []


def test_a_get_is_answered_after_the_first_sub_operation_and_at_the_end(shared: Shared) -> None:
    """PS3.4 C.4.3.3.1: further pending responses are optional, and come where it takes long"""
    received, answers = get(shared.node, an_identifier("STUDY", THORAX), EVERYTHING, [CT, SR])
    *pending, final = [status for status, _ in answers]
    assert [status.Status for status in pending] == [0xFF00] * len(pending)
    assert pending
    for status in pending:
        assert sum(numbers(status)) + status.NumberOfRemainingSuboperations == 4
    assert (final.Status, numbers(final), "NumberOfRemainingSuboperations" in final) == (0, (4, 0, 0), False)
    assert sorted(one.dataset for one in received) == sorted(
        dataset_bytes(ds) for ds in shared.held if ds.StudyInstanceUID == THORAX
    )


def test_a_get_that_takes_long_is_answered_all_the_time(tmp_path: Path) -> None:
    """PS3.4 C.4.3.3.1"""
    inbox = Inbox(lambda received: time.sleep(0.15) or 0)  # type: ignore[func-returns-value]
    handlers = [(evt.EVT_C_STORE, inbox.take)]
    contexts = [(GET, UNCOMPRESSED), (CT, UNCOMPRESSED)]
    with (
        node_with(tmp_path, a_series(4, StudyInstanceUID=KNEE)) as node,
        scu(node.port, contexts, as_scp=[CT], handlers=handlers) as assoc,
    ):
        answers = [status for status, _ in assoc.send_c_get(an_identifier("STUDY", KNEE), GET)]
    assert [numbers(status) for status in answers] == [(1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)]
    assert [status.get("NumberOfRemainingSuboperations") for status in answers] == [3, 2, 1, None]


def test_a_cancelled_get_ends_with_fe00(tmp_path: Path) -> None:
    """PS3.4 C.4.3.3.1"""
    with node_with(tmp_path, a_series(12, StudyInstanceUID=KNEE)) as node:
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
    assert answers[-1].NumberOfRemainingSuboperations == 12 - len(inbox.received)


def test_a_peer_that_breaks_off_its_get_leaves_the_node_well(tmp_path: Path) -> None:
    contexts = [(GET, UNCOMPRESSED), (CT, UNCOMPRESSED)]
    inbox = Inbox(cut_after=3)
    handlers = [(evt.EVT_C_STORE, inbox.take)]
    with node_with(tmp_path, a_series(12, StudyInstanceUID=KNEE)) as node:
        with scu(node.port, contexts, as_scp=[CT], handlers=handlers, timeout_s=10) as assoc:
            list(assoc.send_c_get(an_identifier("STUDY", KNEE), GET))
        assert dcmtk.echoscu(node.port).code == 0
    assert len(inbox.received) == 3


def get(
    node: DimseNode, identifier: Dataset, proposals: Sequence[Proposal], as_scp: Sequence[str]
) -> tuple[list[Received], list[tuple[Dataset, Dataset | None]]]:
    """C-GET by pynetdicom: what it got, and every response."""
    inbox = Inbox()
    handlers = [(evt.EVT_C_STORE, inbox.take)]
    with scu(node.port, [(GET, UNCOMPRESSED), *proposals], as_scp=as_scp, handlers=handlers) as assoc:
        return inbox.received, list(assoc.send_c_get(identifier, GET))
