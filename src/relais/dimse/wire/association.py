"""An association that a peer requested, in one thread. Knows Services, not what they do."""

import logging
import threading
import time
from collections.abc import Sequence
from socket import socket
from typing import Any

from relais.dimse.association import NodeAssociation, Services
from relais.dimse.negotiation import Terms
from relais.dimse.room import Collected, Room
from relais.dimse.settings import DimseSettings
from relais.dimse.wire.upper_layer import DATA_TRANSFER, State, UpperLayer
from relais.peers.tls import proofs
from relais.peers.wire.associate import Answer
from relais.peers.wire.command_set import AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID, CommandSet, text
from relais.peers.wire.connection import Connection
from relais.peers.wire.messages import InlineMessages, InvalidMessage, Sink
from relais.telemetry.context import bound

log = logging.getLogger(__name__)


class ServedMessages(InlineMessages):
    """Messages whose C-STORE Data Sets go to the services as they arrive, and whose others have bounded room."""

    def __init__(self, upper_layer: UpperLayer, room: Room) -> None:
        super().__init__(upper_layer)
        self._collected = Collected(room)

    def reserve(self, size_bytes: int) -> None:
        if not self._collected.more(size_bytes):
            raise InvalidMessage("no room for a Data Set of this length")

    def release(self) -> None:
        super().release()
        if not self.is_receiving and self.msg_queue.empty():
            self._collected.clear()

    def discard(self) -> None:
        super().discard()
        self._collected.clear()

    def open_sink(self, command: CommandSet, context_id: int) -> Sink | None:
        assoc = self.upper_layer.assoc
        assert isinstance(assoc, InlineNodeAssociation)
        announced = {
            "AffectedSOPClassUID": text(command, AFFECTED_SOP_CLASS_UID) or "",
            "AffectedSOPInstanceUID": text(command, AFFECTED_SOP_INSTANCE_UID) or "",
        }
        return assoc.services.receive(assoc, announced, assoc.context(context_id))


class InlineNodeAssociation(NodeAssociation):
    """An association that lives in the thread that serves it."""

    def __init__(
        self, services: Services, settings: DimseSettings, room: Room, connection: socket, address: Any
    ) -> None:
        """For what the peer at *address* will ask for over *connection*, within the ACSE time-out."""
        self.begin()
        self.services, self._settings = services, settings
        self.address, self.proofs = address[0], proofs(connection)
        opening_deadline = time.monotonic() + settings.acse_timeout_s  # of the A-ASSOCIATE-RQ (PS3.8 9.1.5)
        self._layer = UpperLayer(self, Connection(connection), opening_deadline, settings.network_timeout_s)
        self.dimse = self._layer.messages = ServedMessages(self._layer, room)
        self._is_serving = self.is_established = self.is_released = self.is_rejected = False
        self._owner = 0

    def serve(self) -> None:
        """Until it is over, in the caller's thread."""
        with bound(assoc=self.id):
            try:
                self._run()
            finally:
                self.is_established = False
                self._layer.close()
                self.dimse.discard()
                self.services.ended(self)

    # As NodeAssociation

    @property
    def is_open(self) -> bool:
        return self._layer.state is State.ESTABLISHED

    @property
    def is_busy(self) -> bool:
        return self._is_serving or self.dimse.is_receiving or not self.dimse.msg_queue.empty()

    @property
    def dimse_timeout(self) -> float | None:
        return self._settings.dimse_timeout_s

    @property
    def accepted_contexts(self) -> Sequence[Answer]:
        return [answer for _, answer in sorted(self._layer.accepted.items())]

    def accept(self, terms: Terms) -> None:
        self.extended = terms.extended
        self._layer.accept(terms.accepted, terms.items)

    def reject(self, result: int, source: int, reason: int) -> None:
        self.is_rejected = True
        self._layer.reject(result, source, reason)

    def abort(self, block: bool = True) -> None:
        """PS3.8 9.3.8; from another thread than its own it is interrupted, and aborts by itself."""
        if self._owner == threading.get_ident():
            self._layer.abort()
        else:
            self._layer.interrupt()

    def context(self, context_id: int) -> Answer:
        """The accepted presentation context with that ID."""
        return self._layer.accepted[context_id]

    # Until it is over

    def _run(self) -> None:
        self._owner = threading.get_ident()
        layer = self._layer
        layer.pump(lambda: layer.state is not State.AWAITING_REQUEST, None)
        if layer.state is not State.DECIDING:
            return
        self.asked = layer.request
        try:
            self.services.requested(self)
        except Exception:
            log.exception("an association could not be negotiated")
            layer.abort()
        self.is_established = self.is_open
        while layer.state in DATA_TRANSFER:
            self._go_on()

    def _go_on(self) -> None:
        """Wait for the next message and serve it, or for the end; who is silent for too long is aborted."""
        layer = self._layer
        self.dimse.release()
        layer.pump(self._has_news, self._settings.network_timeout_s)
        if not self.dimse.msg_queue.empty():
            self._serve(*self.dimse.msg_queue.get(block=False))
        elif layer.state is State.PEER_RELEASES:
            self.is_released = True
            layer.answer_release()
        elif self.is_open:
            layer.abort()

    def _has_news(self) -> bool:
        return not (self.is_open and self.dimse.msg_queue.empty())

    def _serve(self, context_id: int, message: Any) -> None:
        if message.MessageIDBeingRespondedTo is not None or message.MessageID is None:
            self._layer.abort()  # a response to nothing
            return
        self._is_serving = True
        try:
            sink = self.dimse.take_sink(message.MessageID)
            self.services.serve(self, message, self.context(context_id), sink)
        except Exception:
            log.exception("a request could not be served")
            self._layer.abort()
        finally:
            self._is_serving = False
