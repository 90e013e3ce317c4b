"""Keys that the site declared: filled from what is there, kept up with what comes, and matched as all others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.engines import only_sqlite
from fixtures.indexed import Model, a_dataset, an_index, facts, identities, pack_series, ref_of
from relais.db.database import Database, Transaction
from relais.db.settings import IndexSettings
from relais.dicom.attributes import Level, by_tag, declared
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.query_keys import match_from_text
from relais.errors import InvalidRequest
from relais.index import bearers, candidates, composite, ids, keys, plan, search
from relais.index import compile as sql

COMMENTS, OTHER_IDS, PROTOCOL, FRAME, BIRTH_TIME = 0x00104000, 0x00101000, 0x00181030, 0x00200052, 0x00100032
WEIGHT, OPERATORS, OTHER_NAMES = 0x00101030, 0x00081070, 0x00101001
DECLARED = (
    "PatientComments",
    "(0010,1000)",
    "00181030",
    "FrameOfReferenceUID",
    "PatientBirthTime",
    "PatientWeight",
    "OperatorsName",
    "OtherPatientNames",
)
LONG = "long " * 40
SAID = {
    "00104000": ("LT", ["Thorax"], ["thorax ABC"], [LONG + "a"], [LONG + "b"], ["  "]),
    "00101000": ("LO", ["A1"], ["A1", "B2"], ["B2", "", "C*3"]),
    "00181030": ("LO", ["Abdomen 5.0"], ["Angio"]),
    "00200052": ("UI", ["1.2.3"], ["1.2.4"]),
    "00100032": ("TM", ["1030"], ["103059.5"], ["soon"]),
    "00101030": ("DS", [70], [70.5], ["0070"], [7e40], ["heavy"], [None]),
    "00081070": (
        "PN",
        [{"Alphabetic": "Lefèbvre^Zoé"}],
        [{"Alphabetic": "LEROY^Zoé"}, {"Alphabetic": "Wang^Xiao", "Ideographic": "王^小明"}],
        [{"Alphabetic": "Wang^Zoe"}, {"Alphabetic": "Leroy^Xiao", "Ideographic": "李^小明"}],
    ),
    "00101001": ("PN", [{"Alphabetic": "Müller-Lefebvre^Anne Marie", "Phonetic": "miu"}], [{"Alphabetic": "^"}]),
}
ASKED = (
    (COMMENTS, ("Thorax", "thor*", "*ABC", "*o*", LONG + "a", LONG + "*", LONG + "?", "*", '""', "x")),
    (OTHER_IDS, ("A1", "B2", "B2\\A1", "C\\*3", "?2", '""')),
    (PROTOCOL, ("Angio", "A*", "*5.0", '""')),
    (FRAME, ("1.2.3", "1.2.3\\1.2.4", "9")),
    (BIRTH_TIME, ("1030", "10-11", "-1030", "1030-")),
    (WEIGHT, ("70", "70.0", "7e1", "70.50", "7e40", "9", "70\\9", '""')),
    (
        OPERATORS,
        (
            "lefebvre^zoe",
            "LE*",
            "*^zoe",
            "Wang*=王*",
            "Wang^Xiao=李^小明",
            "=王^小明",
            "王*",
            "zoe leroy",
            "xiao",
            '""',
            "*",
        ),
    ),
    (OTHER_NAMES, ("MULLER*", "marie mul", "mul anna", "miu", "*=", "==miu", "Muller*==m?u", '""')),
)
MATCHES = [found for tag, texts in ASKED for text in texts if (found := match_from_text(tag, text)) is not None]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as plain:
        made = Database(replace(plain.settings, search_keys=DECLARED))
        yield made
        made.close()


def _work(db: Database) -> int:
    steps = 0
    while keys.work(db):
        steps += 1
        assert steps < 100
    return steps


@st.composite
def _instances(draw: st.DrawFn) -> dict[str, Any]:
    ds = a_dataset(*(draw(st.integers(1, most)) for most in (3, 2, 2)))
    said = {tag: (vr, draw(st.sampled_from((None, *found)))) for tag, (vr, *found) in SAID.items()}
    return ds | {tag: {"vr": vr, "Value": found} for tag, (vr, found) in said.items() if found}


STEPS = st.lists(
    st.tuples(_instances(), st.sampled_from(("store", "store", "store", "work", "instance", "series"))), min_size=4
)


@given(
    steps=STEPS,
    asked=st.lists(st.sampled_from(MATCHES), min_size=1, max_size=2),
    few=st.sampled_from((-1, 1, 2000)),
    fuzzy=st.booleans(),
)
@settings(deadline=None, suppress_health_check=[*HealthCheck])
def test_a_declared_key_finds_what_matching_finds_after_any_history(
    db: Database, steps: list[Any], asked: list[Match], few: int, fuzzy: bool
) -> None:
    composite.reset(db)
    db.write(lambda tx: tx.execute("DELETE FROM search_key"))
    model = Model()
    for ds, step in steps:
        if step == "store":
            db.write(lambda tx, ds=ds: composite.register(tx, facts(ds)))
            model.register(ds)
        elif step == "work":
            keys.work(db)
        else:
            ref = ref_of(ds) if step == "instance" else ref_of(ds).series
            db.write(lambda tx, ref=ref: composite.remove(tx, ref))
            model.remove(ref)
    _work(db)
    db.write(_check_lists)
    with patch.object(ids, "FEW", few):
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
            mine = tuple(one for one in asked if sql.supported(level, one.tag, frozenset({one.tag})))
            query = Query(level, mine, fuzzy=fuzzy)
            assert search.unsupported(db, query) == ()
            assert identities(search.search(db, query).rows, level) == model.matching(query), query


def _check_lists(tx: Transaction) -> None:
    """Raises if anything else is listed than what rows say."""
    tags = [declared(name).tag for name in DECLARED]
    for table, level in (("study", Level.STUDY), ("series", Level.SERIES)):
        wanted = set()
        for row in tx.execute(f"SELECT id, attributes FROM {table}").fetchall():
            ds = keys.packing.unpack(bytes(row["attributes"]))
            mine = [tag for tag in tags if keys.row_level(by_tag()[tag].level) is level]
            wanted |= {(tag, row["id"], *said) for tag in mine for said in keys.said(ds, by_tag()[tag])}
        found = tx.execute(f"SELECT tag, row_fk, item, value FROM {table}_key").fetchall()
        assert sorted(tuple(row) for row in found) == sorted(wanted)


def _declaring(db: Database, *names: str) -> Database:
    return Database(replace(db.settings, search_keys=names))


def test_until_all_is_listed_a_key_is_told_not_to_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "STEP", 2)
    query = Query(Level.STUDY, (Match(COMMENTS, MatchKind.SINGLE_VALUE, ("Thorax",)),))
    with an_index(tmp_path) as plain:
        said = {"t00104000": {"vr": "LT", "Value": ["Thorax"]}}
        ones = [facts(a_dataset(study, **(said if study % 2 else {}))) for study in range(5)]
        plain.write(lambda tx: [composite.register(tx, one) for one in ones])
        db = _declaring(plain, "PatientComments")
        while True:
            assert search.unsupported(db, query) == (COMMENTS,)
            assert len(search.search(db, query).rows) == 5
            assert keys.work(db)
            if not search.unsupported(db, query):
                break
        assert not keys.work(db)
        assert len(search.search(db, query).rows) == 2
        db.close()


def test_a_key_that_is_declared_no_more_is_forgotten_and_may_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "STEP", 2)
    with an_index(tmp_path) as plain:
        said = {"t00104000": {"vr": "LT", "Value": ["Thorax"]}, "t00181030": {"vr": "LO", "Value": ["Angio"]}}
        ones = [facts(a_dataset(study, **said)) for study in range(5)]
        plain.write(lambda tx: [composite.register(tx, one) for one in ones])
        for names, left in ((DECLARED, 5), (("ProtocolName",), 0), ((), 0), (("PatientComments",), 5)):
            db = _declaring(plain, *names)
            assert _work(db) > 0
            with db.read() as connection:
                assert connection.execute("SELECT count(*) FROM study_key").fetchone()[0] == left
                assert keys.filled(connection) == {declared(name).tag for name in names}
            db.close()


@pytest.mark.parametrize(
    "name", ["Rows", "PatientName", "ProcedureCodeSequence", "StudyDate", "nonsense", "00091001", "ImageType"]
)
def test_what_cannot_be_declared_stops_the_start_and_says_what_can(name: str) -> None:
    with pytest.raises(ValueError, match="PatientComments"):
        IndexSettings(search_keys=(name,))


def test_instances_are_found_by_a_key_of_their_study_in_rows_and_in_packs(tmp_path: Path) -> None:
    said = {"t00104000": {"vr": "LT", "Value": ["Thorax"]}}
    with an_index(tmp_path) as plain:
        db = _declaring(plain, "PatientComments")
        ones = [facts(a_dataset(1, 1, 1, **said)), facts(a_dataset(1, 2, 1)), facts(a_dataset(2))]
        db.write(lambda tx: [composite.register(tx, one) for one in ones])
        _work(db)
        query = Query(Level.IMAGE, (Match(COMMENTS, MatchKind.WILD_CARD, ("Thor*",)),))
        found = search.search(db, query).rows
        assert len(found) == 2
        pack_series(db)
        assert search.search(db, query).rows == found
        db.close()


def test_a_pattern_that_its_vr_does_not_have_is_refused(db: Database) -> None:
    _work(db)
    with pytest.raises(InvalidRequest, match="wild cards"):
        search.search(db, Query(Level.SERIES, (Match(FRAME, MatchKind.WILD_CARD, ("1.2*",)),)))


@only_sqlite("it reads EXPLAIN QUERY PLAN")
@pytest.mark.parametrize(
    ("tag", "text", "index"),
    [
        (COMMENTS, "Thorax", "SEARCH k USING PRIMARY KEY (tag=? AND start=?)"),
        (COMMENTS, "Thor*", "SEARCH k USING PRIMARY KEY (tag=? AND start>? AND start<?)"),
        (COMMENTS, "*rax", "SEARCH k USING PRIMARY KEY (tag=?)"),
        (PROTOCOL, "Angio", "SEARCH k USING PRIMARY KEY (tag=? AND start=?)"),
        (WEIGHT, "70.5", "SEARCH k USING PRIMARY KEY (tag=? AND start=?)"),
        (OPERATORS, "lefebvre^zoe", "SEARCH k USING PRIMARY KEY (tag=? AND start=?)"),
        (OPERATORS, "wang*=王*", "SEARCH k USING PRIMARY KEY (tag=? AND start>? AND start<?)"),
    ],
)
def test_a_declared_key_is_looked_up_by_its_index(db: Database, tag: int, text: str, index: str) -> None:
    _work(db)
    match = match_from_text(tag, text)
    assert match is not None
    with db.read() as connection:
        conditions = bearers.resolved(connection, sql.conditions(Query(Level.SERIES, (match,)), {tag}), False)
        ((_, found),) = candidates.candidates_of(connection, conditions)
        lines = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {found.sql}", found.params)]
        assert lines[0].startswith(index), lines
        condition = conditions[0].fragment
        table = f"{'study' if tag in (COMMENTS, WEIGHT) else 'series'} AS {sql.ALIAS[by_tag()[tag].level]}"
        check = connection.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {condition.sql}", condition.params)
        assert not [row["detail"] for row in check.fetchall() if row["detail"].startswith("SCAN k")]
        chosen = plan.plan(connection, Level.SERIES, conditions)
        assert chosen.source.endswith("NOT INDEXED")
