"""The index that the scale benchmark fills in bulk holds the rows that registering would give; packs are weighed."""

import sqlite3
from itertools import chain
from pathlib import Path

from bench import scale_data, scale_packed
from bench.scale_fill import Filler
from fixtures.engines import only_sqlite
from fixtures.indexed import an_index
from relais.index import composite, statistics

pytestmark = only_sqlite("the benchmark fills a file")

STUDIES = 150
LABELS = ("study_label", "series_label")  # their words are read another way
TIMES = {"created_at", "updated_at", "at", "stored_at"}
SHADOWS = ("_data", "_idx", "_docsize", "_config", "_content")  # of FTS5: they say when, too


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, without times."""
    connection = sqlite3.connect(path)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {}
    for table in tables:
        if not table.endswith(SHADOWS) and not table.startswith("_") and table not in LABELS:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in TIMES]
            listed = ", ".join(f'"{name}"' for name in names)
            found[table] = sorted(connection.execute(f"SELECT {listed} FROM {table}"), key=repr)
    for table in LABELS:
        connection.execute(f"CREATE VIRTUAL TABLE temp.{table}_words USING fts5vocab(main, {table}, instance)")
        found[table] = sorted(connection.execute(f"SELECT term, doc FROM {table}_words"))
    connection.close()
    return found


def test_rows_filled_in_bulk_are_those_of_registering_one_after_the_other(tmp_path: Path) -> None:
    studies = [list(scale_data.facts_of(number)) for number in range(0, STUDIES * 40, 40)]
    filler = Filler(tmp_path / "bulk.sqlite", now=1.7e9)
    filler.fill(studies)
    filler.close()
    with an_index(tmp_path) as db:
        db.write(lambda tx: [composite.register(tx, facts) for facts in chain.from_iterable(studies)])
        assert statistics.recount(db) == []
    bulk, registered = _rows(tmp_path / "bulk.sqlite"), _rows(tmp_path / "index.sqlite")
    assert bulk.keys() == registered.keys()
    for table, rows in bulk.items():
        assert rows == registered[table], table
    assert len(bulk["study"]) == STUDIES
    assert len(bulk["series"]) > 2 * STUDIES


def test_what_an_instance_of_a_packed_series_takes_is_weighed_for_every_way_of_making_uids(tmp_path: Path) -> None:
    found = scale_packed.measured(tmp_path, 4)
    assert found.keys() == scale_packed.WAYS.keys()
    for way, taken in found.items():
        assert 16 <= taken < 200, way  # the digest at least; a row of its own takes more
