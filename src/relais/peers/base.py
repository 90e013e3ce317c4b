"""The port to another node: what every peer promises. Knows queries, UIDs and encoded Data Sets, no protocol.

Adapters share tests/contract/test_peer.py. A peer that does not answer, refuses the association or breaks off is
Unavailable; what it says about a single instance is a Sent.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query
from relais.errors import InvalidRequest

Buffer = bytes | bytearray | memoryview


class Refused(InvalidRequest):
    """The peer refused, or did not finish, what it was asked. *status* is what it said."""

    def __init__(self, message: str | None = None, status: int = 0xC000) -> None:
        super().__init__(message)
        self.status = status


class Begun(Iterator[bytes]):
    """All of an encoded Data Set, in one piece, which is being fetched already: meanwhile others can be asked for."""

    def __init__(self, fetched: Future[bytes]) -> None:
        self._left = [fetched]

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        return self._left.pop().result()

    def close(self) -> None:
        """It is not wanted any more."""
        for fetched in self._left:
            fetched.cancel()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An instance on its way to a peer.

    *read* gives its encoded Data Set in the Transfer Syntax asked for, in pieces, of which it may have Begun to fetch
    them, and raises a NodeError, before the first piece, where it cannot be had so. It is asked for
    *transfer_syntax_uid* first: the one it is stored in.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    read: Callable[[str], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class MoveOriginator:
    """Who asked for a C-MOVE, as its sub-operations tell (PS3.7 9.1.1.1)."""

    ae_title: str
    message_id: int


class Verdict(StrEnum):
    """What a status means, in the words of the counters of C-MOVE and C-GET (PS3.7 C)."""

    COMPLETED = "completed"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one instance. *status* is the peer's (PS3.4 B.2.3), None where it gave none."""

    sop_instance_uid: str
    status: int | None = None
    comment: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.status == 0:
            return Verdict.COMPLETED
        if self.status is not None and (self.status in {0x0001, 0x0107, 0x0116} or self.status >> 12 == 0xB):
            return Verdict.WARNING
        return Verdict.FAILED


@dataclass(frozen=True, slots=True)
class Announced:
    """What a peer says of an instance that it is about to send, and for which SOP Class its context was negotiated."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    context_sop_class_uid: str


class Answer(Protocol):
    """What a peer is told of an instance that it sent (PS3.4 B.2.3)."""

    @property
    def code(self) -> int: ...


class Inbound(Protocol):
    """What takes the encoded Data Set of one instance: each piece is valid during the call only.

    Nothing is raised while pieces come; what went wrong is told at the end.
    """

    def write(self, data: Buffer, /) -> None: ...

    def finish(self) -> Answer:
        """All of it has come. Success only if it is durable."""

    def discard(self) -> None:
        """The rest will not come."""


Receive = Callable[[Announced], Inbound]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a peer said at the end of a C-GET or C-MOVE, in numbers of sub-operations (PS3.4 C.4.2.1, C.4.3.1)."""

    status: int
    comment: str = ""
    completed: int = 0
    failed: int = 0
    warning: int = 0


class Peer(Protocol):
    """One other node."""

    @property
    def name(self) -> str: ...

    def echo(self) -> None:
        """Return if the peer answers. Raises Unavailable with a sentence that says why it does not."""

    def search(self, query: Query) -> Iterator[JsonDataset]:
        """What the peer answers to *query*, as it arrives. Raises Unavailable and Refused, both also at its end."""

    def store(
        self,
        instances: Iterable[Outgoing],
        originator: MoveOriginator | None = None,
        keep_going: Callable[[], bool] = lambda: True,
    ) -> Iterator[Sent]:
        """Send *instances* and tell what became of each, in any order, as it is known.

        *keep_going* is asked, in any thread, before each: once it says no, the results of those on their way are the
        last. Closing the iterator stops at the same point. Raises Unavailable only if not a single instance could be
        offered; a peer that goes away later leaves Sents without a status.
        """
