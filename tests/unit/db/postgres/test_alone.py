"""Who makes an index anew has it alone: nodes on other machines are noticed, and kept out meanwhile."""

import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from fixtures import postgres
from fixtures.engines import POSTGRESQL, index_settings
from fixtures.indexed import a_dataset, an_index, facts
from fixtures.postgres import PostgresServer
from relais.db.database import Database
from relais.db.postgres import writer
from relais.db.settings import IndexSettings
from relais.errors import Unavailable
from relais.index import composite, portable, statistics


def _opens(tmp_path: Path) -> None:
    with an_index(tmp_path, POSTGRESQL) as db:
        assert statistics.statistics(db).instances == 0


def test_an_index_that_is_open_elsewhere_is_not_had_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with an_index(tmp_path, POSTGRESQL) as mine:
        monkeypatch.setattr(writer, "CLOSING_S", 0.0)
        with an_index(tmp_path, POSTGRESQL), pytest.raises(Unavailable, match=r"open elsewhere .on the server."):
            mine.alone().__enter__()
        monkeypatch.setattr(writer, "CLOSING_S", 30.0)
        with mine.alone():
            mine.write(lambda tx: tx.execute("DELETE FROM lease"))
            with pytest.raises(Unavailable, match="makes the index anew"):
                _opens(tmp_path)
        _opens(tmp_path)


def test_who_opens_another_index_of_the_same_database_is_not_in_the_way() -> None:
    url = postgres.shared().create(f"t_{time.monotonic_ns()}", template="template0")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
        connection.execute("CREATE SCHEMA north")
        connection.execute("CREATE SCHEMA south")
    north, south = (IndexSettings(url=f"{url}&options=-csearch_path%3D{name},public") for name in ("north", "south"))
    with closing(Database(north)), closing(Database(south)) as mine, mine.alone():
        assert statistics.statistics(mine).instances == 0


def test_an_index_is_still_had_alone_after_its_server_has_restarted() -> None:
    server = PostgresServer()
    try:
        settings = IndexSettings(url=server.create("index"))
        with closing(Database(settings)) as mine, mine.alone():
            server.stop()
            server.start()
            mine.write(lambda tx: composite.register(tx, facts(a_dataset())))
            with pytest.raises(Unavailable, match="makes the index anew"):
                Database(settings)
    finally:
        server.remove()


def test_what_is_restored_does_not_go_into_an_index_that_a_node_has_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSING_S", 0.0)
    with an_index(tmp_path / "old", POSTGRESQL) as old:
        portable.save(old, tmp_path / "saved.sqlite")
    with an_index(tmp_path / "new", POSTGRESQL), pytest.raises(Unavailable, match="open elsewhere"):
        portable.load(tmp_path / "saved.sqlite", index_settings(tmp_path / "new", POSTGRESQL))
