"""Whatever is stored, replaced and deleted, in whatever order: every side table is what a rebuild would make of it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.indexed import CT, an_index, check_labels, facts, pack_series, ref_of
from fixtures.rebuilt import check_sides
from relais.db.database import Database
from relais.dicom.json_model import JsonDataset
from relais.index import composite, statistics

UIDS = ("0020000D", "0020000E", "00080018")
SAID = {  # what instances may say of each attribute, besides nothing
    "00080016": ("UI", CT, "1.2.840.10008.5.1.4.1.1.4"),
    "00080020": ("DA", "20240229", "20231231", "soon"),
    "00080030": ("TM", "1030", "103059.5"),
    "00080050": ("SH", "A1", "B2"),
    "00080060": ("CS", "CT", "MR", "CT\\PT", ""),
    "00080080": ("LO", "North", "South"),
    "00080090": ("PN", {"Alphabetic": "LEFÈBVRE^Zoé"}, {"Alphabetic": "ROUX^Anne"}),
    "00081030": ("LO", "Thorax", "Genou"),
    "00100010": ("PN", {"Alphabetic": "LEFÈBVRE^Zoé"}, {"Alphabetic": "ZOÉ^Anne", "Ideographic": "山田^太郎"}),
    "00100020": ("LO", "P1", "P2"),
    "00100021": ("LO", "NORTH", "SOUTH"),
    "00200011": ("IS", 1, 2, 1.5),
    "00400275": ("SQ", {"00401001": {"vr": "SH", "Value": ["R1"]}}, {"00080050": {"vr": "SH", "Value": ["A1"]}}),
}


@st.composite
def _instances(draw: st.DrawFn) -> JsonDataset:
    """An instance that says something under one of a few UIDs: it fills up, replaces, or is left out."""
    place = [draw(st.integers(1, most)) for most in (2, 2, 3)]
    uids = {tag: ".".join(map(str, (1, 2, *place[: depth + 1]))) for depth, tag in enumerate(UIDS)}
    said = {tag: (vr, draw(st.sampled_from((None, *found)))) for tag, (vr, *found) in SAID.items()}
    values = {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in said.items() if value is not None}
    return values | {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        yield db


KINDS = ("store",) * 4 + ("replace",) * 3 + ("pack",) * 2 + (0, 1, 2)
STEPS = st.lists(st.tuples(_instances(), st.sampled_from(KINDS)), min_size=6)


@given(steps=STEPS)
@settings(deadline=None, suppress_health_check=[*HealthCheck])
def test_side_tables_are_those_of_a_rebuild_after_any_history(db: Database, steps: list) -> None:
    composite.reset(db)
    for number, (ds, step) in enumerate(steps):
        if step == "pack":
            pack_series(db, lambda number, odd=number % 3: number % 3 != odd)
        elif isinstance(step, str):
            one = facts(ds, token=f"{number:08x}")
            db.write(lambda tx, one=one, step=step: composite.register(tx, one, replace=step == "replace"))
        else:
            ref = ref_of(ds)
            chosen = (ref, ref.series, ref.study)[step]
            db.write(lambda tx, chosen=chosen: composite.remove(tx, chosen))
        db.write(check_sides)
    db.write(check_labels)
    assert statistics.recount(db) == []
