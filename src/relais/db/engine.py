"""What an engine of the index offers to database.Database, which does the rest. Knows neither of the two engines.

Everything here belongs to one process. The rooms above speak one SQL, SQLite's (see db.postgres.spelling).
"""

from contextlib import AbstractContextManager
from typing import Protocol

from relais.db.transaction import Connection, Params, Row
from relais.errors import NodeError


class TryAgain(Exception):
    """The engine gave the transaction up for no fault of its works."""


class Words(Protocol):
    """What an engine's exceptions mean."""

    @property
    def FOREIGN(self) -> tuple[type[Exception], ...]:
        """The exceptions of the engine's driver."""

    def of_reading(self, exc: BaseException) -> NodeError:
        """*exc* in the node's words."""

    def of_writing(self, exc: BaseException) -> NodeError:
        """The same before anything was committed: OutOfResources where there was no room."""

    def passes(self, exc: BaseException) -> bool:
        """Whether the same works may do in another transaction: nothing of this one is there."""


class Writer(Protocol):
    """The one connection of a process that writes, one transaction at a time."""

    @property
    def connection(self) -> Connection:
        """Where works write."""

    @property
    def words(self) -> Words:
        """What its exceptions mean."""

    @property
    def savepoints_are_dear(self) -> bool:
        """Whether works that seldom fail should be run without."""

    @property
    def is_alive(self) -> bool:
        """Whether there is a transaction, and it may still be committed or go back to a savepoint."""

    def held(self, since: float) -> AbstractContextManager[None]:
        """This process's turn to write, for somebody who waits *since* then, by the monotonic clock."""

    def begin(self) -> None:
        """Begin a transaction that sees what others have committed before it, and that no other writer disturbs."""

    def commit(self) -> None:
        """Make it durable. Raises TryAgain if nothing of it is there, another NodeError if that is not known."""

    def roll_back(self) -> None:
        """End the transaction, if there is one."""

    def close(self) -> None:
        """Close the connection."""


class Engine(Protocol):
    """What one process holds open of an index."""

    @property
    def writer(self) -> Writer:
        """Its writer."""

    def snapshot(self, timeout_s: float | None) -> AbstractContextManager[Connection]:
        """A connection that sees one commit and cannot write; after *timeout_s* it gives up."""

    def first(self, sql: str, params: Params) -> Row | None:
        """The first row that one statement finds in one commit, None if it finds none; otherwise as `snapshot`."""

    def aside(self, sql: str, params: Params) -> bool:
        """Run one statement in a commit of its own that may be lost, beside the writers; False where none can be.

        Raises Unavailable.
        """

    def alone(self) -> AbstractContextManager[None]:
        """Keep others from opening the index. Raises Unavailable if one has."""

    def close(self) -> None:
        """Let go of everything."""
