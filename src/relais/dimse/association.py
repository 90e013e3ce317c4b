"""An association that a peer requested, as its services see it, and what they are. Knows neither of its engines."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from pynetdicom.dimse_primitives import DimseServiceType

from relais.dicom.origin import Channel, Origin
from relais.dimse import identity
from relais.dimse.negotiation import Terms
from relais.peers.association import Context
from relais.peers.wire.associate import Request
from relais.peers.wire.messages import Sink
from relais.telemetry.context import new_id


class NodeAssociation(ABC):
    """What was asked for, what is decided about it, and what becomes of it. See relais.peers.association.Associated."""

    asked: Request | None  # None until it has come
    address: str  # of the peer
    proofs: frozenset[str]  # see relais.peers.tls
    is_established: bool
    is_released: bool
    is_rejected: bool
    dimse: Any

    def begin(self) -> None:
        """Be a new one. For the engines."""
        self.asked = None
        self.id = new_id()
        self.began_at = time.monotonic()
        self.tally: Counter[str] = Counter()
        self.extended: Mapping[str, bytes] = {}  # by SOP Class, what was agreed on (PS3.7 D.3.3.5)
        self.rejected_because = ""

    @cached_property
    def origin(self) -> Origin:
        """Who is at the other end, as far as it tells: AE titles and users are claims, address and proofs are not.

        Ask once there is a request.
        """
        asked = self.asked
        assert asked is not None
        return Origin(
            Channel.DIMSE,
            address=self.address,
            calling_ae_title=asked.calling_ae_title,
            called_ae_title=asked.called_ae_title,
            user=identity.user_of(asked.proposal.identity),
            proofs=self.proofs,
        )

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether messages can still be exchanged."""

    @property
    @abstractmethod
    def dimse_timeout(self) -> float | None:
        """How long to wait for an answer of the peer."""

    @property
    @abstractmethod
    def accepted_contexts(self) -> Sequence[Context]:
        """The presentation contexts that messages may use."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a request is arriving, waiting or being served."""

    @abstractmethod
    def accept(self, terms: Terms) -> None:
        """Say yes. Call it, or `reject`, while it is being requested."""

    @abstractmethod
    def reject(self, result: int, source: int, reason: int) -> None:
        """Say no (PS3.8 9.3.4)."""

    @abstractmethod
    def abort(self, block: bool = True) -> Any:
        """End it, from any thread."""


class Services(Protocol):
    """What an association is for. Called in its own thread, `receive` in that of its network provider."""

    def requested(self, assoc: NodeAssociation) -> None:
        """An association is asked for: accept or reject it."""

    def receive(self, assoc: NodeAssociation, announced: Mapping[str, str], context: Context) -> Sink:
        """The command set of a C-STORE request has arrived, its UIDs by keyword; its Data Set follows."""

    def serve(self, assoc: NodeAssociation, request: DimseServiceType, context: Context, sink: Sink | None) -> None:
        """A request has arrived completely."""

    def ended(self, assoc: NodeAssociation) -> None:
        """The association is over, however it ended, or never was."""
