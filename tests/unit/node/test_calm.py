"""When instances have stopped coming, by a clock of the test's own."""

import pytest

from relais.node.calm import Calm


class World:
    """What the time is, and the last change."""

    def __init__(self) -> None:
        self.now, self.revision = 1000.0, 7

    def after(self, seconds: float, *, changes: int = 0) -> "World":
        self.now += seconds
        self.revision += changes
        return self


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr("relais.node.calm.time.monotonic", lambda: made.now)
    return made


@pytest.fixture
def one(world: World) -> Calm:
    return Calm(lambda: world.revision, calm_s=1.0, patience_s=30.0)


def test_it_is_calm_at_first_and_until_something_changes(world: World, one: Calm) -> None:
    assert one.has_come()
    world.after(0.5)
    assert one.has_come()
    world.after(0.5, changes=1)
    assert not one.has_come()


def test_it_is_calm_again_when_nothing_has_changed_for_a_while(world: World, one: Calm) -> None:
    one.has_come()
    world.after(0.5, changes=3)
    assert not one.has_come()
    world.after(0.9)
    assert not one.has_come()
    world.after(0.1)
    assert one.has_come()


def test_who_has_waited_for_long_waits_no_longer_and_later_waits_again(world: World, one: Calm) -> None:
    one.has_come()
    told = [one.has_come() for _ in range(70) if world.after(0.5, changes=1)]
    assert told == [False] * 60 + [True] * 10
    world.after(2.0)
    assert one.has_come()
    world.after(0.5, changes=1)
    assert not one.has_come()


def test_without_a_time_to_wait_it_is_always_calm(world: World) -> None:
    always = Calm(lambda: world.revision, calm_s=0.0, patience_s=30.0)
    assert all(always.has_come() for _ in range(3) if world.after(0.5, changes=1))
