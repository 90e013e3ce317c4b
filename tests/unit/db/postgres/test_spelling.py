"""SQLite's SQL in PostgreSQL's words: every statement that the rooms have is understood by a real server."""

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from fixtures.engines import POSTGRESQL
from fixtures.indexed import an_index
from relais.db import migrate, statements
from relais.db.database import Database
from relais.db.postgres import migrate as postgres_migrate
from relais.db.postgres.spelling import spelled
from relais.index.dialect import among, listed

FILES = sorted(file.name for file in resources.files("relais.index.sql").iterdir() if file.name.endswith(".sql"))


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index"), POSTGRESQL) as db:
        yield db


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("SELECT ? WHERE a = :name", "SELECT %s WHERE a = %(name)s"),
        ("SELECT '?', ':no', '5 %'", "SELECT '?', ':no', '5 %%'"),
        ('SELECT "a?b" FROM t', 'SELECT "a?b" FROM t'),
        ("SELECT a::bigint", "SELECT a::bigint"),
        ("n.alphabetic GLOB ?", "n.alphabetic LIKE (SELECT as_like(%s))"),
        (
            "SELECT rowid FROM study_label WHERE study_label MATCH ?",
            "SELECT rowid FROM study_label WHERE labels @@ as_question(%s)",
        ),
        ("FROM study AS s INDEXED BY study_date_time WHERE TRUE", "FROM study AS s WHERE TRUE"),
        ("FROM study AS s NOT INDEXED CROSS JOIN series AS e ON TRUE", "FROM study AS s JOIN series AS e ON TRUE"),
        ("s.id IN (SELECT value FROM json_each(?))", "s.id = ANY(translate(%s, '[]', '{}')::bigint[])"),
        (
            "+s.patient_name IN (SELECT value FROM json_each(?))",
            "(s.patient_name IN (SELECT unnest(translate(%s, '[]', '{}')::bigint[]))) IS TRUE",
        ),
        (
            "FROM study AS s INDEXED BY study_patient_name WHERE TRUE ORDER BY s.date_time DESC, s.id DESC",
            "FROM study AS s WHERE TRUE ORDER BY (s.date_time + 0) DESC, s.id DESC",
        ),
        ("EXISTS (SELECT 1 FROM person_name AS n WHERE TRUE)", "(SELECT TRUE FROM person_name AS n WHERE TRUE)"),
        (
            "w.word IN (SELECT p.word FROM person_word AS p WHERE p.word GLOB ?)",
            "w.word = ANY(ARRAY(SELECT p.word FROM person_word AS p WHERE p.word LIKE (SELECT as_like(%s))))",
        ),
        (
            "SELECT json_group_array(json_array(a, b)) FROM found",
            "SELECT coalesce(json_agg(json_build_array(a, b)), '[]')::text FROM found",
        ),
    ],
)
def test_each_word_of_sqlite_has_one_of_postgresql(said: str, understood: str) -> None:
    assert spelled(said) == understood


def _plan(db: Database, statement: str, *params: object, no_scan: tuple[str, ...] = ("seq", "bitmap")) -> str:
    """How the server goes about it, in a table that is as large as tables are: it reads none, nor index, as a whole."""
    with db.read() as connection:
        connection.raw.execute("; ".join(f"SET LOCAL enable_{kind}scan = off" for kind in no_scan))
        return "\n".join(row[0] for row in connection.raw.execute(f"EXPLAIN {spelled(statement)}", params))


MANY = str(list(range(1000)))
NEWEST = "ORDER BY s.date_time DESC, s.id DESC LIMIT 100"


def test_many_names_that_filter_are_looked_up_and_not_compared_one_by_one(db: Database) -> None:
    asked = among("s.patient_name", listed([1])).sql
    plan = _plan(db, f"SELECT s.id FROM study AS s INDEXED BY study_date_time WHERE {asked} {NEWEST}", MANY)
    assert "hashed SubPlan" in plan


def test_where_names_drive_their_index_is_entered_and_not_that_of_dates(db: Database) -> None:
    asked = "s.patient_name IN (SELECT value FROM json_each(?))"
    plan = _plan(db, f"SELECT s.id FROM study AS s INDEXED BY study_patient_name WHERE {asked} {NEWEST}", MANY)
    assert "study_patient_name" in plan
    assert "study_date_time" not in plan


def test_letters_of_words_are_looked_for_in_an_index_by_a_pattern_that_is_turned_once(db: Database) -> None:
    wanted = "SELECT p.word FROM person_word AS p WHERE p.word GLOB ?"
    plan = _plan(db, wanted, "*abc*", no_scan=("seq", "index", "indexonly"))
    assert "Bitmap Index Scan on person_word_letters" in plan
    assert "InitPlan" in plan  # and not for each row


def test_a_name_that_many_have_is_asked_of_each_study_in_turn(db: Database) -> None:
    asked = "EXISTS (SELECT 1 FROM person_name AS n WHERE n.id = s.patient_name AND n.alphabetic GLOB ?)"
    plan = _plan(db, f"SELECT s.id FROM study AS s INDEXED BY study_date_time WHERE {asked} {NEWEST}", "m*")
    assert "Index Cond: (id = s.patient_name)" in plan
    assert "hashed" not in plan
    assert "Nested Loop" not in plan


@pytest.mark.parametrize("file", FILES)
def test_every_named_statement_is_understood_by_the_server(db: Database, file: str) -> None:
    with db.read() as connection:
        for name, statement in statements.load("relais.index.sql", file).items():
            text = spelled(statement.replace("'filters'", "TRUE"))
            if text:
                connection.raw.execute(f"PREPARE {file[:-4]}_{name} AS {_numbered(text)}")


def _numbered(text: str) -> str:
    """*text* with the server's own placeholders."""
    marks: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        mark = found[1] or str(len(marks))
        if mark not in marks:
            marks.append(mark)
        return f"${marks.index(mark) + 1}"

    return re.sub(r"%%|%s|%\((\w+)\)s", number, text)


def test_postgresql_spells_only_what_is_there() -> None:
    folder = resources.files("relais.index.sql")
    for file in (folder / "postgresql").iterdir():
        own = statements._named(file.name, file.read_text("utf-8"))
        assert set(own) <= set(statements.load("relais.index.sql", file.name)), file.name


def test_both_engines_have_the_same_steps() -> None:
    assert list(postgres_migrate.scripts()) == list(migrate.scripts())


def test_both_engines_have_the_same_columns(db: Database, tmp_path: Path) -> None:
    with an_index(tmp_path, "sqlite") as other, other.read() as connection:
        tables = [row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        derived = ("sqlite_", "_sqlite_", "study_label", "series_label", "study_trigram", "person_name_trigram")
        ours = {
            table: {row["name"] for row in connection.execute(f"PRAGMA table_xinfo({table})")}
            for table in tables
            if not table.startswith(derived)
        }
    select = "SELECT table_name AS t, column_name AS c FROM information_schema.columns WHERE table_schema = 'public'"
    theirs: dict[str, set[str]] = {}
    with db.read() as connection:
        for row in connection.execute(select):
            theirs.setdefault(row["t"], set()).add(row["c"])
    assert {table: theirs.get(table) for table in ours} == ours
