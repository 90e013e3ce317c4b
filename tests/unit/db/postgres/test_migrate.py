"""Migrations on PostgreSQL: whole, in order, once, and never backwards."""

import re
import threading
import time
from contextlib import closing

import psycopg
import pytest

from fixtures import postgres
from fixtures.indexed import a_dataset, facts
from relais.db.database import Database
from relais.db.postgres import migrate
from relais.db.settings import IndexSettings
from relais.dicom.refs import StudyRef
from relais.errors import Unavailable
from relais.index import composite, lookup, statistics
from relais.index.leases import Lease

SCRIPTS = migrate.scripts()


@pytest.fixture
def url() -> str:
    """A new database, with nothing in it."""
    return postgres.shared().create(f"t_{time.monotonic_ns()}", template="template0")


def _tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return {str(row[0]) for row in found}


def test_many_may_open_a_new_index_at_once(url: str) -> None:
    opened: list[Database] = []
    barrier = threading.Barrier(4)

    def open_it() -> None:
        barrier.wait()
        opened.append(Database(IndexSettings(url=url)))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for db in opened:
        assert statistics.statistics(db).instances == 0
        db.close()


def test_a_migration_that_is_killed_half_way_leaves_nothing_and_is_done_by_the_next(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = "CREATE TABLE half(x int); SELECT pg_terminate_backend(pg_backend_pid()); CREATE TABLE whole(x int);"
    monkeypatch.setattr(migrate, "scripts", lambda: SCRIPTS | {"9999_last": end})
    with pytest.raises(Unavailable):
        Database(IndexSettings(url=url, busy_timeout_s=5))
    assert "half" not in _tables(url)
    assert "study" in _tables(url)
    monkeypatch.setattr(migrate, "scripts", lambda: SCRIPTS | {"9999_last": "CREATE TABLE half(x int)"})
    Database(IndexSettings(url=url)).close()
    assert "half" in _tables(url)


def test_an_index_that_older_programs_do_not_survive_is_refused_and_another_one_is_used(url: str) -> None:
    Database(IndexSettings(url=url)).close()
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO relais_migration(name) VALUES ('9999_future')")
    db = Database(IndexSettings(url=url))
    assert statistics.statistics(db).instances == 0
    db.close()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE compatibility SET oldest = '9999_future'")
    with pytest.raises(Unavailable, match=r"written by a newer version of Relais .*9999_future"):
        Database(IndexSettings(url=url))


def test_an_upgrade_is_told_and_the_making_of_an_index_is_not(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "relais.db.migrate")
    Database(IndexSettings(url=url)).close()
    assert not [record for record in caplog.records if record.name == "relais.db.migrate"]
    further = {"9998_more": "CREATE TABLE more(x int)", "9999_most": "CREATE TABLE most(x int)"}
    monkeypatch.setattr(migrate, "scripts", lambda: SCRIPTS | further)
    for _ in range(2):
        Database(IndexSettings(url=url)).close()
    began, ended = (record.getMessage() for record in caplog.records if record.name == "relais.db.migrate")
    assert began == f'event="migrating the index" before={max(SCRIPTS)[:4]} after=9999'
    assert re.fullmatch(r'event="index migrated" s=\d+\.\d', ended)


def test_what_was_prepared_before_another_node_migrated_is_prepared_anew(url: str) -> None:
    db = Database(IndexSettings(url=url))
    db.write(lambda tx: composite.register(tx, facts(a_dataset())))
    for _ in range(10):  # so often that the driver prepares it
        assert lookup.attributes(db, StudyRef("1.2.1")) is not None
        assert len(db.write(lambda tx: tx.execute("SELECT * FROM study WHERE id = ?", (1,)).fetchone())) > 1
    before = len(db.write(lambda tx: tx.execute("SELECT * FROM study WHERE id = ?", (1,)).fetchone()))
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE study ADD COLUMN of_the_future text")
    assert len(db.write(lambda tx: tx.execute("SELECT * FROM study WHERE id = ?", (1,)).fetchone())) == before + 1
    with pytest.raises(Unavailable, match="migrated"):
        lookup.attributes(db, StudyRef("1.2.1"))
    assert lookup.attributes(db, StudyRef("1.2.1")) is not None
    db.close()


def test_who_may_not_bring_in_the_trigrams_is_told_what_to_run() -> None:
    server = postgres.shared()
    name = f"t_{time.monotonic_ns()}"
    server.tell(f"CREATE DATABASE {name} TEMPLATE template0")  # it belongs to the administrator
    server.tell(f"GRANT ALL ON SCHEMA public TO {postgres.ROLE}", name)
    with pytest.raises(Unavailable, match="CREATE EXTENSION pg_trgm"):
        Database(IndexSettings(url=server.url(name)))
    server.tell("CREATE EXTENSION pg_trgm", name)
    Database(IndexSettings(url=server.url(name))).close()


def test_a_database_of_another_encoding_is_refused() -> None:
    server = postgres.shared()
    name = f"t_{time.monotonic_ns()}"
    made = f"CREATE DATABASE {name} OWNER {postgres.ROLE} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
    server.tell(made)
    with pytest.raises(Unavailable, match="UTF8"):
        Database(IndexSettings(url=server.url(name)))


def test_a_schema_of_its_own_keeps_an_index_apart(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA north")
    apart = Database(IndexSettings(url=f"{url}&options=-csearch_path%3Dnorth,public"))
    assert "study" not in _tables(url)
    assert statistics.statistics(apart).instances == 0
    assert apart.write(lambda tx: 1) == 1
    apart.close()


def test_nobody_packs_within_an_hour_of_the_migration_that_older_nodes_cannot_read_packs_of(url: str) -> None:
    with closing(Database(IndexSettings(url=url))) as db:
        lease = Lease(db, "packing", "node", 60)
        assert lease.held()  # a new index has no older nodes
        lease.give_back()
        db.write(lambda tx: composite.register(tx, facts(a_dataset())))
        with psycopg.connect(url) as connection:
            connection.execute(SCRIPTS["0012_short"])
        assert not Lease(db, "packing", "node", 60).held()
