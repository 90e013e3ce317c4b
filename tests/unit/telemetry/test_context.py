"""Ids of the work at hand."""

import random
from concurrent.futures import ThreadPoolExecutor

from relais.telemetry import context


def test_outside_any_work_there_are_no_ids() -> None:
    assert context.current() == {}


def test_inner_ids_add_to_outer_ones_and_go_with_their_work() -> None:
    with context.bound(assoc="a1"):
        with context.bound(request="r1"):
            assert context.current() == {"assoc": "a1", "request": "r1"}
        assert context.current() == {"assoc": "a1"}
    assert context.current() == {}


def test_a_new_thread_starts_without_ids() -> None:
    with context.bound(assoc="a1"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(context.current).result() == {}


def test_new_ids_differ() -> None:
    assert len({context.new_id() for _ in range(100)}) == 100


def test_new_ids_leave_the_random_numbers_of_others_alone() -> None:
    """Else a test that draws its examples from them meanwhile is told that it is not the same twice."""
    before = random.getstate()
    context.new_id()
    assert random.getstate() == before
