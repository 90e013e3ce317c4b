"""Rates and hours of long work."""

from datetime import datetime, timedelta

import pytest

from relais.archive.pace import LATE_S, Hours, Pace, Rate, Throttle


@pytest.mark.parametrize(
    ("text", "per_second", "is_bytes"),
    [
        ("20MB/s", 20e6, True),
        ("1.5 GB/min", 25e6, True),
        ("600 studies/h", 1 / 6, False),
        ("1 study/s", 1, False),
        ("30/min", 0.5, False),
    ],
)
def test_a_rate_is_bytes_or_studies_in_a_time(text: str, per_second: float, is_bytes: bool) -> None:
    assert Rate.parse(text) == Rate(pytest.approx(per_second), is_bytes)


@pytest.mark.parametrize("text", ["", "20", "20MB", "MB/s", "0/s", "-1/s", "20 MB/week"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="like"):
        Rate.parse(text)


@pytest.mark.parametrize(
    ("hours", "now", "wait_s"),
    [
        ("20:00-06:00", "2024-01-01T19:00:00", 3600),
        ("20:00-06:00", "2024-01-01T20:00:00", 0),
        ("20:00-06:00", "2024-01-02T05:59:59", 0),
        ("20:00-06:00", "2024-01-02T06:00:00", 14 * 3600),
        ("08:00-09:30", "2024-01-02T09:30:00", 22.5 * 3600),
        ("08:00-09:30", "2024-01-02T07:59:59", 1),
    ],
)
def test_hours_may_span_midnight(hours: str, now: str, wait_s: float) -> None:
    assert Hours.parse(hours).wait_s(datetime.fromisoformat(now)) == wait_s


@pytest.mark.parametrize("text", ["", "8", "8-9", "08:00", "08:00-08:00", "25:00-26:00"])
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="like"):
        Hours.parse(text)


def test_who_spends_waits_for_what_was_spent_before() -> None:
    waited: list[float] = []
    throttle = Throttle(100, waited.append)
    for _ in range(3):
        throttle.spend(50)
    assert waited == [pytest.approx(0.5, abs=0.05), pytest.approx(1.0, abs=0.05)]


def test_who_wakes_late_catches_up() -> None:
    """On a busy machine each sleep is 20 ms too long: a rate of many small pieces would be a fraction of itself."""
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds + 0.02

    throttle = Throttle(1000, sleep, lambda: now[0])
    for _ in range(5000):
        throttle.spend(1)
    assert now[0] == pytest.approx(105, abs=0.05)


def test_who_was_idle_may_not_spend_what_was_not_spent() -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    throttle = Throttle(1000, sleep, lambda: now[0])
    throttle.spend(1)
    now[0] += 3600
    for _ in range(5000):
        throttle.spend(1)
    assert now[0] == pytest.approx(3700 + 5 - LATE_S, abs=0.01)


def test_a_rate_of_studies_leaves_bytes_alone_and_the_other_way_round() -> None:
    waited: list[float] = []
    studies = Pace(Rate(0.1, is_bytes=False), None, waited.append)
    studies.received(10**9)
    studies.begin()
    assert waited == []
    studies.begin()
    assert waited == [pytest.approx(10, abs=0.1)]
    Pace(Rate(1, is_bytes=True), None, waited.append).begin()
    assert len(waited) == 1


def test_whoever_waits_for_the_hour_can_be_ended() -> None:
    waited: list[float] = []
    start, end = (datetime.now().astimezone() + timedelta(hours=hours) for hours in (2, 3))
    hours = Hours.parse(f"{start:%H:%M}-{end:%H:%M}")
    Pace(None, hours, waited.append, lambda: len(waited) >= 3).begin()
    assert waited == [60.0] * 3
