"""Which index searches for names that very many studies bear use, as EXPLAIN QUERY PLAN says."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from fixtures.engines import only_sqlite
from fixtures.explained import WALK_FOR_NAMES, explain, explained, match
from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Match, Query
from relais.index import bearers, composite, ids, letters, nearby, plan, search, walk
from relais.index import compile as sql

pytestmark = only_sqlite("it reads EXPLAIN QUERY PLAN")

NAME, PHYSICIAN, ACCESSION, STUDY_DATE, PATIENT_ID = 0x00100010, 0x00080090, 0x00080050, 0x00080020, 0x00100020


@pytest.fixture(scope="module")
def many_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Studies of which each names another patient and physician, more of them than are counted one by one."""
    with an_index(tmp_path_factory.mktemp("names")) as db:
        db.write(lambda tx: [composite.register(tx, facts(_named(study))) for study in range(bearers.SAMPLE * 2)])
        yield db


def _named(study: int) -> JsonDataset:
    name = {"vr": "PN", "Value": [{"Alphabetic": f"A{study}^B1"}]}
    return a_dataset(study, t00100010=name, t00080090=name)


@pytest.mark.parametrize("tag", [NAME, PHYSICIAN])
@pytest.mark.parametrize("raw", ["A*", "*1*"])
def test_very_many_names_alone_are_looked_for_in_a_walk_that_looks_at_no_row(
    many_names: Database, tag: int, raw: str
) -> None:
    """A page of those who bear one of them lies nearer than all of those."""
    _, found = explained(many_names, Level.STUDY, match(tag, raw), rows=2)
    assert found[0] == WALK_FOR_NAMES, found
    assert not any("TEMP B-TREE" in line for line in found), found
    with many_names.read() as connection:
        conditions = bearers.resolved(connection, sql.conditions(Query(Level.STUDY, (match(tag, raw),))), False)
        chosen = plan.plan(connection, Level.STUDY, conditions, 2)
        whole = walk.select(Level.STUDY, chosen, [one.fragment for one in conditions])
        lines = connection.execute(f"EXPLAIN QUERY PLAN {whole.sql}", whole.params).fetchall()
    assert lines[0]["detail"] == "SCAN s USING COVERING INDEX study_names"


@pytest.mark.parametrize("raw", ["A*", "*1*", "*B1"])
def test_names_that_some_of_the_newest_studies_bear_are_not_looked_up(many_names: Database, raw: str) -> None:
    """The walk ends at the oldest study that a page should need, and looks at names only."""
    query = Query(Level.STUDY, (match(NAME, raw),))
    with many_names.read() as connection:
        conditions = sql.conditions(query)
        near = nearby.nearby(connection, conditions, 2)
        assert near is not None
        found = explain(connection, walk.select(Level.STUDY, near.plan, near.filters))
        everybody = nearby.nearby(connection, conditions, int(nearby.BY_LETTERS + 1) * bearers.SAMPLE * 2)
    assert found[0] == "SEARCH s USING INDEX study_names (date_time>?)"
    assert not any("TEMP B-TREE" in line for line in found), found
    assert everybody is None  # more are wanted than bear them: to look them up costs no more


@pytest.mark.parametrize(("raw", "fuzzy"), [("*^B1*", False), ("A*^B1", False), ("B1", True)])
def test_names_that_lack_letters_are_passed_over_in_the_index_alone(
    many_names: Database, raw: str, fuzzy: bool
) -> None:
    """The bits of letters lie in the index that is walked; only names that have all of them are looked at."""
    query = Query(Level.STUDY, (match(NAME, raw),), fuzzy=fuzzy)
    with many_names.read() as connection, patch.multiple(nearby, BY_TEXT=0, BY_WORDS=0):
        near = nearby.nearby(connection, sql.conditions(query), 2)
        assert near is not None
        walked = walk.select(Level.STUDY, near.plan, near.filters)
        found = explain(connection, walked)
        bits = letters.of_match(query.matches[0], fuzzy)
        lines = connection.execute(f"EXPLAIN QUERY PLAN {walked.sql}", walked.params).fetchall()
    assert bits and near.filters[0].params == (bits, bits)
    assert lines[0]["detail"] == "SEARCH s USING COVERING INDEX study_names (date_time>?)"
    assert not any("TEMP B-TREE" in line for line in found), found


