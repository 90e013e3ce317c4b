from hypothesis import given
from hypothesis import strategies as st

from relais.dimse.suboperations import MAX_FAILED_LISTED, Progress
from relais.peers.base import Sent
from relais.peers.identifier import encode

STATUSES = st.sampled_from([0x0000, 0xB000, 0xB007, 0xA700, 0xC000, None])


@given(st.lists(STATUSES, max_size=30))
def test_counters_always_add_up(statuses: list[int | None]) -> None:
    """PS3.7 9.1.4.1"""
    progress = Progress(len(statuses))
    for number, status in enumerate(statuses, start=1):
        progress.record(Sent(f"1.2.{number}", status))
        counters = progress.counters
        assert counters.completed + counters.failed + counters.warning == number
        assert progress.remaining == len(statuses) - number
        assert counters.remaining is None
    assert len(progress.failed_uids) == progress.counters.failed


def test_the_final_status_tells_all_some_and_none_apart() -> None:
    """PS3.4 C.4.2.3.1"""
    for statuses, code in (
        ([], 0x0000),
        ([0, 0], 0x0000),
        ([0, 0xB000], 0xB000),
        ([0xB000], 0xB000),
        ([0, 0xA700], 0xB000),
        ([0xB000, 0xA700], 0xB000),
        ([0xA700, None], 0xA702),
    ):
        progress = Progress(len(statuses))
        for status in statuses:
            progress.record(Sent("1.2.3", status))
        assert progress.outcome.code == code


def test_the_list_of_what_failed_fits_its_element_however_much_failed() -> None:
    """PS3.5 7.1.2: a UI has a length of 16 bits"""
    progress = Progress(5000)
    for number in range(5000):
        progress.record(Sent(f"2.25.{'9' * 54}{number:05d}", 0xA700))
    assert progress.counters.failed == 5000
    listed = progress.failed_list
    assert listed is not None
    assert len(listed["00080058"]["Value"]) == MAX_FAILED_LISTED
    assert b"UI" in encode(listed, "1.2.840.10008.1.2.1")[:8]


def test_nothing_failed_needs_no_list() -> None:
    assert Progress(0).failed_list is None
