"""What programs of before have written in another way than today's: read a step at a time, beside the requests.

Knows rows that are left and a limit, not what is read of them.
"""

from collections.abc import Callable, Sequence

from relais.db.database import Connection, Database, Row, Transaction

STEP = 1000  # rows read by one transaction

Read = Callable[[Transaction, Sequence[Row]], None]
"""Reads some rows, which then are no longer left."""


def is_left(connection: Connection, unread: str) -> bool:
    """Whether *unread*, a statement that takes a limit, finds any row."""
    return connection.execute(unread, (1,)).fetchone() is not None


def step(db: Database, unread: str, read: Read) -> bool:
    """Have some of the rows that *unread* finds *read*; False if there are none. Any process may do so at any time."""
    with db.read() as connection:
        if not is_left(connection, unread):
            return False
    db.write(lambda tx: read(tx, tx.execute(unread, (STEP,)).fetchall()))
    return True
