"""What a store with a spool promises besides storage.base, and what it asks of who knows the other nodes.

A spool is on one machine: what was acknowledged is durable there, until the store proper has taken it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits in a spool."""

    objects: int = 0
    size_bytes: int = 0


@runtime_checkable
class Spooling(Protocol):
    """The spool of a store, as seen by whoever empties it."""

    @property
    def spool_name(self) -> str:
        """Which spool this is, among those of all nodes: the machine and the folder."""

    def is_spooled(self, key: str) -> bool:
        """Whether the object waits here."""

    def spooled(self) -> Iterator[str]:
        """The key of everything that waits here."""

    def waiting(self) -> Waiting:
        """How much that is, counted now."""

    def move(self, key: str) -> None:
        """See to it that the store proper has the object, whole. It stays in the spool. Doing so again changes nothing.

        Raises NotFound if it does not wait here, Unavailable if the store does not take it.
        """

    def let_go(self, key: str) -> None:
        """The store proper has the object, or nobody wants it: remove it from the spool."""

    def require_ready(self) -> str | None:
        """Return if objects can be acknowledged: None if the store proper takes them, a sentence if the spool has to.

        Raises Unavailable if neither can.
        """


class Register(Protocol):
    """What the nodes of one archive tell each other about their objects."""

    def waits_elsewhere(self, key: str, here: str) -> bool:
        """Whether the object is in another spool than the one named *here*."""

    def found_nearline(self, key: str) -> None:
        """The object cannot be read at once."""

    def listed(self, folder: str, *, is_nearline: bool) -> None:
        """A listing of the series *folder* has come to its end; *is_nearline* if some of it cannot be read at once."""