def test_letters_tell_nothing_of_a_physician(many_names: Database) -> None:
    query = Query(Level.STUDY, (match(PHYSICIAN, "*^B1*"),))
    with many_names.read() as connection, patch.object(nearby, "BY_TEXT", 0):
        assert nearby.nearby(connection, sql.conditions(query), 2) is None


@pytest.mark.parametrize(
    "matches",
    [
        (match(NAME, "A1^B1"),),
        (match(NAME, "A*"), match(ACCESSION, "A*")),  # what else is asked may be rare among them
        (match(NAME, "*XQ*"),),
        (match(NAME, "A*"), match(STUDY_DATE, "19000101")),
        (match(NAME, '""'),),
        (match(ACCESSION, "A*"),),
        (),
    ],
)
def test_names_that_may_be_rare_are_looked_up(many_names: Database, matches: tuple[Match, ...]) -> None:
    with many_names.read() as connection:
        assert nearby.nearby(connection, sql.conditions(Query(Level.STUDY, matches)), 2) is None


@pytest.mark.parametrize(
    ("rows", "others"),
    [
        (plan.EVERYTHING, ()),  # all of them are wanted
        (2, (match(ACCESSION, "A*"),)),  # what else is asked may be rare among them
    ],
)
def test_many_names_drive_where_nothing_tells_that_a_walk_is_short(
    many_names: Database, rows: int, others: tuple[Match, ...]
) -> None:
    with patch.object(ids, "FEW", -1):
        _, found = explained(many_names, Level.STUDY, match(NAME, "A*"), *others, rows=rows)
    assert found[0] == "SEARCH s USING INDEX study_patient_name (patient_name=?)", found


@pytest.mark.parametrize(
    ("other", "drives"),
    [
        (match(PATIENT_ID, "P1"), True),
        (match(PATIENT_ID, "P*"), False),  # many have such a one
        (match(STUDY_DATE, "20240101-20991231"), False),  # walked by, not looked up
    ],
)
@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY])
@pytest.mark.parametrize(("raw", "fuzzy"), [("*1*", False), ("A1", True)])
def test_patterns_of_names_are_not_looked_up_where_a_rare_key_is_asked_with_them(
    many_names: Database, level: Level, other: Match, drives: bool, raw: str, fuzzy: bool
) -> None:
    query = Query(level, (match(NAME, raw), other), fuzzy=fuzzy, limit=5)
    with patch.object(search, "resolved", wraps=bearers.resolved) as looked_up, patch.object(plan, "RARE", 100):
        search.search(many_names, query)
    assert looked_up.called != drives
    with many_names.read() as connection:
        conditions = sql.conditions(query)
        chosen = plan.rare(connection, conditions, plan.tried(connection, level, conditions))
        if drives:
            assert chosen is not None
            found = explain(connection, walk.select(level, chosen, [one.fragment for one in conditions]))
            assert found[0].startswith("SEARCH s USING INTEGER PRIMARY KEY"), found


def test_a_name_asked_letter_by_letter_is_looked_up_first(many_names: Database) -> None:
    """That takes no longer than to look for another key."""
    conditions = sql.conditions(Query(Level.STUDY, (match(NAME, "A1^B1"), match(PATIENT_ID, "P1"))))
    with many_names.read() as connection:
        assert plan.rare(connection, conditions, plan.tried(connection, Level.STUDY, conditions)) is None


def test_patients_of_very_many_names_are_looked_for_in_a_walk_that_looks_at_no_row(many_names: Database) -> None:
    """Few of them, that is: to sort all costs less where nearly all are wanted."""
    query = Query(Level.PATIENT, (match(NAME, "A*"),))
    with many_names.read() as connection:
        conditions = bearers.resolved(connection, sql.conditions(query), False)
        filters = [one.fragment for one in conditions]
        chosen = [plan.plan(connection, Level.PATIENT, conditions, rows) for rows in (2, plan.EVERYTHING)]
        wholes = [walk.select(Level.PATIENT, one, filters) for one in chosen]
        few, every = (connection.execute(f"EXPLAIN QUERY PLAN {one.sql}", one.params).fetchall() for one in wholes)
    assert few[0]["detail"] == "SCAN s USING COVERING INDEX study_patient_id"
    assert not any("TEMP B-TREE" in row["detail"] for row in few)
    assert every[0]["detail"] == "SEARCH s USING INDEX study_patient_name (patient_name=?)"
