"""How far a long work is, for people who look and for pipes."""

import io

import pytest
from rich.console import Console

from relais.cli import progress
from relais.cli.progress import telling


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal that is looked at."""
    shown = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda **how: Console(file=shown, force_terminal=True, width=160, color_system=None)
    )
    return shown


def test_people_see_count_rate_size_and_time(screen: io.StringIO) -> None:
    with telling("Pulling", quiet=False) as tell:
        tell.of(300)
        for done in (100, 200):
            tell(done, done * 1000)
        tell.more(5, 2_000_000)
        assert not tell.is_quiet
    last = next(line for line in reversed(screen.getvalue().splitlines()) if "Pulling" in line)
    assert "205/300" in last
    assert "2.2 MB (" in last
    assert "/s" in last


def test_nobody_is_told_in_a_pipe_or_when_quiet(screen: io.StringIO) -> None:
    with telling("Pulling", quiet=True, total=3) as tell:
        tell.more()
        assert tell.is_quiet
    assert "Pulling" not in screen.getvalue()


@pytest.mark.parametrize(("per_s", "said"), [(250.0, "250/s"), (0.5, "30/min"), (0.005, "18/h")])
def test_slow_things_are_counted_by_the_minute_or_the_hour(per_s: float, said: str) -> None:
    assert progress._speed(per_s) == said
