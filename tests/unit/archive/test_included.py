"""Attributes that a search includes though the index does not keep them (PS3.18 8.3.4.3)."""

from io import BytesIO

import pytest

from fixtures.builders import a_code, a_series, part10
from relais.access.principals import OPERATOR
from relais.archive import Archive, included, ingest, search
from relais.archive.search import Found
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query

SLICE_THICKNESS, STUDY_DESCRIPTION, ANATOMIC_REGION = 0x00180050, 0x00081030, 0x00082218


@pytest.fixture
def filled(archive: Archive) -> Archive:
    region = a_code("39607008", "SCT", "Lung")
    region.add_new(0x00420011, "OB", bytes(5000))
    for number, ds in enumerate(a_series(3)):
        if number == 0:
            ds.AnatomicRegionSequence = [region]
        ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
    return archive


def found(archive: Archive, level: Level, *tags: int) -> Found:
    asked = search.ask(archive, OPERATOR, Query(level, return_keys=frozenset(tags)))
    return search.found(archive, asked)


def thick(rows: Found) -> list[bool]:
    return ["00180050" in row for row in rows.rows]


def test_instances_have_them_from_their_metadata(filled: Archive) -> None:
    rows = found(filled, Level.IMAGE, SLICE_THICKNESS)
    assert (thick(rows), rows.left_out) == ([True] * 3, ())


def test_what_holds_bulk_data_is_not_included(filled: Archive) -> None:
    rows = found(filled, Level.IMAGE, SLICE_THICKNESS, ANATOMIC_REGION)
    assert thick(rows) == [True] * 3
    assert not any("00082218" in row for row in rows.rows)


def test_the_metadata_are_not_read_for_what_the_index_keeps(filled: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(included, "MOST_ROWS", 0)
    rows = found(filled, Level.IMAGE, STUDY_DESCRIPTION, *included.ANSWERED)
    assert rows.left_out == ()


def test_too_many_rows_and_higher_levels_are_told(filled: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(filled, Level.STUDY, SLICE_THICKNESS).left_out == (SLICE_THICKNESS,)
    assert found(filled, Level.SERIES, SLICE_THICKNESS, STUDY_DESCRIPTION).left_out == (SLICE_THICKNESS,)
    monkeypatch.setattr(included, "MOST_ROWS", 2)
    rows = found(filled, Level.IMAGE, SLICE_THICKNESS)
    assert (thick(rows), rows.left_out) == ([False] * 3, (SLICE_THICKNESS,))


def test_an_object_that_cannot_be_read_does_not_end_the_search(filled: Archive) -> None:
    for row in search.found(filled, search.ask(filled, OPERATOR, Query(Level.IMAGE, limit=1))).rows:
        uid = row["00080018"]["Value"][0]
    (lost,) = included.lookup.by_sop_uids(filled.db, [uid])
    filled.store.delete(lost.key)
    rows = found(filled, Level.IMAGE, SLICE_THICKNESS)
    assert (len(list(rows.rows)), rows.left_out) == (3, (SLICE_THICKNESS,))
