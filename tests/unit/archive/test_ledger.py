"""What a long work has done, in a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.node import close_archive, make_archive
from relais.archive import Archive
from relais.archive.ledger import Ledger
from relais.errors import Conflict


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    archive = make_archive(tmp_path / "archive")
    yield archive
    close_archive(archive)


def test_what_was_noted_last_counts_and_is_there_next_time(archive: Archive, tmp_path: Path) -> None:
    with Ledger(archive, tmp_path, "south") as ledger:
        ledger.note("1.2.3", "57")
        ledger.note("1.2.4", "open")
        ledger.note("1.2.3", "58")
        assert ledger.get("1.2.3") == "58"
    with Ledger(archive, tmp_path, "south") as again:
        assert (again.get("1.2.3"), again.get("9"), again.keys_with("open")) == ("58", None, ["1.2.4"])


def test_names_of_peers_never_lead_out_of_the_folder(archive: Archive, tmp_path: Path) -> None:
    with Ledger(archive, tmp_path / "in", "http://x/../../out") as ledger:
        ledger.note("a")
    assert [path.is_relative_to(tmp_path / "in") for path in tmp_path.rglob("*out*")] == [True]


def test_a_line_that_was_cut_off_is_forgotten_and_spoils_no_other(archive: Archive, tmp_path: Path) -> None:
    with Ledger(archive, tmp_path, "south") as ledger:
        ledger.note("1.2.3", "57")
        ledger.note("1.2.4", "12")
    [path] = tmp_path.rglob("south")
    path.write_bytes(path.read_bytes()[:-6])
    with Ledger(archive, tmp_path, "south") as ledger:
        assert (ledger.get("1.2.3"), ledger.get("1.2.4")) == ("57", None)
        ledger.note("1.2.5", "3")
    with Ledger(archive, tmp_path, "south") as ledger:
        assert (ledger.get("1.2.3"), ledger.get("1.2.5")) == ("57", "3")


def test_one_at_a_time_where_somebody_wants_it_alone(archive: Archive, tmp_path: Path) -> None:
    with Ledger(archive, tmp_path, "south"), pytest.raises(Conflict, match="same work"):
        Ledger(archive, tmp_path, "south")
    with Ledger(archive, tmp_path, "files", alone=False) as one, Ledger(archive, tmp_path, "files", alone=False) as two:
        one.note("a", "1")
        two.note("b", "2")
    with Ledger(archive, tmp_path, "files") as both:
        assert (both.get("a"), both.get("b")) == ("1", "2")


def test_an_index_made_from_nothing_begins_with_an_empty_one(archive: Archive, tmp_path: Path) -> None:
    with Ledger(archive, tmp_path, "south") as ledger:
        ledger.note("1.2.3", "57")
    other = make_archive(tmp_path / "other")
    try:
        with Ledger(other, tmp_path, "south") as ledger:
            assert ledger.get("1.2.3") is None
    finally:
        close_archive(other)
