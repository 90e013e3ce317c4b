"""What a work sees while it writes. Knows one connection inside one transaction, not when or where that commits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Params = Sequence[object] | Mapping[str, object]
Statements = Sequence[tuple[str, Sequence[object]]]


class Row(Protocol):
    """One row: its values by name and by place, in order."""

    def __getitem__(self, key: int | str, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> list[str]: ...


class Cursor(Protocol):
    """What a statement found or did."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection that speaks SQLite's SQL, with `?` or `:name` for parameters."""

    @property
    def in_transaction(self) -> bool: ...
    @property
    def is_remote(self) -> bool:
        """Whether a server answers: then nodes with a program of before may use it too, while nodes are upgraded."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Cursor: ...
    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor: ...
    def together(self, statements: "Statements", /) -> None: ...
    def enter(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Transaction:
    """One work's share of a commit. *now* is fixed, in seconds since the epoch."""

    connection: Connection
    now: float

    @property
    def is_alive(self) -> bool:
        """Whether the database has not given the transaction up."""
        return self.connection.in_transaction

    def execute(self, sql: str, params: Params = ()) -> Cursor:
        """Run one statement."""
        return self.connection.execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Params]) -> Cursor:
        """Run one statement for each of *rows*."""
        return self.connection.executemany(sql, rows)

    def together(self, statements: Statements) -> None:
        """Run *statements*, whose results nobody needs, in one go where the engine can.

        None of them reads or changes a row that another one writes: their order is not promised.
        """
        self.connection.together(statements)

    def enter(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Put many *rows* into *table*, the fastest way that the engine has: what these *columns* hold, in their order.

        Both names are ours. Raises what a statement would raise, for any of them.
        """
        self.connection.enter(table, columns, rows)
