"""Numbered migrations of an index on PostgreSQL. Knows file names and order; the .sql files know tables.

Each step is one transaction together with its line in `relais_migration`: one that is killed leaves nothing. Who
migrates holds a lock that the server takes back with the connection.
"""

import logging
from importlib import resources

import psycopg

from relais.db.migrate import NEWER, OLDEST, may_follow, told
from relais.db.postgres.connection import PostgresConnection
from relais.errors import Unavailable

# However long another node migrates, or one of its reads takes.
LOCK = "SET lock_timeout = 0; SELECT pg_advisory_lock(1380273741, hashtext(current_schema()))"
UNLOCK = "RESET lock_timeout; SELECT pg_advisory_unlock_all()"
TABLE = """
CREATE TABLE relais_migration(name text COLLATE "C" PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())
"""
APPLIED = "INSERT INTO relais_migration(name) VALUES (?)"
ENCODING = "The index's database must have the encoding UTF8: createdb -E UTF8 -T template0 ..."
NO_TRIGRAMS = (
    "The index needs PostgreSQL's extension pg_trgm, and its role may not bring it in: let an administrator run "
    "CREATE EXTENSION pg_trgm in the index's database, or make the role the database's owner."
)
VOLATILE = "PostgreSQL runs with %s = off: what it acknowledges may be gone after a power cut"

log = logging.getLogger(__name__)


def scripts() -> dict[str, str]:
    """Every migration by name, in order."""
    files = sorted(resources.files("relais.db.schema.postgresql").iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files if file.name.endswith(".sql")}


def migrate(connection: PostgresConnection) -> None:
    """Bring the index to the newest schema.

    Raises Unavailable for an index that a newer program has migrated further than this one can follow.
    """
    if connection.execute("SHOW server_encoding").fetchone()[0] != "UTF8":
        raise Unavailable(ENCODING)
    for setting in ("fsync", "full_page_writes"):
        if connection.execute(f"SHOW {setting}").fetchone()[0] == "off":
            log.warning(VOLATILE, setting)
    connection.tell(LOCK)
    try:
        _migrate(connection, scripts())
    finally:
        if not connection.raw.closed:
            connection.tell(UNLOCK)


def _migrate(connection: PostgresConnection, texts: dict[str, str]) -> None:
    applied = _applied(connection)
    newer = applied - set(texts)
    if newer and not may_follow(connection.execute(OLDEST).fetchone()[0]):
        raise Unavailable(NEWER.format(", ".join(sorted(newer))))
    if pending := texts.keys() - applied:
        with told(applied, pending):
            for name in sorted(pending):
                _apply(connection, name, texts[name])


def _applied(connection: PostgresConnection) -> set[str]:
    """The names of what was done, in an index that may be new."""
    if connection.execute("SELECT to_regclass('relais_migration')").fetchone()[0] is None:
        connection.execute(TABLE)
    return {row["name"] for row in connection.execute("SELECT name FROM relais_migration")}


def _apply(connection: PostgresConnection, name: str, text: str) -> None:
    """One step, whole or not at all."""
    try:
        with connection.raw.transaction():
            connection.tell(text)
            connection.execute(APPLIED, (name,))
    except psycopg.Error as exc:
        if "pg_trgm" in str(exc):
            raise Unavailable(NO_TRIGRAMS) from exc
        raise
