"""Pages, streams and return keys. That the right rows are found is told in test_search_agrees."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from fixtures.indexed import CT, EXPLICIT, a_dataset, an_index, facts, pack_series
from relais.db.database import Database
from relais.dicom.attributes import TABLE, Level, Use
from relais.dicom.json_model import JsonDataset, tag_key, text
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import StudyRef
from relais.errors import TooBroad
from relais.index import composite, images, nearby, search

UID, SERIES_UID, SOP_UID, NAME, MODALITY, ROWS = 0x0020000D, 0x0020000E, 0x00080018, 0x00100010, 0x00080060, 0x00280010
DESCRIPTION, COMMENTS, REQUESTS = 0x00081030, 0x00104000, 0x00400275


def _date(day: int) -> dict[str, object]:
    return {"vr": "DA", "Value": [f"202401{day:02d}"]}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with an_index(tmp_path) as db:
        yield db


def _register(db: Database, *numbers: tuple[int, int, int], **more: object) -> None:
    ones = [facts(a_dataset(*three, **more)) for three in numbers]
    db.write(lambda tx: [composite.register(tx, one) for one in ones])


def _uids(rows: list, tag: int) -> list[str | None]:
    return [text(row, tag) for row in rows]


def test_studies_come_newest_first_and_without_a_date_last(db: Database) -> None:
    for study, day in ((1, 5), (2, 9), (3, 7)):
        _register(db, (study, 1, 1), t00080020=_date(day))
    _register(db, (4, 1, 1))
    _register(db, (5, 1, 1), t00080020=_date(9), t00080030={"vr": "TM", "Value": ["10"]})
    found = search.search(db, Query(Level.STUDY))
    assert _uids(found.rows, UID) == ["1.2.5", "1.2.2", "1.2.3", "1.2.1", "1.2.4"]


def test_series_and_instances_come_by_number_inside_their_study(db: Database) -> None:
    _register(db, (1, 2, 2), (1, 2, 1), (1, 1, 11), (1, 1, 2), t00080020=_date(1))
    _register(db, (2, 1, 1), t00080020=_date(2))
    assert _uids(search.search(db, Query(Level.SERIES)).rows, SERIES_UID) == ["1.2.2.1", "1.2.1.1", "1.2.1.2"]
    instances = search.search(db, Query(Level.IMAGE)).rows
    assert _uids(instances, SOP_UID) == ["1.2.2.1.1", "1.2.1.1.2", "1.2.1.1.11", "1.2.1.2.1", "1.2.1.2.2"]


@pytest.mark.parametrize("limit", [1, 3, None])
@pytest.mark.parametrize("offset", range(9))
def test_any_page_of_all_studies_is_a_slice_of_them(db: Database, limit: int | None, offset: int) -> None:
    """Counted off from either end."""
    for study in range(7):
        _register(db, (study, 1, 1), **({"t00080020": _date(1 + study // 3)} if study < 6 else {}))
    whole = _uids(search.search(db, Query(Level.STUDY)).rows, UID)
    found = search.search(db, Query(Level.STUDY, limit=limit, offset=offset))
    end = len(whole) if limit is None else offset + limit
    assert _uids(found.rows, UID) == whole[offset:end]
    assert found.more == (end < len(whole))


@pytest.mark.parametrize("level", Level)
def test_pages_and_streams_together_are_the_whole_answer(db: Database, level: Level) -> None:
    for study in range(5):
        _register(
            db, *((study, series, number) for series in (1, 2) for number in (1, 2)), t00080020=_date(study % 2 + 1)
        )
    whole = search.search(db, Query(level)).rows
    assert len(whole) == {Level.PATIENT: 5, Level.STUDY: 5, Level.SERIES: 10, Level.IMAGE: 20}[level]
    pages, offset = [], 0
    while True:
        page = search.search(db, Query(level, limit=3, offset=offset))
        pages += page.rows
        offset += 3
        if not page.more:
            break
    assert pages == whole
    for batch in (1, 2, 3, 7, 100):
        assert list(search.stream(db, Query(level), batch)) == whole
        assert list(search.stream(db, Query(level, limit=4, offset=1), batch)) == whole[1:5]


def test_more_is_said_only_when_there_is_more(db: Database) -> None:
    _register(db, (1, 1, 1), (2, 1, 1))
    assert search.search(db, Query(Level.STUDY, limit=1)).more
    assert not search.search(db, Query(Level.STUDY, limit=2)).more
    assert search.search(db, Query(Level.STUDY, limit=0)) == search.Page([], True)
    assert not search.search(db, Query(Level.STUDY, limit=1, offset=1)).more


def test_a_stream_holds_no_read_open_and_sees_each_row_once_while_others_write(db: Database) -> None:
    _register(db, *((study, 1, 1) for study in range(6)))
    stream = search.stream(db, Query(Level.STUDY), batch=2)
    seen = [text(next(stream), UID) for _ in range(3)]
    db.write(lambda tx: composite.remove(tx, StudyRef("1.2.0")))
    _register(db, (9, 1, 1))
    seen += [text(row, UID) for row in stream]
    assert seen == ["1.2.5", "1.2.4", "1.2.3", "1.2.2", "1.2.1"]
    if not db.is_postgresql:
        with db.read() as connection:
            assert connection.execute("PRAGMA wal_checkpoint(PASSIVE)") is not None


# Return keys


def test_required_attributes_are_there_even_when_they_are_empty(db: Database) -> None:
    _register(db, (1, 1, 1))
    for level, above in ((Level.STUDY, [Level.PATIENT]), (Level.SERIES, [Level.PATIENT, Level.STUDY])):
        row = search.search(db, Query(level)).rows[0]
        wanted = {r.tag for r in TABLE if r.level in above and r.use in (Use.UNIQUE, Use.REQUIRED)}
        wanted |= {r.tag for r in TABLE if r.level is level and r.use in (Use.UNIQUE, Use.REQUIRED, Use.DERIVED)}
        assert set(row) == {tag_key(tag) for tag in wanted - {0x00080062}}
        assert list(row) == sorted(row)
    assert row["00080050"] == {"vr": "SH"}


def test_conditional_attributes_are_there_when_they_are_known_or_asked_for(db: Database) -> None:
    """PS3.18 tables 10.6.3-3 to 10.6.3-5: type C, shall be present if known."""
    _register(db, (1, 1, 1), t00080201={"vr": "SH", "Value": ["+0100"]}, t0008103E={"vr": "LO", "Value": ["axial"]})
    _register(db, (2, 1, 1))
    known, unknown = sorted(search.search(db, Query(Level.IMAGE)).rows, key=lambda row: str(row[tag_key(UID)]))
    assert known["00080201"]["Value"] == ["+0100"]
    assert known["0008103E"]["Value"] == ["axial"]
    assert {"00080201", "0008103E", tag_key(ROWS)}.isdisjoint(unknown)
    asked = search.search(db, Query(Level.IMAGE, return_keys=frozenset({ROWS}))).rows
    assert [row[tag_key(ROWS)] for row in asked] == [{"vr": "US"}] * 2


def test_modalities_in_study_is_left_out_where_there_is_none(db: Database) -> None:
    """A viewer's whole study list breaks on one that is there without a value."""
    _register(db, (1, 1, 1), t00080060={"vr": "CS"})
    for query in (Query(Level.STUDY), Query(Level.STUDY, all_keys=True)):
        assert "00080061" not in search.search(db, query).rows[0]
    row = search.search(db, Query(Level.STUDY, return_keys=frozenset({0x00080061}))).rows[0]
    assert row["00080061"] == {"vr": "CS"}, "who names it has asked for it"


