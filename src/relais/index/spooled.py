"""Where stored objects are that the object store does not have yet, or not at hand. Knows keys and UIDs, not the bytes.

A key enters in the transaction that registers its instance, and leaves when the object store has the object: until then
every node knows that it is not lost.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from relais.db import statements
from relais.db.database import Database, Transaction
from relais.dicom.refs import SeriesRef

SQL = statements.load("relais.index.sql", "spooled.sql")


@dataclass(frozen=True, slots=True)
class Spooling:
    """How many objects wait on a node, the oldest of them *since* a time in seconds since the epoch."""

    node: str
    objects: int
    since: float


def add(tx: Transaction, key: str, node: str) -> None:
    """The object waits on *node*."""
    tx.execute(SQL["add"], (key, node, tx.now))


def remove(tx: Transaction, keys: Iterable[str]) -> None:
    """The objects wait no more."""
    tx.executemany(SQL["remove"], [(key,) for key in keys])


def node_of(db: Database, key: str) -> str | None:
    """On which node the object waits; None if on none."""
    with db.read() as connection:
        found = connection.execute(SQL["node_of"], (key,)).fetchone()
    return found["node"] if found else None


def behind(db: Database, node: str, key: str, limit: int) -> list[str]:
    """The first *limit* keys behind *key*, in order, of what waits on *node*."""
    with db.read() as connection:
        return [row["key"] for row in connection.execute(SQL["behind"], (node, key, limit)).fetchall()]


def by_node(db: Database) -> list[Spooling]:
    """What waits on which node."""
    with db.read() as connection:
        rows = connection.execute(SQL["by_node"]).fetchall()
    return [Spooling(row["node"], row["objects"], row["since"]) for row in rows]


def any_nearline(db: Database) -> bool:
    """Whether anything is not at hand."""
    with db.read() as connection:
        return connection.execute(SQL["any_nearline"]).fetchone() is not None


def nearline(db: Database, studies: Collection[str]) -> frozenset[SeriesRef]:
    """Those series of *studies* (Study Instance UIDs) that are not wholly at hand."""
    with db.read() as connection:
        return frozenset(
            SeriesRef(study, row["series_instance_uid"])
            for study in set(studies)
            for row in connection.execute(SQL["nearline_series"], (study,)).fetchall()
        )


def set_nearline(tx: Transaction, series: SeriesRef) -> None:
    """Some of the series lies in slow storage."""
    tx.execute(SQL["set_nearline"], (series.study_instance_uid, series.series_instance_uid, tx.now))


def set_online(tx: Transaction, series: SeriesRef) -> None:
    """All of the series is at hand."""
    tx.execute(SQL["set_online"], (series.study_instance_uid, series.series_instance_uid))
