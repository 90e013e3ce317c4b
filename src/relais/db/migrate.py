"""Numbered migrations of the index, applied by sqlite-utils. Knows file names and order; the .sql files know tables."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from sqlite_utils import Database as Tables
from sqlite_utils import Migrations

from relais.db import connect
from relais.errors import Unavailable
from relais.telemetry.line import fields

SET = "relais"
OLDEST = "SELECT oldest FROM compatibility"
NEWER = "The index was written by a newer version of Relais (it has migration {}); upgrade this one."

log = logging.getLogger(__name__)


def scripts() -> dict[str, str]:
    """Every migration by name, in order."""
    files = sorted(resources.files("relais.db.schema").iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files if file.name.endswith(".sql")}


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the index at *path* to the newest schema. The caller holds the writers' lock.

    Raises Unavailable for an index that a newer program has migrated further than this one can follow.
    """
    connect.prepare_file(connection)
    tables = Tables(connection, execute_plugins=False, recursive_triggers=False)
    migrations = _migrations(scripts())
    applied = {done.name for done in migrations.applied(tables)}
    newer = applied - set(scripts())
    if newer and not may_follow(connection.execute(OLDEST).fetchone()[0]):
        raise Unavailable(NEWER.format(", ".join(sorted(newer))))
    if pending := {one.name for one in migrations.pending(tables)}:
        with told(applied, pending):
            migrations.apply(tables)
    _sync_way(path.absolute())


def may_follow(oldest: str) -> bool:
    """Whether this program may use an index that is newer, and asks for programs that know the migration *oldest*.

    So nodes that share an index are upgraded one after the other, while the others work.
    """
    return oldest in scripts()


@contextmanager
def told(applied: Set[str], pending: Set[str]) -> Iterator[None]:
    """Log from where to where the *pending* migrations bring the index, unless it is new, and how long they took.

    As warnings, which commands show too: one of them may do it under an older node.
    """
    if not applied:
        yield
        return
    began = time.monotonic()
    log.warning(fields(event="migrating the index", before=_number(max(applied)), after=_number(max(pending))))
    yield
    log.warning(fields(event="index migrated", s=time.monotonic() - began))


def _number(name: str) -> str:
    return name.partition("_")[0]


def _migrations(texts: dict[str, str]) -> Migrations:
    migrations = Migrations(SET)
    for name, text in texts.items():

        def run(tables: Tables, text: str = text) -> None:
            for statement in statements(text):
                tables.conn.execute(statement)

        migrations(name=name)(run)
    return migrations


def statements(script: str) -> list[str]:
    """The single statements of *script*: executescript would commit the migration's transaction."""
    found, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found


def _sync_way(path: Path) -> None:
    """Make the name of the file durable, and those of the folders above it, whoever made them and when."""
    for folder in path.parents:
        with suppress(PermissionError):  # one that is not ours to open was not made by us
            _sync_directory(folder)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