def test_an_optional_attribute_comes_when_it_is_asked_for(db: Database) -> None:
    _register(db, (1, 1, 1), t00081030={"vr": "LO", "Value": ["Thorax"]})
    assert tag_key(DESCRIPTION) not in search.search(db, Query(Level.STUDY)).rows[0]
    asked = Query(Level.STUDY, return_keys=frozenset({DESCRIPTION, COMMENTS}))
    row = search.search(db, asked).rows[0]
    assert row[tag_key(DESCRIPTION)]["Value"] == ["Thorax"]
    assert row[tag_key(COMMENTS)] == {"vr": "LT"}


def test_everything_kept_comes_when_all_is_asked_for_but_never_a_lower_level(db: Database) -> None:
    kept = {"t00081030": {"vr": "LO", "Value": ["Thorax"]}, "t00280010": {"vr": "US", "Value": [512]}}
    _register(db, (1, 1, 1), **kept)
    study = search.search(db, Query(Level.STUDY, all_keys=True)).rows[0]
    assert study[tag_key(DESCRIPTION)]["Value"] == ["Thorax"]
    assert tag_key(MODALITY) not in study
    asked = Query(Level.STUDY, return_keys=frozenset({MODALITY, ROWS}))
    assert {tag_key(MODALITY), tag_key(ROWS)}.isdisjoint(search.search(db, asked).rows[0])
    instance = search.search(db, Query(Level.IMAGE, all_keys=True)).rows[0]
    assert instance[tag_key(ROWS)]["Value"] == [512]
    assert instance[tag_key(DESCRIPTION)]["Value"] == ["Thorax"]


