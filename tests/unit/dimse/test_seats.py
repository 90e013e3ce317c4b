"""Counting of associations over processes."""

import os
import tempfile
from collections.abc import Callable, Iterator

import pytest

from relais.dimse.seats import Seats, Taken, table_bytes

ROWS, WORKERS = 4, 3


@pytest.fixture
def fd() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.truncate(table_bytes(ROWS, WORKERS))
        yield file.fileno()


def always(taken: Taken) -> bool:
    return True


def below(limit: int) -> Callable[[Taken], bool]:
    return lambda taken: taken.total < limit


def counted(seats: Seats, address: str = "", ae_title: str = "") -> Taken:
    """What is taken now; nobody sits down."""
    seen: list[Taken] = []

    def look(taken: Taken) -> bool:
        seen.append(taken)
        return False

    assert seats.take(address, ae_title, look) is None
    return seen[0]


def test_who_sits_is_counted_in_all_by_address_and_by_title() -> None:
    seats = Seats(ROWS)
    for address, title in (("10.0.0.1", "CT"), ("10.0.0.1", "MR"), ("10.0.0.2", "CT")):
        assert seats.take(address, title, always) is not None
    assert counted(seats, "10.0.0.1", "MR") == Taken(3, 2, 1)
    assert counted(seats, "10.0.0.9", "CT") == Taken(3, 0, 2)


def test_a_seat_that_is_given_back_can_be_taken_again() -> None:
    seats = Seats(ROWS)
    taken = [seats.take("10.0.0.1", "CT", below(2)) for _ in range(3)]
    assert taken[2] is None
    assert taken[0] is not None
    seats.leave(taken[0])
    assert seats.take("10.0.0.1", "CT", below(2)) is not None


def test_there_are_no_more_seats_than_rows() -> None:
    seats = Seats(ROWS)
    assert [seats.take("10.0.0.1", "CT", always) is None for _ in range(ROWS + 2)] == [False] * ROWS + [True] * 2


def test_all_workers_count_together(fd: int) -> None:
    workers = [Seats(ROWS, number, WORKERS, fd) for number in range(WORKERS)]
    for seats in workers:
        assert seats.take("10.0.0.1", "CT", below(3)) is not None
    for seats in workers:
        assert seats.take("10.0.0.1", "CT", below(3)) is None
        assert counted(seats, "10.0.0.1", "CT") == Taken(3, 3, 3)


def test_what_a_killed_worker_left_is_gone_when_the_next_of_its_number_begins(fd: int) -> None:
    ours = Seats(ROWS, 0, WORKERS, fd)
    assert ours.take("10.0.0.1", "CT", always) is not None
    child = os.fork()
    if child == 0:
        theirs = Seats(ROWS, 1, WORKERS, fd)
        theirs.have_connections(7)
        os._exit(0 if theirs.take("10.0.0.1", "CT", always) is not None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert counted(ours).total == 2
    Seats(ROWS, 1, WORKERS, fd)
    assert counted(ours).total == 1


def test_a_worker_that_has_more_connections_than_another_knows_it(fd: int) -> None:
    first, second, third = (Seats(ROWS, number, WORKERS, fd) for number in range(WORKERS))
    first.have_connections(1)
    assert not first.is_another_freer  # the others do not listen yet
    for seats, number in ((first, 2), (second, 1), (third, 1)):
        seats.have_connections(number)
    assert (first.is_another_freer, second.is_another_freer, third.is_another_freer) == (True, False, False)


def test_who_is_alone_never_waits_for_others() -> None:
    seats = Seats(ROWS)
    seats.have_connections(9)
    assert not seats.is_another_freer
