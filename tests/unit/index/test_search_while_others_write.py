"""Page after page while instances arrive and leave: who stays is seen once and in order, wherever dates are equal."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.indexed import Model, a_dataset, an_index, facts, identity, pack_series, ref_of
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Match, MatchKind, Query
from relais.index import composite, search

ISSUER = 0x00100021
ASKED = (
    (),
    (Match(0x00100010, MatchKind.WILD_CARD, ("A*",)),),
    (Match(0x00100010, MatchKind.WILD_CARD, ("*^A*",)),),
    (Match(0x00080060, MatchKind.SINGLE_VALUE, ("CT",)),),
    (Match(0x00080020, MatchKind.RANGE, ("20240101", "20240101")),),
)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        yield db


def _instance(place: tuple[int, int, int]) -> JsonDataset:
    """Most sort keys are equal, and those of a study always the same."""
    study = place[0]
    said = {"t00100010": {"vr": "PN", "Value": [{"Alphabetic": ("A^B", "B^A", "A", "B")[study % 4]}]}}
    if study % 3:
        said["t00080020"] = {"vr": "DA", "Value": [f"2024010{study % 3}"]}
    return a_dataset(*place, **said) | {"00200011": {"vr": "IS", "Value": [1]}, "00200013": {"vr": "IS", "Value": [1]}}


INSTANCES = st.tuples(st.integers(1, 9), st.integers(1, 2), st.integers(1, 2)).map(_instance)


@given(
    first=st.lists(INSTANCES, min_size=1, max_size=20),
    changes=st.lists(st.tuples(st.integers(-2, 3), INSTANCES), max_size=8),
    level=st.sampled_from(Level),
    asked=st.sampled_from(ASKED),
    size=st.integers(1, 3),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_who_stays_is_seen_once_and_in_order_page_by_page(
    db: Database, first: list, changes: list, level: Level, asked: tuple, size: int
) -> None:
    composite.reset(db)
    model = Model()
    for ds in first:
        _change(db, model, 3, ds)
    asked = tuple(match for match in asked if search.supported(level, match.tag))
    query = Query(level, asked, return_keys=frozenset({ISSUER}), limit=size)
    always = ever = model.matching(query)
    seen: list[tuple[str, ...]] = []
    page = search.search(db, query)
    while True:
        seen += _named(page.rows, level)
        if not page.more:
            break
        if changes:
            _change(db, model, *changes.pop())
            always, ever = always & model.matching(query), ever | model.matching(query)
        page = search.search(db, query, page.last)
    assert set(seen) <= ever
    whole = search.search(db, Query(level, asked, return_keys=query.return_keys)).rows
    order = _named(whole, level)
    assert [one for one in seen if one in always] == [one for one in order if one in always]


def _named(rows: list[JsonDataset], level: Level) -> list[tuple[str, ...]]:
    """The identities of *rows*, without patients that have no ID: they cannot be told from each other."""
    found = [identity(row, level) for row in rows]
    return [one for one in found if level is not Level.PATIENT or one[0]]


def _change(db: Database, model: Model, depth: int, ds: JsonDataset) -> None:
    """Store *ds* (3), remove it (0), its series (1) or study (2), or pack what has rows."""
    if depth == 3:
        db.write(lambda tx: composite.register(tx, facts(ds)))
        model.register(ds)
    elif depth < 0:
        pack_series(db)
    else:
        ref = ref_of(ds)
        chosen = (ref, ref.series, ref.study)[depth]
        db.write(lambda tx: composite.remove(tx, chosen))
        model.remove(chosen)
