"""What a work sees while it writes. Knows one connection inside one transaction, not when it commits."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Connection = sqlite3.Connection
Cursor = sqlite3.Cursor
Row = sqlite3.Row
Params = Sequence[object] | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One work's share of a commit. *now* is fixed, in seconds since the epoch."""

    connection: Connection
    now: float

    @property
    def is_alive(self) -> bool:
        """Whether SQLite has not given the transaction up."""
        return self.connection.in_transaction

    def execute(self, sql: str, params: Params = ()) -> Cursor:
        """Run one statement."""
        return self.connection.execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Params]) -> Cursor:
        """Run one statement for each of *rows*."""
        return self.connection.executemany(sql, rows)
