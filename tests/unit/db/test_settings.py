from pathlib import Path

import pytest

from relais.db.settings import IndexSettings, for_path


def test_three_slashes_are_relative_and_four_absolute() -> None:
    assert IndexSettings(url="sqlite:///data/index.sqlite").path == Path("data/index.sqlite")
    assert IndexSettings(url="sqlite:////var/lib/index.sqlite").path == Path("/var/lib/index.sqlite")
    assert for_path(Path("/x/y z.sqlite")).path == Path("/x/y z.sqlite")


def test_the_engine_is_known_by_the_url() -> None:
    assert IndexSettings(url="postgresql://relais@db.example.org/relais").is_postgresql
    assert not IndexSettings().is_postgresql


@pytest.mark.parametrize(
    "bad",
    [
        {"url": "mysql://x"},
        {"url": "sqlite:///"},
        {"url": "postgresql://"},
        {"connections": 0},
        {"busy_timeout_s": -1},
        {"read_timeout_s": 0},
        {"cache_mb": 0},
        {"reader_cache_mb": 0},
        {"group_limit": 0},
        {"group_limit": 10_001},
        {"soon_limit": 0},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        IndexSettings(**bad)
