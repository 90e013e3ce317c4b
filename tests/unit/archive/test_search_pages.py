"""Page after page of a search, while instances come in and go."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.engines import POSTGRESQL, index_settings
from fixtures.node import close_archive, make_archive
from relais.access.principals import OPERATOR, Principal, Protocol
from relais.archive import Archive, bookmarks, delete, ingest, search
from relais.archive.search import Asked
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query
from relais.dicom.refs import StudyRef

ROSA, TOMAS = Principal(Protocol.WEB, "rosa"), Principal(Protocol.WEB, "tomas")


def store(archive: Archive, day: int) -> None:
    ds = a_ct(PatientID=str(day), StudyDate=f"202401{day:02d}")
    ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))


def page(archive: Archive, offset: int, who: Principal = OPERATOR) -> tuple[list[str], Asked]:
    asked = search.ask(archive, who, Query(Level.STUDY, limit=2, offset=offset))
    return [row["00100020"]["Value"][0] for row in search.found(archive, asked).rows], asked


def walk(archive: Archive) -> list[str]:
    """All pages, until one is empty, as dicomweb-client reads them."""
    found: list[str] = []
    while rows := page(archive, len(found))[0]:
        found += rows
    return found


def remove(archive: Archive, day: int) -> None:
    rows = search.search(archive, ROSA, Query(Level.STUDY)).rows
    row = next(row for row in rows if row["00100020"]["Value"] == [str(day)])
    delete.delete(archive, OPERATOR, StudyRef(row["0020000D"]["Value"][0]))


@pytest.fixture
def filled(archive: Archive) -> Archive:
    for day in range(1, 6):
        store(archive, day)
    return archive


def test_the_next_page_begins_where_this_one_ended_whatever_came(filled: Archive) -> None:
    assert page(filled, 0)[0] == ["5", "4"]
    store(filled, 6)
    assert page(filled, 2)[0] == ["3", "2"]
    store(filled, 7)
    assert page(filled, 4)[0] == ["1"]


def test_a_new_first_page_begins_a_new_walk(filled: Archive) -> None:
    page(filled, 0)
    store(filled, 6)
    assert page(filled, 0)[0] == ["6", "5"]
    assert page(filled, 2)[0] == ["4", "3"]


def test_each_reader_walks_alone(filled: Archive) -> None:
    page(filled, 0, ROSA)
    store(filled, 6)
    page(filled, 0, TOMAS)
    assert page(filled, 2, ROSA)[0] == ["3", "2"]
    assert page(filled, 2, TOMAS)[0] == ["4", "3"]


def test_a_page_without_a_page_before_it_is_counted_off(filled: Archive) -> None:
    assert page(filled, 3)[0] == ["2", "1"]
    assert page(filled, 3)[1].behind is None


def test_an_answer_that_is_given_again_keeps_its_next_page_in_place(
    filled: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr(bookmarks.time, "time", lambda: now[0])
    _, asked = page(filled, 0)
    now[0] += bookmarks.VALID_S * 0.6
    assert search.found_again(filled, asked)
    now[0] += bookmarks.VALID_S * 0.6
    store(filled, 6)
    assert page(filled, 2)[0] == ["3", "2"]


def test_an_answer_whose_next_page_is_not_in_place_any_more_is_found_anew(
    filled: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, asked = page(filled, 0)
    now = bookmarks.time.time
    with monkeypatch.context() as later:
        later.setattr(bookmarks.time, "time", lambda: now() + bookmarks.VALID_S)
        assert not search.found_again(filled, asked)
    assert search.found_again(filled, asked)
    store(filled, 6)
    page(filled, 0)
    assert not search.found_again(filled, asked)


def test_what_comes_before_the_last_empty_page_shifts_nothing_into_it(filled: Archive) -> None:
    assert [page(filled, offset)[0] for offset in (0, 2, 4)] == [["5", "4"], ["3", "2"], ["1"]]
    store(filled, 6)
    assert page(filled, 5)[0] == []
    assert page(filled, 6)[0] == []


def test_a_walk_is_not_led_by_the_end_of_the_one_before_it(filled: Archive) -> None:
    assert walk(filled) == ["5", "4", "3", "2", "1"]
    remove(filled, 5)
    assert walk(filled) == ["4", "3", "2", "1"]
    for day in (5, 6, 7, 8):
        store(filled, day)
    assert walk(filled) == ["8", "7", "6", "5", "4", "3", "2", "1"]


def test_a_page_that_is_asked_for_alone_after_a_while_is_counted_off(
    filled: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk(filled)
    store(filled, 6)
    now = bookmarks.time.time
    monkeypatch.setattr(bookmarks.time, "time", lambda: now() + bookmarks.VALID_S)
    assert page(filled, 4)[0] == ["2", "1"]


def test_nodes_that_share_an_index_share_where_pages_end(tmp_path: Path) -> None:
    made = make_archive(tmp_path / "a")
    made.db.close()
    settings = index_settings(tmp_path, POSTGRESQL)
    ours = replace(made, db=Database(settings))
    theirs = replace(ours, db=Database(settings), settings=replace(ours.settings, cache_dir=str(tmp_path / "b")))
    for day in range(1, 7):
        store(ours, day)
    assert page(ours, 0)[0] == ["6", "5"]
    store(theirs, 7)
    assert page(theirs, 2)[0] == ["4", "3"]
    store(ours, 8)
    assert page(ours, 4)[0] == ["2", "1"]
    assert page(theirs, 0)[0] == ["8", "7"]  # the walk that counts is the last one, whoever was asked
    assert [page(node, offset)[0] for node, offset in ((ours, 2), (theirs, 4), (ours, 6))] == [
        ["6", "5"],
        ["4", "3"],
        ["2", "1"],
    ]
    theirs.db.close()
    close_archive(ours)
