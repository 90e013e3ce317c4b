"""Patients without a Patient ID: of each study another one, in every way that patients are searched and counted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.engines import only_sqlite
from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset, text
from relais.dicom.query import Query
from relais.dicom.query_keys import match_from_text
from relais.index import composite, plan, search, statistics, walk

UID, NAME, PATIENT_ID = 0x0020000D, 0x00100010, 0x00100020
COUNTS = ("00201200", "00201202", "00201204")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Three emergencies, one of whose issuer alone is known, and a patient of two studies."""
    with an_index(tmp_path_factory.mktemp("patients")) as db:
        for study, name in ((1, "UNKNOWN^A"), (2, "UNKNOWN^B"), (3, "OTHER^C")):
            _register(db, study, name, "", series=2, issuer="NORTH" if study == 3 else "")
        for study in (4, 5):
            _register(db, study, "UNKNOWN^D", "D")
        yield db


def _register(db: Database, study: int, name: str, patient_id: str, series: int = 1, issuer: str = "") -> None:
    said = {
        "t00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
        "t00100020": {"vr": "LO", "Value": [patient_id]} if patient_id else {"vr": "LO"},
        "t00100021": {"vr": "LO", "Value": [issuer]} if issuer else {"vr": "LO"},
        "t00080020": {"vr": "DA", "Value": [f"202401{study:02d}"]},
    }
    ones = [facts(a_dataset(study, number, **said)) for number in range(1, series + 1)]
    db.write(lambda tx: [composite.register(tx, one) for one in ones])


def _name(row: JsonDataset) -> str:
    return str(row["00100010"]["Value"][0]["Alphabetic"])


@pytest.mark.parametrize("limit", [1, 2, 3, 4, None])
def test_each_study_without_a_patient_id_is_of_a_patient_of_its_own(db: Database, limit: int | None) -> None:
    """PS3.4 C.6.1.1"""
    query = Query(Level.PATIENT, limit=limit)
    pages = [search.search(db, replace(query, offset=offset)) for offset in range(0, 4, limit or 4)]
    rows = [row for page in pages for row in page.rows]
    assert [_name(row) for row in rows] == ["UNKNOWN^A", "UNKNOWN^B", "OTHER^C", "UNKNOWN^D"]
    assert [[row[tag]["Value"][0] for tag in COUNTS] for row in rows] == [[1, 2, 2], [1, 2, 2], [1, 2, 2], [2, 2, 2]]
    assert [page.more for page in pages] == [*[True] * (len(pages) - 1), False]
    assert list(search.stream(db, Query(Level.PATIENT), limit or 500)) == rows


def test_a_page_goes_on_behind_the_patient_that_the_one_before_ended_with(db: Database) -> None:
    found, last = [], None
    while (page := search.search(db, Query(Level.PATIENT, limit=1), last)).rows:
        found += map(_name, page.rows)
        last = page.last
    assert found == ["UNKNOWN^A", "UNKNOWN^B", "OTHER^C", "UNKNOWN^D"]


@pytest.mark.parametrize("batch", [1, 2, 500])
@pytest.mark.parametrize(
    ("tag", "key", "expected"),
    [
        pytest.param(NAME, "UNKNOWN*", "ABD", id="names"),
        pytest.param(NAME, "*KNOWN*", "ABD", id="letters of names"),
        pytest.param(NAME, "UNKNOWN^B", "B", id="one name"),
        pytest.param(PATIENT_ID, '""', "ABC", id="no Patient ID"),
        pytest.param(PATIENT_ID, "D", "D", id="a Patient ID"),
        pytest.param(PATIENT_ID, "?", "D", id="any Patient ID"),
        pytest.param(0x00100021, "NORTH", "C", id="an issuer"),
    ],
)
def test_each_is_found_by_what_its_own_study_says(db: Database, tag: int, key: str, expected: str, batch: int) -> None:
    match = match_from_text(tag, key)
    assert match is not None
    found = [_name(row)[-1] for row in search.stream(db, Query(Level.PATIENT, (match,)), batch)]
    assert "".join(sorted(found)) == expected


def test_a_study_without_a_patient_id_counts_for_itself(db: Database) -> None:
    asked = Query(Level.STUDY, return_keys=frozenset(int(tag, 16) for tag in COUNTS))
    found = {text(row, UID): [row[tag]["Value"][0] for tag in COUNTS] for row in search.search(db, asked).rows}
    assert found["1.2.1"] == [1, 2, 2]
    assert found["1.2.4"] == [2, 2, 2]


def test_the_archive_counts_as_many_patients_as_are_found(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        assert statistics.statistics(db).patients == 0
        _register(db, 1, "UNKNOWN^A", "")
        _register(db, 2, "UNKNOWN^B", "")
        _register(db, 3, "UNKNOWN^D", "D")
        assert statistics.statistics(db).patients == 3
        db.write(lambda tx: composite.remove(tx, facts(a_dataset(1)).ref.study))
        assert statistics.statistics(db).patients == 2
        assert statistics.recount(db) == []


@only_sqlite("it reads EXPLAIN QUERY PLAN")
def test_both_kinds_of_patients_are_read_in_the_order_of_their_index(db: Database) -> None:
    with db.read() as connection:
        chosen = plan.plan(connection, Level.PATIENT, [])
        parts = walk.patients(chosen, some_lack_id=True)
        places = [(("", "", 1, 1), 2), (("D", "", 0, 0), 1)]
        behind = [walk.behind_patient(parts, place) for place, _ in places]
        statements = [walk.select(Level.PATIENT, part, []) for part in parts]
        statements += [walk.select(Level.PATIENT, part, [position]) for found in behind for part, position in found]
        lines = [
            [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {one.sql}", one.params)]
            for one in statements
        ]
    assert [len(found) for found in behind] == [number for _, number in places]
    index = "SEARCH s USING COVERING INDEX study_patient_id"
    assert lines == [
        [f"{index} (patient_id=?)"],
        [f"{index} (patient_id>?)"],
        [f"{index} (patient_id=? AND (issuer_of_patient_id,date_time)>(?,?))"],
        [f"{index} (patient_id>?)"],
        [f"{index} ((patient_id,issuer_of_patient_id)>(?,?))"],
    ]
