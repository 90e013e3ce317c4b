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
        ("n.alphabetic GLOB ?", "n.alphabetic LIKE as_like(%s)"),
        (
            "SELECT rowid FROM study_label WHERE study_label MATCH ?",
            "SELECT rowid FROM study_label WHERE labels @@ as_question(%s)",
        ),
        ("FROM study AS s INDEXED BY study_date_time WHERE TRUE", "FROM study AS s WHERE TRUE"),
        ("FROM study AS s NOT INDEXED CROSS JOIN series AS e ON TRUE", "FROM study AS s JOIN series AS e ON TRUE"),
        ("s.id IN (SELECT value FROM json_each(?))", "s.id = ANY(translate(%s, '[]', '{}')::bigint[])"),
        (
            "SELECT json_group_array(json_array(a, b)) FROM found",
            "SELECT coalesce(json_agg(json_build_array(a, b)), '[]')::text FROM found",
        ),
    ],
)
def test_each_word_of_sqlite_has_one_of_postgresql(said: str, understood: str) -> None:
    assert spelled(said).text == understood


@pytest.mark.parametrize("file", FILES)
def test_every_named_statement_is_understood_by_the_server(db: Database, file: str) -> None:
    with db.read() as connection:
        for name, statement in statements.load("relais.index.sql", file).items():
            text = spelled(statement.replace("'filters'", "TRUE")).text
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
