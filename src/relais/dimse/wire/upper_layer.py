"""The upper layer of an association that a peer requests: states and PDUs (PS3.8 9.2). Knows no message, no service.

1. An acceptor that never asks for a release itself needs six of the thirteen states of PS3.8 table 9-10.
2. What must not come in a state is answered with an A-ABORT, and nothing after it is read (AA-1, AA-8).
3. It lives in the thread that serves the association; `interrupt` is for all others.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from relais.peers.wire import associate
from relais.peers.wire.associate import Answer, Request
from relais.peers.wire.connection import Connection
from relais.peers.wire.framing import Buffer
from relais.peers.wire.pump import Pump

BY_USER, BY_PROVIDER = 0, 2  # the source of an A-ABORT, and its reasons (PS3.8 9.3.8)
NOT_SPECIFIED, UNEXPECTED_PDU, INVALID_PARAMETER = 0, 2, 6
PROTOCOL_VERSION_NOT_SUPPORTED = (1, 2, 2)  # result, source and reason of a rejection (PS3.8 9.3.4)


class State(IntEnum):
    """PS3.8 tables 9-1 to 9-5."""

    IDLE = 1
    AWAITING_REQUEST = 2
    DECIDING = 3
    ESTABLISHED = 6
    PEER_RELEASES = 8
    CLOSING = 13


DATA_TRANSFER = (State.ESTABLISHED, State.PEER_RELEASES)


class UpperLayer(Pump):
    """Over *connection*, for *assoc*. *opening_deadline* is until when an association must be requested.

    *network_timeout_s* is how long the peer may be silent inside a PDU, or take none of what is sent.
    """

    def __init__(
        self, assoc: Any, connection: Connection, opening_deadline: float, network_timeout_s: float | None
    ) -> None:
        self.assoc, self._connection = assoc, connection
        self.opening_deadline, self._network_timeout_s = opening_deadline, network_timeout_s
        self.state = State.AWAITING_REQUEST
        self.request: Request | None = None
        self.accepted: Mapping[int, Answer] = {}
        self.is_interrupted = self.has_aborted = False

    # What may be asked for

    def accept(self, accepted: Mapping[int, Answer], items: bytes) -> None:
        """AE-7: the association is there from now on, with the contexts *accepted*, of which *items* tell the peer."""
        assert self.request is not None
        self.accepted, self.state = accepted, State.ESTABLISHED
        self._send([associate.acceptance(self.request, items)])

    def reject(self, result: int, source: int, reason: int) -> None:
        """AE-8"""
        self._say_last(associate.rejection(result, source, reason))

    def answer_release(self) -> None:
        """AR-4"""
        self._say_last(associate.RELEASE_RP)

    def abort(self, source: int = BY_USER, reason: int = NOT_SPECIFIED) -> None:
        """AA-1, AA-8; nothing if it is over already."""
        if self.state not in {State.CLOSING, State.IDLE}:
            self.has_aborted = True
            self._say_last(associate.abort(source, reason))

    def interrupt(self) -> None:
        """Have the thread that reads abort the association. For other threads."""
        self.is_interrupted = True
        self._connection.interrupt()

    def close(self) -> None:
        """End the connection, in good order if the association did: our last PDU must reach the peer before. Once.

        Who was told of what comes is let go: else each association would wait in memory for the garbage collector.
        """
        if self.state is State.CLOSING:
            self._connection.drain()
        self.state = State.IDLE
        self._connection.close()
        del self.assoc, self.messages

    def send_data(self, buffers: list[Buffer]) -> bool:
        if self.state not in DATA_TRANSFER:
            return False
        self._send(buffers)
        return self.state in DATA_TRANSFER

    # What the network is read for

    @property
    def connection(self) -> Connection:
        return self._connection

    @property
    def may_read(self) -> bool:
        return self.state not in {State.CLOSING, State.IDLE}

    @property
    def takes_data(self) -> bool:
        return self.state is State.ESTABLISHED

    @property
    def address(self) -> str:
        return str(self.assoc.address)

    @property
    def accepted_context_ids(self) -> Mapping[int, Answer]:
        return self.accepted

    @property
    def peer_max_length(self) -> int:
        return self.request.proposal.max_length if self.request is not None else 0

    @property
    def silence_s(self) -> float | None:
        return self._network_timeout_s

    def take(self, kind: int, header: bytes, body: bytes) -> None:
        """A row of PS3.8 table 9-10."""
        if kind == associate.A_ASSOCIATE_RQ and self.state is State.AWAITING_REQUEST:
            self._be_asked(body)
        elif kind == associate.A_RELEASE_RQ and self.state is State.ESTABLISHED:
            self.state = State.PEER_RELEASES  # AR-2
        elif kind == associate.A_ABORT:
            self.state = State.IDLE  # AA-2, AA-3
        else:
            self._refuse(UNEXPECTED_PDU)

    def lose(self, failure: OSError) -> None:
        """AA-4, AA-5"""
        if self.is_interrupted:
            self.abort()
        else:
            self.state = State.IDLE

    def refuse(self) -> None:
        self._refuse(INVALID_PARAMETER)

    def _be_asked(self, body: bytes) -> None:
        """AE-6: of the protocol version one bit counts (PS3.8 9.3.2)."""
        request = associate.decode(body)
        if not request.version & 1:
            self.reject(*PROTOCOL_VERSION_NOT_SUPPORTED)
            return
        self.request, self.state, self.opening_deadline = request, State.DECIDING, float("inf")

    def _refuse(self, reason: int) -> None:
        if self.state is State.AWAITING_REQUEST:
            self.abort()
        else:
            self.abort(BY_PROVIDER, reason)

    def _say_last(self, pdu: bytes) -> None:
        self._send([pdu])
        if self.state is not State.IDLE:
            self.state = State.CLOSING

    def _send(self, buffers: list[Buffer]) -> None:
        try:
            self._connection.send(buffers, self._network_timeout_s or float("inf"))
        except OSError:
            self.state = State.IDLE
