"""Errands: done once, by the helper or by whoever waits for them."""

import os
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from relais.storage.meanwhile import Errand, Helper

PATIENCE_S = 30


@pytest.fixture
def helper() -> Iterator[Helper]:
    helper = Helper()
    yield helper
    helper.close()


def test_an_errand_is_done_by_another_thread_without_anybody_waiting(helper: Helper) -> None:
    done, by = threading.Event(), []

    def job() -> None:
        by.append(threading.get_ident())
        done.set()

    errand = helper.send(job)
    assert done.wait(PATIENCE_S)
    errand.wait()
    assert by != [threading.get_ident()]
    assert len(by) == 1


def test_who_waits_for_what_nobody_has_begun_does_it(helper: Helper) -> None:
    has_begun, may_end, by = threading.Event(), threading.Event(), []

    def slow() -> None:
        has_begun.set()
        may_end.wait(PATIENCE_S)

    first = helper.send(slow)
    assert has_begun.wait(PATIENCE_S)
    helper.send(lambda: by.append(threading.get_ident())).wait()
    assert by == [threading.get_ident()]
    may_end.set()
    first.wait()
    helper.send(lambda: None).wait()
    assert len(by) == 1


def test_who_waits_for_what_another_does_waits_until_it_is_done(helper: Helper) -> None:
    has_begun, may_end, ends = threading.Event(), threading.Event(), []

    def slow() -> None:
        has_begun.set()
        may_end.wait(PATIENCE_S)
        ends.append("errand")

    errand = helper.send(slow)
    assert has_begun.wait(PATIENCE_S)
    threading.Timer(0.05, may_end.set).start()
    errand.wait()
    ends.append("wait")
    assert ends == ["errand", "wait"]


def test_what_goes_wrong_is_told_to_everybody_who_asks() -> None:
    def job() -> None:
        raise OSError("no")

    errand = Errand(job)
    errand.run()
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            errand.wait()


def test_a_helper_that_was_closed_begins_again(helper: Helper) -> None:
    for _ in range(2):
        done = threading.Event()
        helper.send(done.set)
        assert done.wait(PATIENCE_S)
        helper.close()
    helper.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_has_a_thread_of_its_own(helper: Helper) -> None:
    helper.send(lambda: None).wait()
    child = os.fork()
    if not child:
        done = threading.Event()
        helper.send(done.set)
        os._exit(0 if done.wait(PATIENCE_S) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_errands_of_many_threads_are_all_done_once(helper: Helper) -> None:
    done: list[int] = []

    def many(start: int) -> None:
        for number in range(start, start + 200):
            helper.send(partial(done.append, number)).wait()

    threads = [threading.Thread(target=many, args=(start,)) for start in range(0, 1000, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(done) == list(range(1000))