def test_counts_and_sets_are_those_of_now(db: Database) -> None:
    _register(db, (1, 1, 1), (1, 1, 2), (1, 2, 1))
    _register(db, (1, 3, 1), t00080060={"vr": "CS", "Value": ["SR"]}, t00080016={"vr": "UI", "Value": ["1.2.3"]})
    study = search.search(db, Query(Level.STUDY)).rows[0]
    assert study["00080061"]["Value"] == ["CT", "SR"]
    assert "00080062" not in study
    for asked in (Query(Level.STUDY, return_keys=frozenset({0x00080062})), Query(Level.STUDY, all_keys=True)):
        assert search.search(db, asked).rows[0]["00080062"]["Value"] == sorted([CT, "1.2.3"])
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([3], [4])
    series = search.search(db, Query(Level.SERIES)).rows[0]
    assert series["00201209"]["Value"] == [2]
    assert search.search(db, Query(Level.IMAGE)).rows[0]["00080016"]["Value"] == [CT]


def test_a_patient_is_counted_over_all_studies_also_when_one_is_asked_for(db: Database) -> None:
    same = {"t00100020": {"vr": "LO", "Value": ["SAME"]}}
    _register(db, (1, 1, 1), (1, 2, 1), **same)
    _register(db, (2, 1, 1), t00080020=_date(3), t00100040={"vr": "CS", "Value": ["F"]}, **same)
    found = search.search(db, Query(Level.PATIENT))
    assert len(found.rows) == 1
    patient = found.rows[0]
    assert patient["00100040"]["Value"] == ["F"]  # as the newest study says
    counts = [patient[tag]["Value"][0] for tag in ("00201200", "00201202", "00201204")]
    assert counts == [2, 3, 3]
    asked = Query(Level.STUDY, return_keys=frozenset({0x00201200}))
    assert [row["00201200"]["Value"] for row in search.search(db, asked).rows] == [[2], [2]]


def test_one_id_of_two_issuers_is_two_patients(db: Database) -> None:
    for study, issuer in ((1, "NORTH"), (2, "SOUTH"), (3, "SOUTH")):
        said = {"t00100020": {"vr": "LO", "Value": ["1"]}, "t00100021": {"vr": "LO", "Value": [issuer]}}
        _register(db, (study, 1, 1), **said)
    found = search.search(db, Query(Level.PATIENT, return_keys=frozenset({0x00100021}))).rows
    assert [(text(row, 0x00100021), row["00201200"]["Value"]) for row in found] == [("NORTH", [1]), ("SOUTH", [2])]


def test_an_instance_says_in_which_transfer_syntax_it_is_kept(db: Database) -> None:
    _register(db, (1, 1, 1))
    row = search.search(db, Query(Level.IMAGE, all_keys=True, return_keys=frozenset({0x00083002}))).rows[0]
    assert row["00083002"]["Value"] == [EXPLICIT]


