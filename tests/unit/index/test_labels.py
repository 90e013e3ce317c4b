"""Labels: what the migration lists is what registering lists; what no small number says has a label all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import scale_data
from fixtures.engines import only_sqlite
from fixtures.indexed import a_dataset, an_index, check_labels, facts
from relais.db import migrate
from relais.db.database import Database, Transaction
from relais.dicom.attributes import Level
from relais.dicom.matching import simple
from relais.dicom.query import Query
from relais.index import columns, composite, search

ODD = (
    {"t00200011": {"vr": "IS", "Value": [10**30]}},
    {"t00200011": {"vr": "IS", "Value": [1.5]}},
    {"t00080031": {"vr": "TM", "Value": ["noon"]}, "t00080021": {"vr": "DA", "Value": ["tomorrow"]}},
    {"t00080031": {"vr": "TM", "Value": ["23"]}, "t00080030": {"vr": "TM", "Value": ["235959.999999"]}},
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with an_index(tmp_path) as db:
        for number, said in enumerate(ODD):
            odd = facts(a_dataset(number, **said))
            db.write(lambda tx, odd=odd: composite.register(tx, odd))
        for number in range(0, 9800, 980):
            known = list(scale_data.facts_of(number))
            db.write(lambda tx, known=known: [composite.register(tx, one) for one in known])
        yield db


@only_sqlite("no index on PostgreSQL is older than this step")
def test_an_older_index_gets_its_labels_by_the_migration(db: Database) -> None:
    def again(tx: Transaction) -> None:
        for table in ("label", "study_label", "series_label"):
            tx.execute(f"DROP TABLE {table}")
        for statement in migrate.statements(migrate.scripts()["0003_labels"]):
            tx.execute(statement)

    db.write(again)
    db.write(check_labels)


def test_every_label_column_is_listed_by_a_migration() -> None:
    script = migrate.scripts()["0003_labels"]
    for level, view in ((Level.STUDY, "CREATE VIEW study_bears"), (Level.SERIES, "CREATE VIEW series_bears")):
        listed = script.partition(view)[2].partition(";")[0]
        for column in columns.label_columns(level):
            assert f"{column.tag}" in listed, column.name
            assert column.name in listed, column.name
        assert listed.count("SELECT id") == len(columns.label_columns(level))


@pytest.mark.parametrize(
    ("tag", "asked", "study"),
    [
        (0x00200011, str(10**30), 0),
        (0x00200011, "1.5", 1),
        (0x00080031, "noon", 2),
        (0x00080021, "tomorrow", 2),
        (0x00080031, "2259-230000", 3),
    ],
)
def test_what_is_odd_is_found_too(db: Database, tag: int, asked: str, study: int) -> None:
    rows = search.search(db, Query(Level.SERIES, (simple(tag, asked),))).rows
    found = {row["0020000D"]["Value"][0] for row in rows}
    assert found == {f"1.2.{study}"}
