"""The offsets from UTC that studies tell, each once: with them a time in any zone is found by its index.

Knows rows, not zones (dicom.timezones). A study that tells an offset says so in its bits of what is there, and in one
bit more that its offset is listed. What a program of before has written, which did not list any, is read a step at a
time; until that is done nobody can say which offsets there are.
"""

from collections.abc import Sequence

from relais.db import statements
from relais.db.database import Database, Row, Transaction
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.timezones import OFFSET_TAG, offset_of
from relais.index import catching_up, columns, packing

SQL = statements.load("relais.index.sql", "offsets.sql")
TELLS = dict(columns.packed_attributes(Level.STUDY))[tag_key(OFFSET_TAG)]
IS_LISTED = 1 << 62


def known(db: Database) -> frozenset[int] | None:
    """The minutes east of Greenwich of every offset that any study tells; None while that is not known."""
    with db.read() as connection:
        if catching_up.is_left(connection, SQL["unread"]):
            return None
        return frozenset(row[0] for row in connection.execute(SQL["all"]).fetchall())


def mark(tx: Transaction, present: int, ds: JsonDataset) -> int:
    """List the offset of a study that says *ds*, and return the bits of what is there with that one set."""
    if not present & TELLS:
        return present
    _list(tx, ds)
    return present | IS_LISTED


def work(db: Database) -> bool:
    """Read the offsets of some studies that programs of before have written; False if there are none."""
    return catching_up.step(db, SQL["unread"], _read)


def _read(tx: Transaction, rows: Sequence[Row]) -> None:
    for ds in packing.unpack_many([bytes(row["attributes"]) for row in rows]):
        _list(tx, ds)
    tx.executemany(SQL["read"], [(row["id"],) for row in rows])


def _list(tx: Transaction, ds: JsonDataset) -> None:
    minutes = offset_of(ds)
    if minutes is not None:
        tx.execute(SQL["add"], (minutes,))
