"""Where pages ended: remembered for a while, never wrong, never in the way."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relais.archive import bookmarks
from relais.archive.bookmarks import SLOT_BYTES, SLOTS, Bookmarks, FileSlots

PLACE = (20240310091500, 17, 2.0, "a")


def test_what_was_put_is_there_for_every_process(tmp_path: Path) -> None:
    Bookmarks(FileSlots(str(tmp_path / "cache"))).put(["walk 25"], PLACE, "page")
    assert Bookmarks(FileSlots(str(tmp_path / "cache"))).get("walk 25") == PLACE
    assert Bookmarks(FileSlots(str(tmp_path / "cache"))).get("walk 50") is None


def test_the_last_place_counts(tmp_path: Path) -> None:
    marks = Bookmarks(FileSlots(str(tmp_path)))
    marks.put(["walk 25"], PLACE, "page")
    marks.put(["walk 25"], (1, 2), "page")
    assert marks.get("walk 25") == (1, 2)


def test_a_place_is_forgotten_after_a_while_unless_it_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = Bookmarks(FileSlots(str(tmp_path)))
    now = [1000.0]
    monkeypatch.setattr(bookmarks.time, "time", lambda: now[0])
    marks.put(["walk 25"], PLACE, "page")
    now[0] += bookmarks.VALID_S - 1
    assert marks.renew("walk 25", "page")
    now[0] += bookmarks.VALID_S - 1
    assert marks.get("walk 25") == PLACE
    now[0] += 2
    assert marks.get("walk 25") is None
    assert not marks.renew("walk 25", "page")
    assert marks.get("walk 25") is None


def test_a_place_that_was_put_while_the_clock_was_ahead_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks, now = Bookmarks(FileSlots(str(tmp_path))), time.time
    with monkeypatch.context() as ahead:
        ahead.setattr(bookmarks.time, "time", lambda: now() + 86_400)
        marks.put(["walk 25"], PLACE, "page")
    assert marks.get("walk 25") is None
    assert not marks.renew("walk 25", "page")


def test_only_the_page_that_put_a_place_renews_it(tmp_path: Path) -> None:
    marks = Bookmarks(FileSlots(str(tmp_path)))
    assert marks.renew("walk 25", "page")  # nothing was ever remembered, so nothing is wrong
    marks.put(["walk 25"], PLACE, "page")
    assert marks.renew("walk 25", "page")
    assert not marks.renew("walk 25", "another")
    assert not marks.renew("walk 50", "page")


def test_nothing_is_remembered_without_a_folder_and_nothing_that_does_not_fit(tmp_path: Path) -> None:
    nowhere = Bookmarks(FileSlots(""))
    nowhere.put(["walk 25"], PLACE, "page")
    assert nowhere.get("walk 25") is None
    assert nowhere.renew("walk 25", "page")
    marks = Bookmarks(FileSlots(str(tmp_path)))
    marks.put(["walk 25"], PLACE, "page")
    marks.put(["walk 25"], ("x" * SLOT_BYTES,), "page")
    assert marks.get("walk 25") is None


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    marks = Bookmarks(FileSlots(str(tmp_path / "file")))
    marks.put(["walk 25"], PLACE, "page")
    assert marks.get("walk 25") is None


@given(at=st.integers(0, SLOT_BYTES - 1), byte=st.binary(min_size=1, max_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_damaged_slot_is_not_believed(tmp_path: Path, at: int, byte: bytes) -> None:
    marks = Bookmarks(FileSlots(str(tmp_path)))
    marks.put(["walk 25"], PLACE, "page")
    file = tmp_path / "pages"
    content = bytearray(file.read_bytes())
    start = next(n for n in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES) if any(content[n : n + SLOT_BYTES]))
    content[start + at : start + at + 1] = byte
    file.write_bytes(content)
    assert marks.get("walk 25") in (PLACE, None)


def test_many_writers_of_one_slot_leave_one_of_their_places(tmp_path: Path) -> None:
    marks = Bookmarks(FileSlots(str(tmp_path)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: marks.put(["walk 25"], (number,) * (number % 20 + 1), "page"), range(400)))
    found = marks.get("walk 25")
    assert found is None or (len(set(found)) == 1 and len(found) == found[0] % 20 + 1)
