"""A check that hangs holds nobody up, and what a check says is remembered for a moment."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from fixtures.waiting import eventually
from relais.errors import Unavailable
from relais.node.remembered import Remembered

LONG_S = 300.0


@pytest.fixture
def may_end() -> Iterator[threading.Event]:
    """What lets the checks of a test end."""
    event = threading.Event()
    yield event
    event.set()


def test_a_check_that_hangs_is_told_in_time_to_all_who_ask_and_asked_only_once(may_end: threading.Event) -> None:
    runs: list[int] = []
    told: list[str] = []

    def check() -> str:
        runs.append(1)
        may_end.wait(LONG_S)
        return "it is back"

    ask = Remembered(check, 0.0, 0.2)

    def hear() -> None:
        try:
            ask()
        except Unavailable as exc:
            told.append(exc.message)

    threads = [threading.Thread(target=hear) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S / 2)
    assert told == ["It has not answered within 0.2 seconds."] * 20
    hear()
    assert len(told) == 21
    assert runs == [1]
    may_end.set()
    assert eventually(lambda: not ask._failure and ask._has_ended.is_set())
    assert ask() == "it is back"


def test_who_comes_while_it_is_overdue_does_not_wait(may_end: threading.Event) -> None:
    ask = Remembered(lambda: str(may_end.wait(LONG_S)), 0.0, LONG_S)

    def first() -> None:
        with suppress(Unavailable):
            ask()

    thread = threading.Thread(target=first)
    thread.start()
    assert eventually(lambda: not ask._has_ended.is_set())
    ask._began_at -= LONG_S
    began = time.monotonic()
    with pytest.raises(Unavailable):
        ask()
    assert time.monotonic() - began < LONG_S / 2
    may_end.set()
    thread.join()


def test_what_it_says_is_said_again_for_a_while() -> None:
    said = iter(("once", "twice"))
    ask = Remembered(lambda: next(said), LONG_S, LONG_S)
    assert (ask(), ask()) == ("once", "once")
    ask._ended_at -= 2 * LONG_S
    assert ask() == "twice"


def test_what_it_raises_is_raised_to_all() -> None:
    def check() -> str:
        raise Unavailable("away")

    ask = Remembered(check, LONG_S, LONG_S)
    for _ in range(2):
        with pytest.raises(Unavailable, match="away"):
            ask()
