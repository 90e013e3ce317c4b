"""Which instances have come, and as which files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.node import close_archive, make_archive
from relais.archive import Archive, fetched
from relais.archive.fetched import Fetched
from relais.archive.ledger import Ledger


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    archive = make_archive(tmp_path / "archive")
    yield archive
    close_archive(archive)


def lines(folder: Path) -> list[str]:
    [path] = folder.rglob("south")
    return path.read_text().splitlines()


@pytest.mark.parametrize("note_s", [1000.0, -1.0])
def test_what_came_is_known_next_time_as_what_came_last(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note_s: float
) -> None:
    monkeypatch.setattr(fetched, "NOTE_S", note_s)
    with Ledger(archive, tmp_path, "south") as ledger:
        with Fetched(ledger, "a") as known:
            known.add("1", ("file 1", "md5 1"))
            known.add("2", ("", "md5 2"))
            known.add("1", ("file 3", "md5 3"))
        with Fetched(ledger, "a") as known:
            known.add("3", ("file 4", "md5 4"))
    assert len(lines(tmp_path)) == (2 if note_s > 0 else 4)
    with Ledger(archive, tmp_path, "south") as ledger:
        known = Fetched(ledger, "a")
        assert [known.has(name) for name in "1234"] == [True, True, True, False]
        assert (known.has_file("1", "file 1"), known.has_file("1", "file 3"), known.has_file("1", "md5 3")) == (
            False,
            True,
            True,
        )
        assert (known.has_file("2", ""), known.has_file("2", "md5 2"), known.has_file("9", "")) == (False, True, False)
        assert not known.has_file("1", "md5 4")  # that of another
        assert not Fetched(ledger, "b").has("1")


def test_what_was_broken_off_is_noted(archive: Archive, tmp_path: Path) -> None:
    with Ledger(archive, tmp_path, "south") as ledger:
        with pytest.raises(RuntimeError), Fetched(ledger, "a") as known:
            known.add("1", ("file 1", "md5 1"))
            raise RuntimeError
        assert Fetched(ledger, "a").has_file("1", "file 1")


@pytest.mark.parametrize("cut", range(1, 58, 7))
def test_a_line_that_was_cut_off_takes_nothing_for_what_it_is_not(archive: Archive, tmp_path: Path, cut: int) -> None:
    with Ledger(archive, tmp_path, "south") as ledger, Fetched(ledger, "a") as known:
        known.add("1", ("file 1", "md5 1"))
        known.add("2", ("file 2", "md5 2"))
    [path] = tmp_path.rglob("south")
    path.write_bytes(path.read_bytes()[:-cut])
    with Ledger(archive, tmp_path, "south") as ledger:
        with Fetched(ledger, "a") as known:
            assert not known.has_file("2", "file 1")
            known.add("3", ("file 3", "md5 3"))
        known = Fetched(ledger, "a")
        assert known.has_file("3", "md5 3")
        assert [name for name in "12" if known.has_file(name, f"file {name}")] in ([], ["1"], ["1", "2"])
