"""Page after page of a search, while instances come in."""

from io import BytesIO

import pytest

from fixtures.builders import a_ct, part10
from relais.access.principals import OPERATOR, Principal, Protocol
from relais.archive import Archive, bookmarks, ingest, search
from relais.archive.search import Asked
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query

ROSA, TOMAS = Principal(Protocol.WEB, "rosa"), Principal(Protocol.WEB, "tomas")


def store(archive: Archive, day: int) -> None:
    ds = a_ct(PatientID=str(day), StudyDate=f"202401{day:02d}")
    ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))


def page(archive: Archive, offset: int, who: Principal = OPERATOR) -> tuple[list[str], Asked]:
    asked = search.ask(archive, who, Query(Level.STUDY, limit=2, offset=offset))
    return [row["00100020"]["Value"][0] for row in search.found(archive, asked).rows], asked


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
    search.found_again(filled, asked)
    now[0] += bookmarks.VALID_S * 0.6
    store(filled, 6)
    assert page(filled, 2)[0] == ["3", "2"]
