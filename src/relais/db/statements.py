"""Named statements out of .sql files: `-- name: NAME`, a comment that says why, the statement. Knows no tables.

What stands in the folder is SQLite's SQL, which PostgreSQL mostly understands (see db.postgres.spelling). A statement
that needs other words there has them under the same name, with the same parameters, in the folder postgresql beside it;
an empty one says that there is nothing to do.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

_POSTGRESQL: dict[str, str] = {}  # what stands in such a folder, by SQLite's text


def load(package: str, file: str) -> dict[str, str]:
    """The statements of *file* in *package*, by name."""
    folder = resources.files(package)
    statements = _named(file, (folder / file).read_text(encoding="utf-8"))
    other = folder / "postgresql" / file
    for name, text in (_named(file, other.read_text(encoding="utf-8")) if other.is_file() else {}).items():
        _POSTGRESQL[statements[name]] = text
    return statements


def postgresql(statement: str) -> str | None:
    """PostgreSQL's own text for a *statement* that was loaded, None if it has none."""
    return _POSTGRESQL.get(statement)


def quoted(names: Sequence[str]) -> str:
    """*names* of columns, as a list in SQL."""
    return ", ".join(f'"{name}"' for name in names)


@cache
def insertion(table: str, columns: tuple[str, ...]) -> str:
    """The statement that puts one row with *columns* into *table*, names of our own."""
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table}({quoted(columns)}) VALUES ({marks})"  # noqa: S608


def _named(file: str, text: str) -> dict[str, str]:
    parts = re.split(r"^-- name: (\w+)\s*$", text, flags=re.MULTILINE)
    statements = {name: _without_comments(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    assert len(statements) == len(parts) // 2, f"{file} names a statement twice"
    return statements


def _without_comments(body: str) -> str:
    lines = (line for line in body.splitlines() if not line.startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")
