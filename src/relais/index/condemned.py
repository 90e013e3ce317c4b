"""Storage keys whose bytes shall go. Knows keys and rows, not the bytes.

1. Bytes that may have been registered are removed only after their key was condemned and that commit is durable: a
   check first and a removal later would leave a moment in which a sweep registers them.
2. What is condemned is never registered (changes.was_dropped says so), and no key is ever used twice.
"""

from collections.abc import Iterable

from relais.db import statements
from relais.db.database import Database, Transaction
from relais.dicom.refs import InstanceRef
from relais.index import lookup

SQL = statements.load("relais.index.sql", "condemned.sql")


def add(tx: Transaction, keys: Iterable[str]) -> None:
    """Condemn *keys*, which no row names any more after this transaction."""
    tx.executemany(SQL["add"], [(key, tx.now) for key in keys])


def add_unless_named(tx: Transaction, ref: InstanceRef, key: str) -> bool:
    """Condemn one *key* of *ref*, unless a row names it, or it is the history of one; whether it was condemned."""
    tx.execute(SQL["wait"])
    named = lookup.instance(tx, ref)
    if (named is not None and named.key == key) or tx.execute(SQL["is_history"], (key,)).fetchone() is not None:
        return False
    add(tx, [key])
    return True


def probe(tx: Transaction) -> None:
    """Write something that changes nothing."""
    tx.execute(SQL["wait"])


def behind(db: Database, key: str, limit: int) -> list[str]:
    """The first *limit* condemned keys behind *key*, in order."""
    with db.read() as connection:
        return [row["key"] for row in connection.execute(SQL["behind"], (key, limit)).fetchall()]


def remove(tx: Transaction, keys: Iterable[str]) -> None:
    """The bytes of *keys* are gone."""
    tx.executemany(SQL["remove"], [(key,) for key in keys])
