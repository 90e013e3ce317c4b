"""Small commits beside the writers' turns: seen at once, never waited for, and no harm where they fail."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.engines import POSTGRESQL, SQLITE, index_settings
from relais.archive.bookmarks import Bookmarks
from relais.db.database import Database
from relais.db.postgres import aside
from relais.errors import Unavailable
from relais.index.page_ends import SQL, IndexSlots

PLACE = (20240310091500, 17, 2.0, "a")
OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(index_settings(tmp_path, POSTGRESQL))
    yield db
    db.close()


def test_what_one_node_puts_another_one_finds_at_once(db: Database, tmp_path: Path) -> None:
    other = Database(index_settings(tmp_path, POSTGRESQL))
    Bookmarks(IndexSlots(db)).put(["walk 25", "walk 50"], PLACE, "page")
    assert Bookmarks(IndexSlots(other)).get("walk 25") == PLACE
    assert Bookmarks(IndexSlots(other)).get("walk 50") == PLACE
    assert Bookmarks(IndexSlots(other)).get("walk 75") is None
    Bookmarks(IndexSlots(other)).put(["walk 25"], None, "page")
    assert Bookmarks(IndexSlots(db)).get("walk 25") is None
    other.close()


def test_it_does_not_wait_for_who_writes(db: Database) -> None:
    marks = Bookmarks(IndexSlots(db))

    def work(_: object) -> None:
        marks.put(["walk 25"], PLACE, "page")
        assert marks.get("walk 25") == PLACE  # our transaction has not ended

    db.write(work)


def test_a_lost_connection_is_no_failure_of_a_search_and_is_opened_again_after_a_pause(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = IndexSlots(db)
    marks = Bookmarks(slots)
    marks.put(["walk 25"], PLACE, "page")
    other = Database(index_settings(tmp_path, POSTGRESQL))
    with other.read() as connection:
        connection.execute(OTHERS)
    with pytest.raises(Unavailable):
        slots.write({1: b"lost"})
    with pytest.raises(Unavailable, match="a moment ago"):
        slots.write({1: b"not even tried"})
    marks.put(["walk 50"], PLACE, "page")
    assert marks.get("walk 50") is None
    assert marks.get("walk 25") == PLACE
    monkeypatch.setattr(aside, "PAUSE_S", 0.0)
    marks.put(["walk 50"], PLACE, "page")
    assert marks.get("walk 50") == PLACE
    other.close()


def test_who_holds_the_slot_for_long_is_not_waited_for(db: Database, tmp_path: Path) -> None:
    other = Database(index_settings(tmp_path, POSTGRESQL))
    IndexSlots(db).write({7: b"first"})

    def work(tx: object) -> None:
        tx.execute(SQL["put"], (7, b"held"))  # type: ignore[attr-defined]
        began = time.monotonic()
        with pytest.raises(Unavailable):
            IndexSlots(other).write({7: b"late"})
        assert time.monotonic() - began < 30

    db.write(work)
    assert IndexSlots(other).read(7) == b"held"
    other.close()


def test_in_a_file_it_comes_with_the_late_writes(tmp_path: Path) -> None:
    db = Database(index_settings(tmp_path, SQLITE))
    db.aside("INSERT INTO utc_offset(minutes) VALUES (?)", (77,))
    db.close()
    with db.read() as connection:
        assert [row[0] for row in connection.execute("SELECT minutes FROM utc_offset")] == [77]
    db.close()
