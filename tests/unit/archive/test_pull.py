"""How a pull goes on, gives up and reports, whatever brings the units."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier

import pytest

from fixtures.node import close_archive, make_archive
from relais.archive.ledger import Ledger
from relais.archive.pull import OPEN, Outcome, Pull, Report, Unit
from relais.errors import InvalidRequest, OutOfResources, Unavailable

UNITS = [Unit(str(number), "3", 3) for number in range(6)]


class Impatient(Pull):
    """Notes how long it would have waited."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.waited: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waited += [seconds] if seconds else []


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    archive = make_archive(tmp_path / "archive")
    with Ledger(archive, tmp_path / "pulls", "south") as ledger:
        yield ledger
    close_archive(archive)


def whole(unit: Unit) -> Outcome:
    return Outcome(unit.instances, unit.instances)


def raising(error: Exception) -> Callable[[Unit], Outcome]:
    def work(unit: Unit) -> Outcome:
        raise error

    return work


def test_what_is_complete_is_known_next_time(ledger: Ledger) -> None:
    told: list[int] = []
    report = Pull(ledger, lambda report: told.append(report.units)).run(UNITS, whole, 1)
    assert (report.complete, report.received, report.is_complete, told) == (6, 18, True, [1, 2, 3, 4, 5, 6])
    again = Pull(ledger).run(UNITS, raising(AssertionError("is not asked")), 2)
    assert (again.known, again.complete, again.instances, again.received) == (6, 6, 18, 0)


def test_what_came_before_an_attempt_failed_counts_as_come(ledger: Ledger) -> None:
    """Of three instances one was here, one came before the peer broke off, and one when it was asked again."""
    pull = Impatient(ledger)
    attempts: list[Unit] = []

    def work(unit: Unit) -> Outcome:
        attempts.append(unit)
        if len(attempts) == 1:
            pull.came(unit, 1, 2)
            raise Unavailable("broke off")
        return Outcome(3, 1)

    report = pull.run(UNITS[:1], work, 1)
    assert (report.complete, report.instances, report.received, report.here) == (1, 3, 2, 1)
    again = Pull(ledger).run(UNITS[:1], work, 1)
    assert (again.known, again.received, again.here) == (1, 0, 0)


@pytest.mark.parametrize("comes_again", [True, False])
def test_what_was_refused_is_told_once_also_if_its_attempt_failed(ledger: Ledger, comes_again: bool) -> None:
    pull, left = Impatient(ledger), [Unavailable("broke off"), Unavailable("once more")]

    def work(unit: Unit) -> Outcome:
        if comes_again or len(left) == 2:
            pull.refused(unit, "1.2.3", "refused here with status 0111")
        if left:
            raise left.pop()
        return Outcome(3, 3)

    report = pull.run(UNITS[:2], work, 1)
    notes = {"0": ["1 refused here with status 0111"]}
    assert (report.is_complete, report.notes) == (True, notes | ({"1": notes["0"]} if comes_again else {}))


def test_another_mark_and_none_are_brought_again(ledger: Ledger) -> None:
    Pull(ledger).run(UNITS, whole, 1)
    assert Pull(ledger).run([Unit("0", "4", 4), Unit("1"), UNITS[2]], whole, 1).known == 1
    assert Pull(ledger, again=True).run(UNITS, whole, 1).known == 0


def test_units_are_brought_at_the_same_time(ledger: Ledger) -> None:
    together = Barrier(3, timeout=120)

    def work(unit: Unit) -> Outcome:
        together.wait()
        return whole(unit)

    assert Pull(ledger).run(UNITS, work, 3).complete == 6


def test_what_comes_in_part_is_asked_for_again_later_and_later(ledger: Ledger) -> None:
    left = {"0": 3}

    def work(unit: Unit) -> Outcome:
        left[unit.key] -= 1
        return Outcome(3, 1, [f"{n}" for n in range(left[unit.key])])

    pull = Impatient(ledger)
    report = pull.run(UNITS[:1], work, 1)
    assert (report.complete, report.received, pull.waited) == (1, 3, [1.0, 5.0])


