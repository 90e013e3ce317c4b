"""Which index each kind of search uses, as EXPLAIN QUERY PLAN says: no accidental scan, no needless sort."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from fixtures.engines import only_sqlite
from fixtures.explained import WALK, WALK_FOR_NAMES, explain, explained, match
from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database
from relais.dicom import timezones
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Match, MatchKind, Query
from relais.index import bearers, candidates, columns, composite, ids, offsets, plan, search, walk
from relais.index import compile as sql
from relais.index import page as search_page
from relais.index.dialect import listed
from relais.index.fragments import Fragment

pytestmark = only_sqlite("it reads EXPLAIN QUERY PLAN")

UID, SERIES_UID, SOP_UID = 0x0020000D, 0x0020000E, 0x00080018
PATIENT_ID, NAME, BIRTH_DATE, ACCESSION, STUDY_ID = 0x00100020, 0x00100010, 0x00100030, 0x00080050, 0x00200010
SEX, ISSUER = 0x00100040, 0x00100021
PHYSICIAN, DESCRIPTION, STUDY_DATE, TIME = 0x00080090, 0x00081030, 0x00080020, 0x00080030
MODALITIES, MODALITY, CLASSES, CLASS = 0x00080061, 0x00080060, 0x00080062, 0x00080016
REQUESTS, NUMBER, STATION, BODY_PART = 0x00400275, 0x00200011, 0x00081010, 0x00180015
SERIES_DATE, SERIES_TIME = 0x00080021, 0x00080031
SAID = (
    ("t00081030", "LO", "THORAX"),
    ("t00080030", "TM", "101112"),
    ("t00100040", "CS", "O"),
    ("t00100021", "LO", "NORTH"),
    ("t00080021", "DA", "20240102"),
    ("t00080031", "TM", "101112.5"),
    ("t00081010", "SH", "CT1"),
    ("t00080201", "SH", "+0100"),
)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        said = {tag: {"vr": vr, "Value": [value]} for tag, vr, value in SAID}
        db.write(lambda tx: [composite.register(tx, facts(a_dataset(study, **said))) for study in range(10)])
        yield db


def _scans(lines: list[str]) -> list[str]:
    """Steps that look at every row of a table (a SCAN of a virtual table with an index, or of json, is none)."""
    innocent = ("VIRTUAL TABLE INDEX 0:", "json_each", WALK, WALK_FOR_NAMES)
    return [line for line in lines if line.startswith("SCAN") and not any(word in line for word in innocent)]


@pytest.mark.parametrize(
    ("match", "index"),
    [
        (match(UID, "1.2.3"), "sqlite_autoindex_study_1 (study_instance_uid=?)"),
        (match(UID, "1.2.3\\1.2.4"), "sqlite_autoindex_study_1 (study_instance_uid=?)"),
        (match(PATIENT_ID, "P1"), "study_patient_id (patient_id=?)"),
        (match(PATIENT_ID, "P1*"), "study_patient_id (patient_id>? AND patient_id<?)"),
        (match(PATIENT_ID, '""'), "study_patient_id (patient_id=?)"),
        (match(PATIENT_ID, "*123*"), "study_trigram VIRTUAL TABLE INDEX 0:M"),
        (match(PATIENT_ID, "*123*4"), "study_trigram VIRTUAL TABLE INDEX 0:G0"),
        (match(PATIENT_ID, "*abc*\\*ABC*"), "study_trigram VIRTUAL TABLE INDEX 0:M"),
        (match(ACCESSION, "A1"), "study_accession_number (accession_number=?)"),
        (match(ACCESSION, "A*"), "study_accession_number (accession_number>? AND accession_number<?)"),
        (match(ACCESSION, "*123?4"), "study_trigram VIRTUAL TABLE INDEX 0:G1"),
        (match(DESCRIPTION, "*THORAX*"), "study_label VIRTUAL TABLE INDEX 0:M"),
        (match(DESCRIPTION, "*HO*"), "study_label VIRTUAL TABLE INDEX 0:M"),
        (match(DESCRIPTION, "THORAX"), "study_label VIRTUAL TABLE INDEX 0:M"),
        (match(TIME, "101112"), "study_label VIRTUAL TABLE INDEX 0:M"),
        (match(SEX, "O"), "study_label VIRTUAL TABLE INDEX 0:M"),
        (match(ISSUER, "NORTH"), "study_label VIRTUAL TABLE INDEX 0:M"),
        (match(STUDY_ID, "1"), "study_study_id (study_id=?)"),
        (match(BIRTH_DATE, "19600101"), "study_patient_birth_date (patient_birth_date>? AND patient_birth_date<?)"),
        (match(MODALITIES, "CT\\MR"), "PRIMARY KEY (modality=?)"),
        (match(CLASSES, "1.2.3"), "study_sop_class_uid (sop_class_uid=?)"),
    ],
)
def test_a_key_that_names_few_studies_drives_through_its_index(db: Database, match: Match, index: str) -> None:
    tries, found = explained(db, Level.STUDY, match)
    assert any(index in line for line in tries), tries
    assert found[0].startswith("SEARCH s USING INTEGER PRIMARY KEY"), found
    assert _scans(tries + found) == []


@contextmanager
def _nothing_is_few() -> Iterator[None]:
    with patch.object(ids, "FEW", -1), patch.object(bearers, "MANY_NAMES", -1):
        yield


@pytest.mark.parametrize("raw", ["LEFEBVRE^ZOE", "LEFEBVRE*", "*FEB*", '""', "*EB*", "L?FEB*"])
@pytest.mark.parametrize("tag", [NAME, PHYSICIAN])
def test_who_bears_a_name_is_found_and_sorted_by_its_index_alone(db: Database, tag: int, raw: str) -> None:
    _, found = explained(db, Level.STUDY, match(tag, raw))
    column = "patient_name" if tag == NAME else "referring_physician_name"
    assert found[0] == f"SEARCH s USING INDEX study_{column} ({column}=?)", found
    with db.read() as connection:
        conditions = bearers.resolved(connection, sql.conditions(Query(Level.STUDY, (match(tag, raw),))), False)
        chosen = plan.plan(connection, Level.STUDY, conditions)
        whole = walk.select(Level.STUDY, chosen, [one.fragment for one in conditions])
        lines = connection.execute(f"EXPLAIN QUERY PLAN {whole.sql}", whole.params).fetchall()
    assert f"COVERING INDEX study_{column}" in lines[0]["detail"]


def test_names_and_dates_drive_together(db: Database) -> None:
    _, found = explained(db, Level.STUDY, match(NAME, "LEF*"), match(STUDY_DATE, "20240101-20240131"))
    wanted = "SEARCH s USING INDEX study_patient_name (patient_name=? AND date_time>? AND date_time<?)"
    assert found[0] == wanted, found


def test_a_rarer_key_drives_before_a_name(db: Database) -> None:
    with patch.object(plan, "RARE", 0):
        _, found = explained(db, Level.STUDY, match(NAME, "LEF*"), match(ACCESSION, "A1"))
    assert found[0].startswith("SEARCH s USING INTEGER PRIMARY KEY"), found


@pytest.mark.parametrize(
    ("raw", "index"),
    [
        ("LEFEBVRE^ZOE", "sqlite_autoindex_person_name_1 (alphabetic=?)"),
        ("LEF*", "sqlite_autoindex_person_name_1 (alphabetic>? AND alphabetic<?)"),
        ("*FEB*", "person_name_trigram VIRTUAL TABLE INDEX 0:M"),
        ("*FEB*^Z*", "person_name_trigram VIRTUAL TABLE INDEX 0:G0"),
        ("*FEB*^Z*", "person_name_trigram VIRTUAL TABLE INDEX 0:G1"),
        ("*FEB*^Z*", "person_name_trigram VIRTUAL TABLE INDEX 0:G2"),
        ("=山田*", "person_name_ideographic (ideographic>? AND ideographic<?)"),
        ("==やま*", "person_name_phonetic (phonetic>? AND phonetic<?)"),
        ("=*田*", "person_name_ideographic"),  # two letters have no trigram: the few ideographic names are read
    ],
)
def test_names_are_found_in_their_dictionary_first(db: Database, raw: str, index: str) -> None:
    with db.read() as connection:
        plans = [explain(connection, one) for one in bearers.name_candidates(match(NAME, raw), fuzzy=False)]
    assert any(index in line for lines in plans for line in lines), plans


@pytest.mark.parametrize("raw", ["*EB*", "*FEB*", "*LEFEBVRE*"])
def test_letters_of_a_word_can_be_found_among_the_distinct_words(db: Database, raw: str) -> None:
    """As a server finds them; two letters are found so everywhere."""
    [found] = bearers.name_candidates(match(NAME, raw), fuzzy=False, by_words=True)
    with db.read() as connection:
        assert "SEARCH w USING PRIMARY KEY (word=?)" in explain(connection, found)
        assert ids.few(connection, found) == bearers.name_ids(connection, match(NAME, raw), fuzzy=False) != []


def test_fuzzy_names_are_found_by_the_beginnings_of_their_words(db: Database) -> None:
    fragments = bearers.name_candidates(match(NAME, "zoe lef"), fuzzy=True)
    with db.read() as connection:
        lines = explain(connection, fragments[-1])
    assert sum("SEARCH w USING PRIMARY KEY (word>? AND word<?)" in line for line in lines) == 2, lines


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_without_a_key_the_newest_studies_come_first_without_a_sort(db: Database, level: Level) -> None:
    _, found = explained(db, level)
    assert found[0] == WALK
    assert not any("TEMP B-TREE" in line for line in found), found
    assert _scans(found) == []


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_keys_that_name_many_studies_filter_a_walk_from_the_newest(db: Database, level: Level) -> None:
    with _nothing_is_few():
        _, found = explained(db, level, match(ACCESSION, "A*"), match(TIME, "10-12"))
        _, named = explained(db, level, match(NAME, "*e*"), match(ACCESSION, "A*"))
    assert (found[0], named[0]) == (WALK, WALK_FOR_NAMES)
    assert not any("TEMP B-TREE" in line for line in found + named), found + named


def test_a_study_date_bounds_the_walk(db: Database) -> None:
    _, found = explained(db, Level.STUDY, match(STUDY_DATE, "20240101-20240131"))
    assert found == ["SEARCH s USING INDEX study_date_time (date_time>? AND date_time<?)"]


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_one_common_modality_is_walked_in_its_own_index(db: Database, level: Level) -> None:
    asked = MODALITIES if level is Level.STUDY else MODALITY
    with _nothing_is_few():
        _, found = explained(db, level, match(asked, "CT"), match(STUDY_DATE, "20240101-"))
    assert found[0] == "SEARCH d USING PRIMARY KEY (modality=? AND date_time>? AND date_time<?)", found
    assert not any("TEMP B-TREE" in line for line in found), found


@pytest.mark.parametrize(
    ("level", "match", "first"),
    [
        (Level.SERIES, match(SERIES_UID, "1.2.3.4"), "SEARCH e USING INTEGER PRIMARY KEY"),
        (Level.IMAGE, match(SERIES_UID, "1.2.3.4"), "SEARCH e USING INTEGER PRIMARY KEY"),
        (Level.IMAGE, match(SOP_UID, "1.2.3.4.5"), "SEARCH e USING INTEGER PRIMARY KEY"),
        (Level.SERIES, match(UID, "1.2.3"), "SEARCH s USING INTEGER PRIMARY KEY"),
        (Level.IMAGE, match(UID, "1.2.3"), "SEARCH s USING INTEGER PRIMARY KEY"),
        (Level.IMAGE, match(CLASS, "1.2.3"), "SEARCH s USING INTEGER PRIMARY KEY"),
    ],
)
def test_lower_levels_start_from_the_row_that_the_key_names(
    db: Database, level: Level, match: Match, first: str
) -> None:
    tries, found = explained(db, level, match)
    assert found[0].startswith(first), found
    assert _scans(tries + found) == []


@pytest.mark.parametrize(
    "match",
    [
        match(NUMBER, "1"),
        match(SERIES_DATE, "20240101-20240131"),
        match(SERIES_TIME, "10-11"),
        match(SERIES_TIME, "101112.5"),
        match(STATION, "*T1"),
        match(STATION, "CT1\\CT2"),
        match(BODY_PART, '""'),
    ],
)
@pytest.mark.parametrize("level", [Level.SERIES, Level.IMAGE])
def test_what_series_say_is_found_by_labels(db: Database, level: Level, match: Match) -> None:
    tries, found = explained(db, level, match)
    assert any("SEARCH l USING" in line and "(tag=?" in line for line in _explain_labels(db, match)), match
    assert tries[-1] == "SCAN series_label VIRTUAL TABLE INDEX 0:M1", tries
    assert found[0].startswith("SEARCH e USING INTEGER PRIMARY KEY"), found
    assert len(search.search(db, Query(level, (match,))).rows) == 10


def _explain_labels(db: Database, match: Match) -> list[str]:
    column = next(one for one in columns.label_columns(Level.SERIES) if one.tag == match.tag)
    with db.read() as connection:
        condition = candidates.label_condition(column, match)
        assert condition is not None
        return explain(connection, condition)


def test_a_time_in_a_zone_of_ones_own_is_found_by_labels(db: Database) -> None:
    known = offsets.known(db)
    assert known is not None
    wide = timezones.widened(Query(Level.STUDY, (match(TIME, "1111"),)), timezones.distances_to("+0200", known))
    tries, found = explained(db, Level.STUDY, *wide.matches)
    assert tries == ["SCAN study_label VIRTUAL TABLE INDEX 0:M1"]
    assert found[0].startswith("SEARCH s USING INTEGER PRIMARY KEY"), found
    assert len(search.search(db, wide).rows) == 10


def test_studies_whose_offset_is_not_listed_are_found_by_their_index(db: Database) -> None:
    with db.read() as connection:
        lines = explain(connection, Fragment(offsets.SQL["unread"].removesuffix("LIMIT ?")))
    assert lines == ["SCAN study USING INDEX study_offset"]


def test_several_labels_are_looked_up_together_where_each_is_frequent(db: Database) -> None:
    with patch.object(candidates, "RARE", 9):
        tries, found = explained(db, Level.STUDY, match(TIME, "101112"), match(SEX, "O"), match(DESCRIPTION, "*O*"))
    assert len([line for line in tries if "study_label" in line]) == 1, tries
    assert _scans(tries + found) == []


def test_a_rare_label_drives_and_the_long_list_of_a_frequent_one_is_not_read(tmp_path: Path) -> None:
    """Nine studies say the same; one of them also what no other does."""
    word, number = {"vr": "LO", "Value": ["THORAX"]}, {"vr": "LO", "Value": ["NORTH"]}
    said: list[dict[str, JsonDataset]] = [{"t00081030": word}] * 8 + [{"t00081030": word, "t00100021": number}]
    description, issuer = match(DESCRIPTION, "*O*"), match(ISSUER, "NORTH")
    with an_index(tmp_path) as db, patch.object(candidates, "RARE", 5):
        db.write(lambda tx: [composite.register(tx, facts(a_dataset(at, **one))) for at, one in enumerate(said)])
        with db.read() as connection:
            alone = candidates.by_labels(connection, Level.STUDY, [issuer])
            assert alone is not None
            rare = ids.few(connection, alone)
            assert rare is not None and len(rare) == 1
            assert candidates.by_labels(connection, Level.STUDY, [description, issuer]) == listed(rare)
        tries, found = explained(db, Level.STUDY, description, issuer)
        assert len(search.search(db, Query(Level.STUDY, (description, issuer))).rows) == 1
    assert not any("study_label" in line for line in tries), tries
    assert found[0].startswith("SEARCH s USING INTEGER PRIMARY KEY"), found


@pytest.mark.parametrize(
    ("levels", "asked"),
    [
        ("SERIES IMAGE", (match(STATION, "NOWHERE"),)),
        ("STUDY SERIES IMAGE", (match(ACCESSION, "NONE"),)),
        ("PATIENT STUDY SERIES IMAGE", (match(NAME, "NOBODY*"),)),
        ("STUDY SERIES IMAGE", (match(NAME, "LEF*"), match(TIME, "0101"))),
    ],
)
def test_what_nothing_satisfies_is_not_searched(db: Database, levels: str, asked: tuple[Match, ...]) -> None:
    for level in map(Level, levels.split()):
        with patch.object(walk, "select", side_effect=AssertionError):
            assert search.search(db, Query(level, asked)) == search.Page([], more=False)


def test_a_condition_that_very_many_labels_satisfy_is_frequent(db: Database) -> None:
    with patch.object(candidates, "MAX_LABELS", 0):
        _, found = explained(db, Level.STUDY, match(SEX, "O"))
    assert found[0] == WALK


@pytest.mark.parametrize("keyword", ["AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID"])
def test_the_keys_of_a_request_have_an_index(db: Database, keyword: str) -> None:
    inner = {"AccessionNumber": 0x00080050, "RequestedProcedureID": 0x00401001, "ScheduledProcedureStepID": 0x00400009}
    one = match(inner[keyword], "X1")
    tries, found = explained(db, Level.SERIES, Match(REQUESTS, MatchKind.SEQUENCE, items=(one,)))
    assert any("SEARCH r USING INDEX series_request_" in line for line in tries), tries
    assert found[0].startswith("SEARCH e USING INTEGER PRIMARY KEY"), found


def test_patients_are_read_in_the_order_of_their_index(db: Database) -> None:
    _, found = explained(db, Level.PATIENT)
    assert found == ["SCAN s USING INDEX study_patient_id"]


def test_what_patients_say_is_read_by_their_index(db: Database) -> None:
    statement = search_page.SQL["patients"].replace("'filters'", "1")
    with db.read() as connection:
        lines = explain(connection, Fragment(statement, ('[["P1", ""]]',)))
    wanted = "SEARCH {} USING INDEX study_patient_id (patient_id=? AND issuer_of_patient_id=?)"
    assert [line for line in lines if line.startswith("SEARCH")] == [wanted.format(one) for one in ("each", "s")], lines


def test_studies_are_counted_off_from_the_oldest_by_the_same_index(db: Database) -> None:
    with db.read() as connection:
        statement = walk.oldest_first(plan.plan(connection, Level.STUDY, []))
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", (10, 5))
        lines = [row["detail"] for row in rows]
    assert any("SCAN s USING COVERING INDEX study_date_time" in line for line in lines), lines
    assert not any("TEMP B-TREE" in line for line in lines), lines


def test_a_stream_goes_on_by_the_same_indexes(db: Database) -> None:
    with db.read() as connection:
        for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
            chosen = plan.plan(connection, level, [])
            for where, position in walk.behind(level, chosen, (20240101000000, 5, 1, 5, 1, 5)):
                lines = explain(connection, walk.select(level, where, [position]))
                assert not any(line.startswith("SCAN") for line in lines), lines


def test_an_arriving_instance_meets_what_is_there_by_unique_indexes_only(db: Database) -> None:
    with db.read() as connection:
        lines = explain(connection, Fragment(composite.SQL["find"], ("",) * 10))
    assert [line for line in lines if line.startswith("SCAN")] == ["SCAN totals"], lines  # it has one row
    assert sum(line.startswith("SEARCH") for line in lines) == 8, lines
