"""Things made ahead: in order, bounded, and without a thread that stays."""

import threading
from collections.abc import Iterator

import pytest

from relais.peers.readahead import AHEAD, ReadAhead
from relais.telemetry import context

LONG_S = 30.0


def test_everything_comes_in_order() -> None:
    ahead = ReadAhead(str, iter(range(100)))
    assert list(ahead) == [str(number) for number in range(100)]
    assert ahead.close() == []


def test_nothing_gives_nothing() -> None:
    ahead = ReadAhead(str, iter(()))
    assert list(ahead) == []
    assert ahead.close() == []


def test_no_more_is_made_than_there_is_room_for() -> None:
    made: list[int] = []
    is_full = threading.Event()

    def make(number: int) -> int:
        made.append(number)
        if len(made) == AHEAD:
            is_full.set()
        return number

    ahead = ReadAhead(make, iter(range(100)))
    assert is_full.wait(LONG_S)
    taken = iter(ahead)
    assert next(taken) == 0
    left = ahead.close()
    assert len(made) <= AHEAD + 1
    assert [0, *left] == made


def test_what_fails_is_raised_where_it_is_taken() -> None:
    def numbers() -> Iterator[int]:
        yield from (1, 2, 0, 3)

    ahead = ReadAhead(lambda number: 6 // number, numbers())
    taken = iter(ahead)
    assert (next(taken), next(taken)) == (6, 3)
    with pytest.raises(ZeroDivisionError):
        next(taken)
    assert ahead.close() == []


def test_the_thread_knows_whose_work_it_does_and_ends_with_it() -> None:
    before = set(threading.enumerate())
    with context.bound(assoc="a1b2c3d4"):
        ahead = ReadAhead(lambda _: context.current()["assoc"], iter(range(10)))
    assert next(iter(ahead)) == "a1b2c3d4"
    ahead.close()
    assert set(threading.enumerate()) <= before
