"""Storage Commitment (PS3.4 J) as SCP over real sockets: pynetdicom asks, and is told on the same association."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from fixtures.builders import a_ct, a_series, a_sr
from fixtures.commitment import INSTANCE, PROPOSAL, PUSH_MODEL, ask, asking, ear, provider, reference, references
from fixtures.committed import CALLER, ask_and_leave, audited, due, keep, peer_at, teller, waiting
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.node import lose, overwrite, spoil
from fixtures.pynetdicom_scu import UNCOMPRESSED, scu
from fixtures.upper_layer import fresh_uid
from fixtures.waiting import eventually
from relais.access.policy import Action, Mode, Policy, Rule
from relais.archive import commitment, commitment_asked
from relais.dicom.commitment import Reference, Request
from relais.errors import Unavailable
from relais.peers.dimse import DimsePeer

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node") as node:
        yield node


def key_of(node: DimseNode, ds: Dataset) -> str:
    [key] = [key for key in node.kept if ds.SOPInstanceUID in key]
    return key


@contextmanager
def asked(node: DimseNode, information: Dataset) -> Iterator[tuple[int, Dataset]]:
    """What is told on the association on which *information* was asked, which stays open meanwhile."""
    with asking(node.port, CALLER) as (assoc, taken):
        assert ask(assoc, information).Status == 0
        told = taken.heard()
        assert told is not None
        yield told


def test_what_is_kept_is_committed_to_where_it_was_asked(node: DimseNode) -> None:
    """PS3.4 J.3.3"""
    information = references(*keep(node, *a_series(3), a_sr()))
    with asked(node, information) as (event_type, told):
        assert event_type == 1
        assert told.TransactionUID == information.TransactionUID
        assert told.ReferencedSOPSequence == information.ReferencedSOPSequence
        assert "FailedSOPSequence" not in told
    assert eventually(lambda: waiting(node) == [])


def test_what_is_not_kept_is_told_with_its_reason(node: DimseNode) -> None:
    """PS3.3 C.14.1.1"""
    [kept, gone, cut] = keep(node, *a_series(3))
    lose(node.archive, key_of(node, gone))
    overwrite(node.archive, key_of(node, cut), b"short")
    never = a_ct()
    information = references(kept, never, gone, cut)
    information.ReferencedSOPSequence.append(reference(MR, fresh_uid()))
    other_class = a_ct()
    keep(node, other_class)
    information.ReferencedSOPSequence.append(reference(MR, other_class.SOPInstanceUID))
    with asked(node, information) as (event_type, told):
        assert event_type == 2
        assert [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence] == [kept.SOPInstanceUID]
        assert [item.FailureReason for item in told.FailedSOPSequence] == [0x0112, 0x0112, 0x0110, 0x0112, 0x0119]
        assert [item.ReferencedSOPInstanceUID for item in told.FailedSOPSequence] == [
            item.ReferencedSOPInstanceUID for item in information.ReferencedSOPSequence[1:]
        ]


def test_storage_that_cannot_be_read_is_a_resource_limitation(node: DimseNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(key: str) -> int:
        raise Unavailable

    monkeypatch.setattr(node.archive.store, "size_bytes", fails)
    monkeypatch.setattr(commitment, "PATIENCE_S", 0.0)  # with an object store it would be looked for again first
    with asked(node, references(*keep(node, a_ct()))) as (_, told):
        assert [item.FailureReason for item in told.FailedSOPSequence] == [0x0213]


def test_every_byte_is_read_where_that_is_configured(tmp_path: Path) -> None:
    for number, verify, failures in ((1, False, 0), (2, True, 1)):
        settings = {"verify_on_commit": verify}
        with dimse_node(tmp_path / str(number), archive_settings=settings) as node:
            [ds] = keep(node, a_ct())
            spoil(node.archive, key_of(node, ds))
            with asked(node, references(ds)) as (_, told):
                assert len(told.get("FailedSOPSequence", [])) == failures


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, UNCOMPRESSED[1]])
def test_it_is_asked_in_other_transfer_syntaxes(node: DimseNode, syntax: str) -> None:
    information = references(*keep(node, a_ct()))
    with scu(node.port, [(PUSH_MODEL, [syntax])], calling=CALLER) as assoc:
        assert ask(assoc, information).Status == 0


def test_two_thousand_references_are_one_request(node: DimseNode) -> None:
    information = references(*keep(node, *a_series(2)))
    missing = [reference(CT, fresh_uid()) for _ in range(2000)]
    information.ReferencedSOPSequence.extend(missing)
    with asked(node, information) as (event_type, told):
        assert event_type == 2
        assert len(told.FailedSOPSequence) == 2000
        assert len(told.ReferencedSOPSequence) == 2


def test_the_same_request_made_again_is_answered_once(node: DimseNode) -> None:
    [first, second] = keep(node, *a_series(2))
    for _ in range(2):
        ask_and_leave(node, references(first, second, transaction_uid="2.25.1"))
    assert eventually(lambda: due(node) == 1)
    with ear(CALLER) as (taken, port):
        assert teller(node, peer_at(port)).step()
        assert len(taken.told.get(timeout=120)[1].ReferencedSOPSequence) == 2
        assert taken.heard(0.5) is None


def test_another_request_under_a_transaction_uid_in_use_is_told_so_and_leaves_the_first_alone(node: DimseNode) -> None:
    """PS3.3 C.14.1.1: Failure Reason 0131, over the association that it came on as well as over a new one."""
    [first, second, third] = keep(node, *a_series(3))
    ask_and_leave(node, references(first, transaction_uid="2.25.1"))
    assert eventually(lambda: due(node) == 1)
    with asked(node, references(second, transaction_uid="2.25.1")) as (event_type, told):
        assert event_type == 2
        assert "ReferencedSOPSequence" not in told
        assert [item.FailureReason for item in told.FailedSOPSequence] == [0x0131]
    for _ in range(2):
        ask_and_leave(node, references(third, transaction_uid="2.25.1"))
    assert eventually(lambda: due(node) == 2)
    with ear(CALLER) as (taken, port):
        assert teller(node, peer_at(port)).step()
        answers = [taken.told.get(timeout=120) for _ in range(2)]
    assert [event_type for event_type, _ in answers] == [1, 2]
    assert answers[0][1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert answers[1][1].FailedSOPSequence[0].ReferencedSOPInstanceUID == third.SOPInstanceUID


def test_a_transaction_uid_is_free_again_when_its_result_was_told(node: DimseNode) -> None:
    for ds in keep(node, *a_series(2)):
        with asked(node, references(ds, transaction_uid="2.25.1")) as (event_type, _):
            assert event_type == 1
        assert eventually(lambda: waiting(node) == [])


def test_two_requesters_may_use_the_same_transaction_uid(node: DimseNode) -> None:
    [ds] = keep(node, a_ct())
    ask_and_leave(node, references(ds, transaction_uid="2.25.1"))
    with asking(node.port, "MODALITY2") as (assoc, taken):
        assert ask(assoc, references(a_ct(), ds, transaction_uid="2.25.1")).Status == 0
        told = taken.heard()
    assert told is not None
    assert [item.FailureReason for item in told[1].FailedSOPSequence] == [0x0112]


def _without(keyword: str) -> Dataset:
    information = references(a_ct())
    delattr(information, keyword)
    return information


def _with_a_bad_uid() -> Dataset:
    information = references(a_ct())
    del information.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    return information


@pytest.mark.parametrize(
    ("information", "action_type", "instance", "status"),
    [
        (references(a_ct()), 2, INSTANCE, 0x0123),
        (references(a_ct()), 1, "1.2.3", 0x0112),
        (_without("TransactionUID"), 1, INSTANCE, 0x0115),
        (_without("ReferencedSOPSequence"), 1, INSTANCE, 0x0115),
        (_with_a_bad_uid(), 1, INSTANCE, 0x0115),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    node: DimseNode, information: Dataset, action_type: int, instance: str, status: int
) -> None:
    with asking(node.port, CALLER) as (assoc, taken):
        assert ask(assoc, information, action_type, instance).Status == status
        assert taken.heard(1.2) is None
    assert waiting(node) == []


def test_mallory_may_not_ask(tmp_path: Path) -> None:
    rules = {"MALLORY": Rule(frozenset({Action.SEARCH})), CALLER: Rule(frozenset({Action.STORE}))}
    policy = Policy(Mode.ENFORCED, rules)
    with dimse_node(tmp_path / "node", policy=policy) as node:
        [ds] = keep(node, a_ct())
        with scu(node.port, [PROPOSAL], calling="MALLORY") as assoc:
            assert ask(assoc, references(ds)).Status == 0x0124
        with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
            assert ask(assoc, references(ds)).Status == 0
        assert [name for name, _, _ in audited(node)] == [CALLER]


def test_who_asked_and_what_was_told_is_in_the_audit(node: DimseNode) -> None:
    with asked(node, references(*keep(node, a_ct()), a_ct(), transaction_uid="2.25.7")):
        pass
    assert eventually(lambda: len(audited(node)) == 2)
    assert audited(node) == [
        (CALLER, "commit", '{"asked":2,"transaction_uid":"2.25.7"}'),
        (CALLER, "commit", '{"committed":1,"failed":1,"transaction_uid":"2.25.7"}'),
    ]


def test_we_ask_and_are_answered_on_the_same_association(node: DimseNode) -> None:
    def all_of_them(information: Dataset) -> tuple[Sequence[Dataset], Sequence[Dataset]]:
        return information.ReferencedSOPSequence, []

    wanted = [Reference(CT, fresh_uid()) for _ in range(3)]
    with provider("ARCHIVE", all_of_them) as port:
        report = commitment_asked.commit(node.archive, DimsePeer(peer_at(port, "ARCHIVE")), wanted, 120)
    assert report is not None
    assert list(report.committed) == wanted
    assert report.failed == ()
    assert commitment_asked.answer_to(node.archive, report.transaction_uid) == report


def test_we_ask_and_are_answered_over_a_new_association(node: DimseNode) -> None:
    def all_but_one(information: Dataset) -> tuple[Sequence[Dataset], Sequence[Dataset]]:
        *most, last = information.ReferencedSOPSequence
        last.FailureReason = 0x0119
        return most, [last]

    wanted = [Reference(CT, fresh_uid()) for _ in range(3)]
    with provider("ARCHIVE", all_but_one, lambda: node.port) as port:
        report = commitment_asked.commit(node.archive, DimsePeer(peer_at(port, "ARCHIVE")), wanted, 120)
    assert report is not None
    assert list(report.committed) == wanted[:2]
    assert [(one.reference, one.reason) for one in report.failed] == [(wanted[2], 0x0119)]


def test_an_answer_that_does_not_come_is_none(node: DimseNode) -> None:
    with provider("ARCHIVE", lambda information: ([], [])) as port:
        peer = DimsePeer(peer_at(port, "ARCHIVE"))
        assert commitment_asked.commit(node.archive, peer, [Reference(CT, fresh_uid())], 1) is None


def test_an_answer_to_nothing_is_refused(node: DimseNode) -> None:
    report = Dataset()
    report.TransactionUID = fresh_uid()
    report.ReferencedSOPSequence = [reference(CT, fresh_uid())]
    with scu(node.port, [PROPOSAL], as_scp=[PUSH_MODEL]) as assoc:
        status, _ = assoc.send_n_event_report(report, 1, PUSH_MODEL, INSTANCE)
        assert status.Status == 0x0115
        status, _ = assoc.send_n_event_report(report, 3, PUSH_MODEL, INSTANCE)
        assert status.Status == 0x0113


def told(node: DimseNode, calling: str, report: Dataset, event_type: int = 1) -> int:
    """The status with which the node takes *report* from the AE title *calling*."""
    with scu(node.port, [PROPOSAL], calling=calling, as_scp=[PUSH_MODEL]) as assoc:
        status, _ = assoc.send_n_event_report(report, event_type, PUSH_MODEL, INSTANCE)
        return int(status.Status)


def an_answer(transaction_uid: str, *committed: Reference) -> Dataset:
    report = Dataset()
    report.TransactionUID = transaction_uid
    report.ReferencedSOPSequence = [reference(one.sop_class_uid, one.sop_instance_uid) for one in committed]
    return report


@pytest.mark.parametrize("is_enforced", [False, True])
def test_only_who_was_asked_may_answer(tmp_path: Path, is_enforced: bool) -> None:
    """Originals are deleted on the strength of it."""
    rules = {"ARCHIVE": Rule(frozenset({Action.STORE})), "WARD": Rule(frozenset({Action.SEARCH}))}
    policy = Policy(Mode.ENFORCED, rules) if is_enforced else Policy()
    wanted, other = Reference(CT, fresh_uid()), Reference(CT, fresh_uid())
    with dimse_node(tmp_path / "node", policy=policy) as node:
        for transaction_uid, ae_title in (("2.25.7", "ARCHIVE"), ("2.25.8", "WARD")):
            commitment_asked.ask(node.archive, ae_title, Request(transaction_uid, (wanted,)))
        assert told(node, "WARD", an_answer("2.25.7", wanted)) == 0x0115
        assert commitment_asked.answer_to(node.archive, "2.25.7") is None
        assert "WARD" not in [name for name, _, _ in audited(node)]
        assert told(node, "ARCHIVE", an_answer("2.25.7", other)) == 0
        answer = commitment_asked.answer_to(node.archive, "2.25.7")
        assert answer is not None
        assert answer.committed == (other,)


def test_only_the_first_answer_counts(node: DimseNode) -> None:
    wanted, other = Reference(CT, fresh_uid()), Reference(CT, fresh_uid())
    commitment_asked.ask(node.archive, "ARCHIVE", Request("2.25.7", (wanted, other)))
    assert told(node, "ARCHIVE", an_answer("2.25.7", wanted)) == 0
    assert told(node, "ARCHIVE", an_answer("2.25.7", wanted)) == 0  # once more, as its sender may not have heard
    assert told(node, "ARCHIVE", an_answer("2.25.7", wanted, other)) == 0x0115
    answer = commitment_asked.answer_to(node.archive, "2.25.7")
    assert answer is not None
    assert answer.committed == (wanted,)
    assert [name for name, _, _ in audited(node)].count("ARCHIVE") == 1
