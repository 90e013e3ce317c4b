"""Leases: one holder at a time, and none for ever."""

import threading
import time
from pathlib import Path

import pytest

from fixtures.indexed import an_index
from relais.index.leases import Lease, taken


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        ours, theirs = Lease(db, "sweep", "here", 60), Lease(db, "sweep", "there", 60)
        assert ours.held()
        assert not theirs.held()
        assert ours.held()
        ours.give_back()
        assert theirs.held()
        assert not ours.held()


def test_leases_of_other_names_are_free(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        assert Lease(db, "sweep", "here", 60).held()
        assert Lease(db, "recount", "there", 60).held()


def test_a_lease_that_has_run_out_is_anybodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    with an_index(tmp_path) as db:
        with monkeypatch.context() as before:
            before.setattr("time.time", lambda: now() - 61)
            assert Lease(db, "sweep", "here", 60).held()
        assert Lease(db, "sweep", "there", 60).held()
        assert not Lease(db, "sweep", "here", 60).held()


def test_a_lease_that_was_taken_while_the_clock_was_ahead_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    with an_index(tmp_path) as db:
        with monkeypatch.context() as ahead:
            ahead.setattr("time.time", lambda: now() + 365 * 86400)
            assert Lease(db, "sweep", "here", 60).held()
            assert taken(db, "sweep")
        assert not taken(db, "sweep")
        assert Lease(db, "sweep", "there", 60).held()
        assert taken(db, "sweep")


def test_a_lease_of_a_clock_that_is_a_little_ahead_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    with an_index(tmp_path) as db:
        with monkeypatch.context() as ahead:
            ahead.setattr("time.time", lambda: now() + 30)
            assert Lease(db, "sweep", "here", 60).held()
        assert not Lease(db, "sweep", "there", 60).held()


def test_who_comes_back_has_its_lease_at_once(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        assert Lease(db, "sweep", "here", 60).held()
        assert Lease(db, "sweep", "here", 60).held()


def test_giving_back_what_another_has_changes_nothing(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        ours, theirs = Lease(db, "sweep", "here", 60), Lease(db, "sweep", "there", 60)
        assert ours.held()
        theirs.give_back()
        assert not theirs.held()


def test_of_many_that_ask_at_once_one_has_it(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        barrier, answers = threading.Barrier(6), []

        def ask(number: int) -> None:
            barrier.wait()
            answers.append(Lease(db, "sweep", f"node {number}", 60).held())

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False] * 5 + [True]
