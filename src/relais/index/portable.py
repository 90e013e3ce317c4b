"""The whole index, from one engine into another, or into a file. Knows tables by their names, not by their meaning.

1. A copy is of one moment, and whole or not at all.
2. What belongs to a node or a store and not to the archive (NODES_OWN) stays behind. Search tables that follow from
   others are made anew.
3. Revisions, ids and times stay what they are: whoever reads the change feed goes on where it was.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path

from relais.db import copies, statements
from relais.db.database import Connection, Database, Row, Transaction
from relais.db.settings import IndexSettings, for_path
from relais.dicom.attributes import Level
from relais.errors import InvalidRequest
from relais.index import changes, labels
from relais.index.scratch import scratch

SQL = statements.load("relais.index.sql", "portable.sql")
TABLES: dict[str, tuple[str, ...]] = {  # and their primary keys
    "person_name": ("id",),
    "person_name_word": ("word", "name_fk"),
    "person_word": ("word",),
    "uid": ("id",),
    "origin": ("id",),
    "patient": ("patient_id", "issuer_of_patient_id"),
    "study": ("id",),
    "study_modality": ("modality", "date_time", "study_fk"),
    "study_sop_class": ("study_fk", "sop_class_uid"),
    "series": ("id",),
    "series_request": ("series_fk", "item"),
    "label": ("id",),
    "utc_offset": ("minutes",),
    "instance": ("id",),
    "instance_json": ("instance_fk",),
    "change": ("revision",),
    "deleted": ("instance_fk",),
    "superseded": ("key",),
    "rejection": ("id",),
    "feed": ("id",),
    "totals": ("id",),
    "audit": ("id",),
    "commitment": ("id",),
    "commitment_asked": ("transaction_uid",),
    "condemned": ("key",),
    "series_pack": ("series_fk",),
    "series_documents": ("series_fk",),
    "packed_uid": ("stem", "series_fk"),
    "packed_id": ("block", "series_fk"),
    "packed_until": ("id",),
    "to_pack": ("series_fk",),
    "search_key": ("tag",),
    "study_key": ("tag", "start", "row_fk", "item"),
    "series_key": ("tag", "start", "row_fk", "item"),
}
NODES_OWN = ("lease", "spooled", "nearline")
LEFT_OUT = frozenset({*NODES_OWN, "compatibility"})
GENERATED = {"series": {"position"}, "instance": {"position"}}
AFTERWARDS = tuple(name for name in SQL if name not in ("forget_name", "history"))
BATCH = 2000


def save(db: Database, path: Path) -> None:
    """Copy the index into the new file *path*: SQLite, one file, durable. Others go on writing meanwhile."""
    is_copied = copies.copy_out(db.settings, path)
    with closing(Database(for_path(path))) as copy:
        if is_copied:
            copy.write(_leave_out)
        else:
            copy_rows(db, copy)
    copies.seal(path)


def load(path: Path, settings: IndexSettings) -> None:
    """Make what `save` wrote the index of *settings*, which must be none yet, or empty. The file stays as it is.

    Raises InvalidRequest if there is something in it already, Unavailable if somebody has it open, OutOfResources.
    """
    if not settings.is_postgresql:
        copies.put_in_place(path, settings)
        return
    with opened(path) as source, closing(Database(settings)) as target, target.alone():
        if not is_empty(target):
            raise InvalidRequest("There is something in this index already.")
        copy_rows(source, target)


@contextmanager
def opened(path: Path, room: Path | None = None) -> Iterator[Database]:
    """What `save` wrote, as a database: a copy of it below *room*, so that the file stays as it is."""
    with scratch(room) as folder:
        copy = folder / path.name
        shutil.copyfile(path, copy)
        with closing(Database(for_path(copy))) as db:
            yield db


def is_empty(db: Database) -> bool:
    """Whether nothing was ever stored in it."""
    held = counts(db)
    return held["change"] == held["deleted"] == held["audit"] == 0


def counts(db: Database) -> dict[str, int]:
    """How many rows each table has."""
    with db.read(is_long=True) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}  # noqa: S608 - our own names


def copy_rows(source: Database, target: Database) -> None:
    """Make *target* hold the rows of *source* and no others, in one transaction."""
    with source.read(is_long=True) as connection:

        def work(tx: Transaction) -> None:
            for table in TABLES:
                tx.execute(f"DELETE FROM {table}")  # noqa: S608
                for rows in _batches(connection, table):
                    _enter(tx, table, rows)
            for statement in AFTERWARDS:
                tx.execute(SQL[statement])
            for level, table in ((Level.STUDY, "study"), (Level.SERIES, "series")):
                for rows in _batches(connection, table):
                    labels.mark_many(tx, level, {row["id"]: {name: row[name] for name in row.keys()} for row in rows})  # noqa: SIM118

        target.write(work)


def _leave_out(tx: Transaction) -> None:
    for table in NODES_OWN:
        tx.execute(f"DELETE FROM {table}")  # noqa: S608


def begin_anew(db: Database, name: str) -> None:
    """Give the change feed of an index that was set back a new *name*: whoever follows it begins again."""

    def work(tx: Transaction) -> None:
        tx.execute(SQL["forget_name"])
        tx.execute(changes.SQL["give_name"], (name,)).fetchone()

    db.write(work)


def history(db: Database) -> Iterator[str]:
    """The keys of what instances that are here replaced. No read stays open between batches."""
    last = ""
    while True:
        with db.read() as connection:
            keys = [row["key"] for row in connection.execute(SQL["history"], (last, BATCH)).fetchall()]
        yield from keys
        if len(keys) < BATCH:
            return
        last = keys[-1]


def _batches(connection: Connection, table: str) -> Iterator[list[Row]]:
    """Every row of *table*, by its primary key."""
    names = ", ".join(TABLES[table])
    marks = ", ".join("?" * len(TABLES[table]))
    behind: tuple[object, ...] = ()
    while True:
        where = f"WHERE ({names}) > ({marks})" if behind else ""
        select = f"SELECT * FROM {table} {where} ORDER BY {names} LIMIT {BATCH}"  # noqa: S608
        rows = connection.execute(select, behind).fetchall()
        if rows:
            yield rows
        if len(rows) < BATCH:
            return
        behind = tuple(rows[-1][name] for name in TABLES[table])


def _enter(tx: Transaction, table: str, rows: list[Row]) -> None:
    names = rows[0].keys()
    kept = [place for place, name in enumerate(names) if name not in GENERATED.get(table, ())]
    values = tuple if len(kept) == len(names) else itemgetter(*kept)
    tx.enter(table, [names[place] for place in kept], map(values, rows))
