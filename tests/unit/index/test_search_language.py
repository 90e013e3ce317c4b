"""From the query string to the rows: what QIDO-RS asks in text finds what dicom.matching finds."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.indexed import Model, an_index, facts, identities
from fixtures.strategies import SEARCHED, cases, held, raw_values
from relais.db.database import Database
from relais.dicom.attributes import Level, levels_above
from relais.dicom.query import Query
from relais.dicomweb import params
from relais.errors import InvalidRequest
from relais.index import composite, search

ISSUER = 0x00100021


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        yield db


@st.composite
def query_strings(draw: st.DrawFn, level: Level) -> str:
    """Keys that a search at *level* supports, as keywords or tags, their values encoded one way or another."""
    asked = [row for row in SEARCHED if row.level in (*levels_above(level), level) and row.vr != "SQ"]
    rows = draw(st.lists(st.sampled_from(asked), min_size=1, max_size=3, unique=True))
    safe = draw(st.sampled_from(["", "*,", "^\\\"'"]))
    pairs = [(draw(st.sampled_from((row.keyword, f"{row.tag:08x}"))), draw(raw_values(row))) for row in rows]
    pairs += [(switch, draw(st.sampled_from(("true", "false")))) for switch in params.SWITCHES]
    return "&".join(f"{name}={quote(value, safe=safe)}" for name, value in draw(st.permutations(pairs)))


@given(case=cases(max_queries=1), level=st.sampled_from(Level), data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_query_string_finds_what_matching_finds(db: Database, case: tuple, level: Level, data: st.DataObject) -> None:
    datasets = [ds for study in case[0] for ds in held(study)]
    composite.reset(db)
    model = Model()
    for ds in datasets:
        model.register(ds)
    db.write(lambda tx: [composite.register(tx, facts(ds)) for ds in datasets])
    for text in data.draw(st.lists(query_strings(level), min_size=1, max_size=4)):
        try:
            query = params.parse_search(text, level).query
        except InvalidRequest:
            continue
        assert found(db, query) == model.matching(query), text


def found(db: Database, query: Query) -> set[tuple[str, ...]]:
    rows = search.search(db, replace(query, return_keys=query.return_keys | {ISSUER})).rows
    return identities(rows, query.level)