def test_what_never_comes_is_asked_for_twice_and_listed(ledger: Ledger) -> None:
    tried: list[str] = []

    def work(unit: Unit) -> Outcome:
        tried.append(unit.key)
        return Outcome(3, 0, ["1.2.3"], ["refused"])

    report = Impatient(ledger).run(UNITS[:2], work, 1)
    assert tried == ["0", "0", "1", "1"]
    assert (report.incomplete["0"].missing, report.incomplete["0"].examples) == (1, ["1.2.3"])
    assert not report.is_complete
    assert sorted(ledger.keys_with(OPEN)) == ["0", "1"]


def test_when_nobody_answers_the_rest_is_left(ledger: Ledger) -> None:
    report = Impatient(ledger).run(UNITS, raising(Unavailable("It is away.")), 1)
    assert report.stopped == "It is away."
    assert report.units <= 3


def test_one_that_fails_does_not_stop_the_others(ledger: Ledger) -> None:
    def work(unit: Unit) -> Outcome:
        if unit.key == "1":
            raise InvalidRequest("This one is odd.")
        return whole(unit)

    report = Impatient(ledger).run(UNITS, work, 2)
    assert (report.complete, list(report.incomplete), report.stopped) == (5, ["1"], "")
    assert report.incomplete["1"].notes == ["This one is odd."]


def test_of_what_could_not_be_fetched_instances_are_counted(ledger: Ledger) -> None:
    """The peer counted three of each but the last, and breaks off; of the second, one came and one was here."""
    units = [UNITS[0], UNITS[1], Unit("5")]
    pull = Impatient(ledger)

    def work(unit: Unit) -> Outcome:
        if unit.key == "1":
            pull.came(unit, 1, 2)
        raise InvalidRequest("It broke off.")

    left = pull.run(units, work, 1).incomplete
    assert [(one.missing, one.instances, one.examples) for one in left.values()] == [
        (3, 3, []),
        (1, 3, []),
        (None, None, []),
    ]


def test_what_failed_is_not_complete_though_as_many_are_here_as_were_counted(ledger: Ledger) -> None:
    pull = Impatient(ledger)

    def work(unit: Unit) -> Outcome:
        pull.came(unit, 0, 3)
        raise InvalidRequest("It broke off before it told which.")

    report = pull.run(UNITS[:1], work, 1)
    assert (report.complete, report.incomplete["0"].missing) == (0, 0)


def test_what_is_missing_without_a_name_counts_too(ledger: Ledger) -> None:
    report = Impatient(ledger).run(UNITS[:1], lambda unit: Outcome(3, 0, ["1.2.3"], unnamed=1), 1)
    assert (report.incomplete["0"].missing, report.incomplete["0"].examples) == (2, ["1.2.3"])


def test_a_full_disk_stops_it_at_once(ledger: Ledger) -> None:
    report = Impatient(ledger).run(UNITS, raising(OutOfResources()), 1)
    assert "full" in report.stopped
    assert (report.complete, ledger.get("0")) == (0, None)


def test_a_mistake_of_ours_and_a_key_pressed_come_through(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        Pull(ledger).run(UNITS, raising(ZeroDivisionError()), 1)

    def interrupted() -> Iterator[Unit]:
        yield UNITS[0]
        raise KeyboardInterrupt

    pull = Pull(ledger)
    with pytest.raises(KeyboardInterrupt):
        pull.run(interrupted(), whole, 1)
    assert pull.is_ending()


def test_what_is_missing_outside_all_units_counts(ledger: Ledger) -> None:
    pull = Pull(ledger)
    pull.miss("2020-01-01", "The peer did not tell all.")
    assert not pull.run([], whole, 1).is_complete


def test_notes_of_complete_units_are_told(ledger: Ledger) -> None:
    report: Report = Pull(ledger).run(UNITS[:1], lambda unit: Outcome(3, 3, [], ["2 were deleted there."]), 1)
    assert report.notes == {"0": ["2 were deleted there."]}