# What is not matched


def test_keys_that_are_not_matched_are_named(db: Database) -> None:
    def one(tag: int) -> Match:
        return Match(tag, MatchKind.SINGLE_VALUE, ("x",))

    inner = Match(REQUESTS, MatchKind.SEQUENCE, items=(one(0x00401001), one(0x00400007)))
    query = Query(Level.SERIES, (one(UID), one(MODALITY), one(ROWS), one(COMMENTS), one(0x00091001), inner))
    assert search.unsupported(db, query) == (ROWS, COMMENTS, 0x00091001, 0x00400007)
    assert search.unsupported(db, Query(Level.STUDY, (one(MODALITY), one(0x00080061), one(0x00080062)))) == (MODALITY,)
    assert search.supported(Level.IMAGE, NAME)
    assert not search.supported(Level.STUDY, SERIES_UID)
    _register(db, (1, 1, 1))
    unheard = Query(Level.STUDY, (one(ROWS), one(COMMENTS)))
    assert len(search.search(db, unheard).rows) == 1


def test_a_search_for_instances_ends_at_its_time_limit_whatever_it_has_seen(db: Database) -> None:
    _register(db, *((study, 1, 1) for study in range(5)))
    query = Query(Level.IMAGE, (Match(ROWS, MatchKind.SINGLE_VALUE, ("4711",)),))
    slow = Database(replace(db.settings, read_timeout_s=2.0))
    with patch.object(images, "FIRST", 1), patch.object(images, "MOST", 1), patch.object(images, "matches", _slowly):
        pack_series(db)
        with pytest.raises(TooBroad, match="too long"):
            search.search(slow, query)
    assert search.search(slow, query).rows == []
    slow.close()


def _slowly(ds: JsonDataset, query: Query) -> bool:
    time.sleep(0.9)
    return False


def test_windows_of_series_grow_so_that_a_page_of_short_ones_takes_few_steps(tmp_path: Path) -> None:
    """Each step is some questions to a server."""
    with an_index(tmp_path) as db:
        db.write(lambda tx: [composite.register(tx, facts(a_dataset(study))) for study in range(60)])
        spy = patch.object(images.Instances, "_found", autospec=True, side_effect=images.Instances._found)
        with spy as found:
            assert len(search.search(db, Query(Level.IMAGE, limit=50)).rows) == 50
    assert [len(call.args[1]) for call in found.call_args_list] == [2, 8, 32, 18]


def _name_of(study: int) -> str:
    return f"A{study}^A{study}" if study >= 50 or study < 20 else f"B{study}^B-A{study}"


@pytest.mark.parametrize("raw", ["A*", "*^A*"])  # by texts of names, by letters
def test_frequent_names_are_found_near_and_where_they_are_not_near_after_all(tmp_path: Path, raw: str) -> None:
    """The newest ten are called as asked, then nobody for long, then everybody."""
    with an_index(tmp_path) as db:
        for study in range(60):
            name = {"vr": "PN", "Value": [{"Alphabetic": _name_of(study)}]}
            date = {"vr": "DA", "Value": [f"2024{study // 28 + 1:02d}{study % 28 + 1:02d}"]}
            said = {"t00100010": name, "t00080020": date}
            db.write(lambda tx, study=study, said=said: composite.register(tx, facts(a_dataset(study, **said))))
        asked = Match(NAME, MatchKind.WILD_CARD, (raw,))
        with patch.multiple(nearby, PROBED=10, MORE_PROBED=10, DOUBT=1, BY_TEXT=1000, BY_SERVER=1000):
            for limit in (1, 4, 9, 10, 11, 29, 30, 31):
                found = search.search(db, Query(Level.STUDY, (asked,), limit=limit))
                names = [one["00100010"]["Value"][0]["Alphabetic"] for one in found.rows]
                assert names == [_name_of(study) for study in [*range(59, 49, -1), *range(19, -1, -1)][:limit]]
                assert found.more == (limit < 30)
