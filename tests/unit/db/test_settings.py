import sys
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
        {"url": "postgresql://relais@h:notaport/x"},
        {"url": "postgresql://relais@h:99999/x"},
        {"url": "postgresql://relais@h/x?sslmode=bogus"},
        {"url": "postgresql://relais@h/x?foo=bar"},
        {"url": "postgresql://relais@h/x?connect_timeout=soon"},
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


@pytest.mark.parametrize(
    "url",
    ["postgresql://relais:ge/heim@h/x", "postgresql://relais:geheim%zz@h/x", "postgresql://relais:geheim@h/x?y=geheim"],
)
def test_a_url_with_a_password_that_is_refused_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        IndexSettings(url=url)
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///relais",
        "postgresql://relais@a:5432,b:5433/relais?target_session_attrs=read-write&sslmode=verify-full&connect_timeout=9",
        "postgresql://relais@/x?host=/run/postgresql",
        "postgresql://relais:p%2Fss@[::1]:5432/x",
    ],
)
def test_urls_that_libpq_takes_are_taken(url: str) -> None:
    assert IndexSettings(url=url).url == url


def test_without_the_driver_no_url_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "relais.db.postgres.urls", None)
    assert IndexSettings(url="postgresql://relais@h:notaport/x").is_postgresql
