"""The change feed: every change to what the node holds, in order. Knows instances, not who reads the feed.

1. Revisions are given out one after the other inside the transaction that makes the change, and become visible with it:
   whoever has seen a revision will never find a new one before it.
2. A change is never altered. A rebuild of the index drops all and tells every instance anew, behind the last revision.
3. An index that was lost and made from nothing counts from 1 again, under another name.
"""

from collections.abc import Mapping
from secrets import token_hex

from relais.db import statements
from relais.db.database import Database, Row
from relais.dicom.refs import InstanceRef
from relais.index import instances
from relais.index.lookup import Source, reading
from relais.index.mapping import unpack_key
from relais.index.rows import Change, InstanceRow

SQL = statements.load("relais.index.sql", "changes.sql")


def since(db: Database, revision: int, limit: int) -> list[Change]:
    """The first *limit* changes behind *revision*, oldest first."""
    with db.read() as connection:
        rows = connection.execute(SQL["since"], (revision, limit)).fetchall()
        packed = {row["instance_fk"] for row in rows if row["key"] is None}
        live = {row.id: row for row in instances.by_ids(connection, packed)} if packed else {}
    return [_change(row, live) for row in rows]


def _change(row: Row, live: Mapping[int, InstanceRow]) -> Change:
    """A row of the feed; *live* are the instances that are packed."""
    if row["key"] is None:
        ref, key = live[row["instance_fk"]].ref, live[row["instance_fk"]].key
    else:
        ref = InstanceRef(row["study_instance_uid"], row["series_instance_uid"], row["sop_instance_uid"])
        key = unpack_key(row["key"], ref)
    return Change(row["revision"], row["at"], row["kind"], ref, key)


def deletions(db: Database, after: int, until: int) -> list[InstanceRef]:
    """What was deleted by the revisions behind *after*, up to and with *until*."""
    with db.read() as connection:
        return [InstanceRef(*row) for row in connection.execute(SQL["deletions"], (after, until)).fetchall()]


def latest(db: Database) -> int:
    """The newest revision, 0 before the first change."""
    with db.read() as connection:
        return int(connection.execute(SQL["latest"]).fetchone()[0])


def latest_at(db: Database) -> float | None:
    """When the newest change came, by the clock of that moment, in seconds since 1970; None before the first."""
    row = db.first(SQL["latest_at"], ())
    return float(row["at"]) if row is not None else None


def name(db: Database) -> str:
    """The name of the feed, the same for as long as the index lives."""
    with db.read() as connection:
        row = connection.execute(SQL["name"]).fetchone()
    if row is not None:
        return str(row["name"])
    return db.write(lambda tx: str(tx.execute(SQL["give_name"], (token_hex(8),)).fetchone()["name"]))


def was_dropped(db: Source, key: str) -> bool:
    """Whether the bytes under the storage key *key* are to go: deleted, or condemned (index.condemned)."""
    with reading(db) as connection:
        return connection.execute(SQL["was_dropped"], {"key": key}).fetchone() is not None
