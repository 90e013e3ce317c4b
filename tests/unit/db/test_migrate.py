"""Migrations: whole, in order, once, and never backwards."""

import sqlite3
import threading
from pathlib import Path

import pytest

from fixtures.engines import only_sqlite
from fixtures.indexed import a_dataset, an_index, facts
from relais.db import connect, migrate
from relais.db.database import Database
from relais.db.settings import for_path
from relais.dicom.attributes import REQUEST_ATTRIBUTES, TABLE, Level
from relais.errors import Unavailable
from relais.index import composite, lookup

pytestmark = only_sqlite("its file is looked into")

TABLES = {Level.PATIENT: "study", Level.STUDY: "study", Level.SERIES: "series", Level.IMAGE: "instance"}


def test_the_schema_has_a_column_for_every_attribute_that_is_matched(tmp_path: Path) -> None:
    elsewhere = {"ModalitiesInStudy": "study_modality", "RequestAttributesSequence": "series_request"}
    with an_index(tmp_path) as db, db.read() as connection:
        columns = {
            table: {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
            for table in (*TABLES.values(), *elsewhere.values())
        }
    for row in TABLE:
        if row.is_matched and row.keyword not in elsewhere:
            assert row.column in columns[TABLES[row.level]], row.keyword
    assert "modality" in columns["study_modality"]
    assert set(REQUEST_ATTRIBUTES.values()) <= columns["series_request"]


def test_a_new_index_is_durable_and_in_wal_mode(tmp_path: Path) -> None:
    settings = for_path(tmp_path / "index.sqlite")
    Database(settings).close()
    connection = connect.writer(settings)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert connection.execute("PRAGMA page_size").fetchone()[0] == connect.PAGE_SIZE
    connection.close()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    Database(for_path(path)).close()
    before = path.read_bytes()
    Database(for_path(path)).close()
    assert path.read_bytes() == before


def _migrated_further(path: Path, statement: str) -> None:
    """What a newer program does."""
    Database(for_path(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations(migration_set, name, applied_at) VALUES ('relais', '9999_future', '')"
        )
        connection.execute(statement)
    connection.close()


def test_an_index_that_older_programs_do_not_survive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    _migrated_further(path, "UPDATE compatibility SET oldest = '9999_future'")
    with pytest.raises(Unavailable, match="9999_future"):
        Database(for_path(path))


def test_an_index_of_a_newer_program_is_used_where_that_allows_it(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    _migrated_further(path, "ALTER TABLE study ADD COLUMN of_the_future TEXT")
    with an_index(path.parent) as db:
        arrived = facts(a_dataset())
        db.write(lambda tx: composite.register(tx, arrived))
        assert not list(lookup.unknown_keys(db, [arrived.key]))


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = migrate.scripts()
    broken = {"0001_first": "CREATE TABLE one(x);\nCREATE TABLE one(x);"}
    monkeypatch.setattr(migrate, "scripts", lambda: broken)
    with pytest.raises(Exception, match="already exists"):
        Database(for_path(tmp_path / "index.sqlite"))
    monkeypatch.setattr(migrate, "scripts", lambda: real)
    with an_index(tmp_path) as db, db.read() as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'one'").fetchone()[0] == 0


def test_many_may_open_a_new_index_at_once(tmp_path: Path) -> None:
    opened: list[Database] = []
    barrier = threading.Barrier(6)

    def open_it() -> None:
        barrier.wait()
        opened.append(Database(for_path(tmp_path / "new" / "index.sqlite")))

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for db in opened:
        db.close()


def test_a_script_is_cut_into_statements_not_at_semicolons_in_texts_or_triggers() -> None:
    script = """-- a comment; with a semicolon
CREATE TABLE a(x TEXT DEFAULT ';');  -- another;
CREATE TRIGGER t AFTER INSERT ON a BEGIN
  DELETE FROM a; DELETE FROM a;
END;
"""
    assert len(migrate.statements(script)) == 2
