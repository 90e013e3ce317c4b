"""Things made ahead: in order, bounded, in the thread that takes them while that takes no time, and no thread stays."""

import threading
from collections.abc import Iterator

import pytest

from relais.peers import readahead
from relais.peers.readahead import AHEAD, ReadAhead
from relais.telemetry import context

LONG_S = 30.0


@pytest.fixture(params=["by who takes it", "by the thread", "by the thread later on"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(readahead, "QUICK_S", LONG_S)
    return str(request.param)


def taken(ahead: ReadAhead[int, str], how: str) -> Iterator[str]:
    """What *ahead* gives, made as *how* says, the next one at the best moment."""
    if how == "by the thread":
        ahead.use_thread()
    for number, made in enumerate(ahead):
        ahead.make_next()
        if how == "by the thread later on" and number == 1:
            ahead.use_thread()
        yield made


def test_everything_comes_in_order(how: str) -> None:
    ahead = ReadAhead(str, iter(range(100)))
    assert list(taken(ahead, how)) == [str(number) for number in range(100)]
    assert ahead.close() == []


def test_nothing_gives_nothing(how: str) -> None:
    ahead = ReadAhead(str, iter(range(0)))
    assert list(taken(ahead, how)) == []
    assert ahead.close() == []


def test_what_fails_is_raised_at_its_turn(how: str) -> None:
    ahead = ReadAhead(lambda number: str(6 // number), iter((1, 2, 0, 3)))
    found = taken(ahead, how)
    assert (next(found), next(found)) == ("6", "3")
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert ahead.close() == []


def test_what_was_made_and_not_taken_is_given_back_and_nothing_else_is_used_up(how: str) -> None:
    source = iter(range(100))
    ahead = ReadAhead(str, source)
    found = taken(ahead, how)
    first = [next(found), next(found), next(found)]
    left = ahead.close()
    assert [*first, *left, str(next(source))] == [str(number) for number in range(len(first) + len(left) + 1)]


def test_one_is_made_at_a_time_and_by_who_takes_it_while_that_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "QUICK_S", LONG_S)
    made: list[threading.Thread] = []
    ahead = ReadAhead(lambda _: made.append(threading.current_thread()), iter(range(100)))
    for taken, _ in enumerate(ahead):
        ahead.make_next()
        ahead.make_next()
        assert len(made) == min(taken + 2, 100)
    assert set(made) == {threading.current_thread()}


def test_what_takes_time_is_made_by_a_thread_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "QUICK_S", -1.0)
    ahead = ReadAhead(lambda _: threading.current_thread(), iter(range(10)))
    first, *others = ahead
    assert first is threading.current_thread()
    assert first not in others
    assert len(others) == 9
    assert ahead.close() == []


def test_the_thread_makes_no_more_than_there_is_room_for() -> None:
    made: list[int] = []
    is_full = threading.Event()

    def make(number: int) -> int:
        made.append(number)
        if len(made) == AHEAD:
            is_full.set()
        return number

    ahead = ReadAhead(make, iter(range(100)))
    ahead.use_thread()
    assert is_full.wait(LONG_S)
    assert next(iter(ahead)) == 0
    left = ahead.close()
    assert len(made) <= AHEAD
    assert [0, *left] == made


def test_the_thread_makes_no_more_than_there_is_room_for_however_much_was_taken_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readahead, "QUICK_S", LONG_S)
    made: list[int] = []
    has_begun = threading.Event()

    def make(number: int) -> int:
        made.append(number)
        if len(made) > 50:
            has_begun.set()
        return number

    ahead = ReadAhead(make, iter(range(100)))
    for number in ahead:
        if number == 49:
            break
    ahead.use_thread()
    assert has_begun.wait(LONG_S)
    ahead.close()
    assert len(made) <= 50 + AHEAD


def test_the_thread_knows_whose_work_it_does_and_ends_with_it() -> None:
    before = set(threading.enumerate())
    with context.bound(assoc="a1b2c3d4"):
        ahead = ReadAhead(lambda _: context.current()["assoc"], iter(range(10)))
        ahead.use_thread()
    assert next(iter(ahead)) == "a1b2c3d4"
    ahead.close()
    assert set(threading.enumerate()) <= before
