from collections.abc import Iterator

import pytest

from relais.dicom.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from relais.peers.base import Outgoing, Sent, Verdict
from relais.peers.contexts import COMMON_SOP_CLASSES, OFTEN, UNCOMPRESSED, Accepted, Selection, batches, to_receive

EXPLICIT, IMPLICIT, JPEG, RLE = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.5",
)
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def outgoing(sop_class_uid: str, syntax: str, sop_instance_uid: str = "1.2.3") -> Outgoing:
    def read(syntax: str) -> Iterator[bytes]:
        return iter(())

    return Outgoing(sop_class_uid, sop_instance_uid, syntax, read)


def test_each_stored_syntax_gets_a_context_and_each_class_one_for_what_is_uncompressed() -> None:
    """PS3.5 10.1"""
    [batch] = batches([outgoing(CT, JPEG), outgoing(CT, RLE), outgoing(MR, EXPLICIT), outgoing(CT, JPEG)], 128)
    assert batch.proposals == (
        (CT, (JPEG,)),
        (CT, (RLE,)),
        (CT, (EXPLICIT, IMPLICIT)),
        (MR, (EXPLICIT,)),
        (MR, (IMPLICIT,)),
    )
    assert len(batch.instances) == 4


def test_more_contexts_than_fit_make_several_batches() -> None:
    """PS3.8 9.3.2.2: 128 odd numbers"""
    instances = [outgoing(f"1.2.{number}", JPEG, f"1.3.{number}") for number in range(200)]
    made = batches(instances, 128)
    assert [len(batch.proposals) for batch in made] == [128, 128, 128, 16]
    assert [instance for batch in made for instance in batch.instances] == instances


def test_nothing_to_send_needs_no_batch() -> None:
    assert batches([], 128) == []


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ([(1, CT, JPEG), (3, CT, EXPLICIT)], 1),
        ([(1, CT, RLE), (3, CT, IMPLICIT), (5, CT, EXPLICIT)], 5),
        ([(3, CT, IMPLICIT)], 3),
        ([(1, CT, RLE), (3, MR, JPEG)], None),
        ([], None),
    ],
)
def test_the_stored_syntax_is_preferred_and_then_explicit(
    accepted: list[tuple[int, str, str]], expected: int | None
) -> None:
    chosen = Selection(Accepted(*context) for context in accepted).select(outgoing(CT, JPEG))
    assert (chosen and chosen.context_id) == expected


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.COMPLETED),
        (0xB000, Verdict.WARNING),
        (0xB006, Verdict.WARNING),
        (0x0107, Verdict.WARNING),
        (0xA700, Verdict.FAILED),
        (0xC000, Verdict.FAILED),
        (0x0122, Verdict.FAILED),
        (0xFE00, Verdict.FAILED),
        (None, Verdict.FAILED),
    ],
)
def test_a_status_is_completed_or_a_warning_or_failed(status: int | None, verdict: Verdict) -> None:
    """PS3.7 C"""
    assert Sent("1.2.3", status).verdict is verdict


def test_to_receive_one_kind_each_compressed_syntax_has_a_context() -> None:
    proposals = to_receive([CT], 127)
    assert proposals[0] == (CT, UNCOMPRESSED)
    assert proposals[1:4] == [(CT, (uid,)) for uid in OFTEN[:3]]
    assert {uid for _, syntaxes in proposals for uid in syntaxes} == set(TRANSFER_SYNTAXES)
    assert len(proposals) <= 127


@pytest.mark.parametrize("count", [1, 2, 5, 40, 127, 200])
def test_to_receive_many_kinds_none_is_left_out_as_far_as_contexts_go(count: int) -> None:
    """PS3.8 9.3.2.2"""
    proposals = to_receive([f"1.2.{number}" for number in range(count)], 127)
    assert len(proposals) <= 127
    for number in range(min(count, 127)):
        syntaxes = [uid for sop_class, group in proposals for uid in group if sop_class == f"1.2.{number}"]
        assert sorted(syntaxes) == sorted(TRANSFER_SYNTAXES)


def test_what_a_study_may_hold_are_storage_sop_classes() -> None:
    assert set(COMMON_SOP_CLASSES) <= STORAGE_SOP_CLASSES
    assert len(to_receive(COMMON_SOP_CLASSES, 127)) <= 127
