"""The crown jewel: SQL search finds what dicom.matching finds, whatever is stored, in any order, by any plan."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.indexed import Model, an_index, check_labels, facts, identities, pack_series, ref_of
from fixtures.strategies import cases, held
from relais.db.database import Database, Transaction
from relais.dicom.attributes import LEVELS
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query
from relais.index import bearers, candidates, composite, ids, nearby, plan, search, statistics

ISSUER = 0x00100021  # a patient is named by ID and issuer, if it has an ID
FEW = st.sampled_from((-1, 0, 1, 2000))  # how many rows are few: -1 walks always, 2000 hardly ever
once_per_session = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        yield db


def _load(db: Database, datasets: list[JsonDataset]) -> Model:
    composite.reset(db)
    model = Model()
    for ds in datasets:
        model.register(ds)
    db.write(lambda tx: [composite.register(tx, facts(ds)) for ds in datasets])
    return model


def _found(db: Database, query: Query) -> set[tuple[str, ...]]:
    query = replace(query, return_keys=frozenset({ISSUER}))
    page = search.search(db, query).rows
    streamed = list(search.stream(db, query, batch=2))
    assert streamed == page
    found = identities(page, query.level)
    assert len(found) == len(page)
    return found


@contextmanager
def _few(number: int) -> Iterator[None]:
    """*number* rows are few and as many names or bearers of names are not too many; -1 looks up nothing.

    A walk nearby is always worth it, by texts of names where nothing is looked up.
    """
    by_text = 1 / (number + 1) if number >= 0 else plan.EVERYTHING
    with (
        patch.object(ids, "FEW", number),
        patch.object(bearers, "MANY_NAMES", number),
        patch.object(bearers, "SAMPLE", 1),
        patch.object(plan, "MANY", number),
        patch.object(plan, "RARE", number // 2),
        patch.object(candidates, "RARE", number // 2),
        patch.multiple(nearby, PROBED=1, MORE_PROBED=2, BY_LETTERS=plan.EVERYTHING),
        patch.multiple(nearby, BY_TEXT=by_text, BY_WORDS=by_text, BY_SERVER=by_text),
    ):
        yield


@given(case=cases(), few=FEW, packed=st.integers(0, 3))
@once_per_session
def test_search_finds_what_matching_finds(db: Database, case: tuple, few: int, packed: int) -> None:
    studies, queries = case
    model = _load(db, [ds for study in studies for ds in held(study)])
    pack_series(db, lambda number: number % 3 != packed)
    with _few(few):
        for query in queries:
            assert _found(db, query) == model.matching(query), query


@given(case=cases(), few=FEW, data=st.data())
@once_per_session
def test_search_agrees_after_deletes_and_stores_in_any_order(
    db: Database, case: tuple, few: int, data: st.DataObject
) -> None:
    studies, queries = case
    datasets = [_with_holes(ds, data) for study in studies for ds in held(study)]
    model = _load(db, [])
    for ds in data.draw(st.lists(st.sampled_from(datasets), max_size=12)):
        depth = data.draw(st.integers(-6, 2))
        if depth < -4:
            pack_series(db, lambda number, depth=depth: number % 2 == depth % 2)
        elif depth < 0:
            db.write(lambda tx, ds=ds: composite.register(tx, facts(ds)))
            model.register(ds)
        else:
            ref = ref_of(ds)
            chosen = (ref, ref.series, ref.study)[depth]
            removed = db.write(lambda tx, chosen=chosen: composite.remove(tx, chosen))
            assert len(removed) == model.remove(chosen)
    assert statistics.recount(db) == []
    db.write(_check_full_text)
    db.write(check_labels)
    _contents(db)
    assert statistics.statistics(db).instances == len(model.refs())
    with _few(few):
        for query in [*queries, *(Query(level) for level in LEVELS)]:
            assert _found(db, query) == model.matching(query), query


def _check_full_text(tx: Transaction) -> None:
    """Raises if a trigram index does not say what its table says. On PostgreSQL they are not ours to keep."""
    if not isinstance(tx.connection, sqlite3.Connection):
        return
    for table in ("study_trigram", "person_name_trigram"):
        tx.execute(f"INSERT INTO {table}({table}, rank) VALUES ('integrity-check', 1)")


def _with_holes(ds: JsonDataset, data: st.DataObject) -> JsonDataset:
    """*ds* without some of its attributes, as instances of one series differ in life."""
    dropped = data.draw(st.sets(st.sampled_from(sorted(ds))))
    kept = {"0020000D", "0020000E", "00080018", "00080016"}
    return {tag: element for tag, element in ds.items() if tag in kept or tag not in dropped}


@given(case=cases(max_queries=1), data=st.data())
@once_per_session
def test_any_order_and_any_number_of_times_gives_the_same_index(db: Database, case: tuple, data: st.DataObject) -> None:
    datasets = [ds for study in case[0] for ds in held(study)]
    _load(db, datasets)
    once = _contents(db)
    again = data.draw(st.permutations(datasets + data.draw(st.lists(st.sampled_from(datasets), max_size=4))))
    _load(db, again)
    assert _contents(db) == once


def _contents(db: Database) -> list[object]:
    """All that can be asked of the index, without numbers that say when.

    A patient is what the newest of equally dated studies says, so only its identity is compared.
    """
    pages = [sorted(search.search(db, Query(level, all_keys=True)).rows, key=repr) for level in LEVELS[1:]]
    patients = sorted(_found(db, Query(LEVELS[0])))
    totals = statistics.statistics(db)
    with db.read() as connection:
        names = sorted(
            tuple(row) for row in connection.execute("SELECT alphabetic, ideographic, phonetic FROM person_name")
        )
        words = [row[0] for row in connection.execute("SELECT word FROM person_name_word ORDER BY word")]
        distinct = [row[0] for row in connection.execute("SELECT word FROM person_word ORDER BY word")]
    assert distinct == sorted(set(words))
    return [
        pages,
        patients,
        totals.patients,
        totals.studies,
        totals.series,
        totals.instances,
        totals.size_bytes,
        names,
        words,
    ]


def test_a_work_that_fails_leaves_no_name_behind(db: Database) -> None:
    _load(db, [])

    def fails(tx: Transaction) -> None:
        composite.register(
            tx,
            facts(
                {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]}}
            ),
        )
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        db.write(fails)
    assert statistics.recount(db) == []
    with db.read() as connection:
        assert connection.execute("SELECT count(*) FROM person_name").fetchone()[0] == 0
