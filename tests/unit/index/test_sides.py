"""Whatever is stored, replaced and deleted, in whatever order: every side table is what a rebuild would make of it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.indexed import an_index, check_labels, facts, ref_of
from fixtures.rebuilt import check_sides
from fixtures.strategies import cases, held
from relais.db.database import Database
from relais.dicom.json_model import JsonDataset
from relais.index import composite, statistics

UIDS = ("0020000D", "0020000E", "00080018")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        yield db


@st.composite
def _disguised(draw: st.DrawFn, datasets: list[JsonDataset]) -> JsonDataset:
    """What one instance says, under the UIDs of another: a replacement, a correction of patient, date or modality."""
    said, named = draw(st.sampled_from(datasets)), draw(st.sampled_from(datasets))
    return said | {tag: named[tag] for tag in UIDS}


@given(case=cases(max_queries=1), data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_side_tables_are_those_of_a_rebuild_after_any_history(db: Database, case: tuple, data: st.DataObject) -> None:
    composite.reset(db)
    datasets = [ds for study in case[0] for ds in held(study)]
    steps = data.draw(st.lists(st.tuples(_disguised(datasets), st.integers(-5, 2)), max_size=15)) if datasets else []
    for number, (ds, depth) in enumerate(steps):
        if depth < 0:
            one = facts(ds, token=f"{number:08x}")
            db.write(lambda tx, one=one, depth=depth: composite.register(tx, one, replace=depth < -2))
        else:
            ref = ref_of(ds)
            chosen = (ref, ref.series, ref.study)[depth]
            db.write(lambda tx, chosen=chosen: composite.remove(tx, chosen))
        db.write(check_sides)
    db.write(check_labels)
    assert statistics.recount(db) == []
