"""pynetdicom's upper layer and association, for those that we request, without threads of their own.

PDU classes, state machine, ACSE and negotiation are pynetdicom's (relais.peers.mended). What is ours: whoever waits
reads the connection (relais.peers.wire.pump), whoever sends sends at once.
"""

import logging
import time
from collections.abc import Collection
from contextlib import suppress
from socket import socket
from typing import Any

from pynetdicom.fsm import InvalidEventError
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation

from relais.peers.mended import CONNECTED, DATA_TRANSFER, DrivenAssociation, DrivenProvider, HeldSocket
from relais.peers.tls import Secure
from relais.peers.wire.connection import Connection
from relais.peers.wire.framing import Buffer
from relais.peers.wire.messages import InlineMessages
from relais.peers.wire.pump import AT_ONCE_S, Pump, seconds

ESTABLISHED, CLOSING = "Sta6", "Sta13"  # PS3.8 9.2.2
CONNECTION_CLOSED, INVALID_PDU = "Evt17", "Evt19"  # PS3.8 table 9-10

log = logging.getLogger(__name__)


class InlineSocket(HeldSocket):
    """pynetdicom's socket over our Connection."""

    assoc: "SingleThreaded"
    connection: Connection | None = None
    secure: Secure | None = None  # done to a connection that we open
    failure: OSError | None = None  # why it could not be opened, or ended

    def __init__(
        self, assoc: Any, client_socket: socket | None = None, address: AddressInformation | None = None
    ) -> None:
        super().__init__(assoc, client_socket, address)
        if client_socket is not None:
            self.connection = Connection(client_socket)

    def connect(self, primitive: T_CONNECT) -> None:
        """As pynetdicom's, which forgets what went wrong; the TLS handshake too has connection_timeout and no more."""
        connected = self.socket
        assert connected is not None
        try:
            connected.settimeout(seconds(self.assoc.connection_timeout))
            connected.connect(primitive.address_info.as_tuple)
            if self.secure is not None:
                connected = self.secure(connected)
        except OSError as exc:
            self.failure, self.socket = exc, None
            connected.close()
            primitive.result = CONNECTION_CLOSED
        else:
            self.socket, self.connection = connected, Connection(connected)
            primitive.result = CONNECTED
        self.tell(primitive)

    def send(self, bytestream: bytes) -> None:
        self.send_buffers([bytestream])

    def send_buffers(self, buffers: list[Buffer]) -> None:
        """Send; what goes wrong is an event."""
        try:
            if self.connection is None:
                raise OSError("not connected")
            self.connection.send(buffers, seconds(self.assoc.network_timeout))
        except OSError as exc:
            self.failure = self._last_word() or exc
            self.event_queue.put(CONNECTION_CLOSED)

    def _last_word(self) -> OSError | None:
        """Why the peer closed the connection, where its TLS said so before we could send: in TLS 1.3 it judges our
        certificate when the handshake is over for us."""
        try:
            if self.secure is not None and self.connection is not None:
                self.connection.wait(time.monotonic() + AT_ONCE_S)
        except OSError as exc:
            return exc
        return None

    def hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()
        elif self.socket is not None:
            self.socket.close()


class InlineProvider(Pump, DrivenProvider):
    """The upper layer service of one association, run by whoever calls it."""

    assoc: "SingleThreaded"
    socket: InlineSocket | None
    messages: InlineMessages
    _is_running = False

    # What pynetdicom asks of its thread

    def start(self) -> None:
        self._is_running = True
        self.assoc.provider_started()
        self._settle()

    def is_alive(self) -> bool:
        return self._is_running and not self.is_over

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        self._settle()

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        if wait:
            self.pump(lambda: not self.to_user_queue.empty(), timeout)
        return super().receive_pdu(wait=False)

    def stop_dul(self) -> bool:
        """End, in good order if the association did: our last PDU must reach the peer before the connection ends."""
        if self.socket is not None and self.socket.connection is not None:
            if self.state_machine.current_state == CLOSING:
                self.socket.connection.drain()
            self.socket.close()
            self._settle()
        self.end()
        return True

    # What the network is read for

    @property
    def connection(self) -> Connection | None:
        return self.socket.connection if self.socket is not None else None

    @property
    def may_read(self) -> bool:
        return self.is_alive() and self.state_machine.current_state != CLOSING

    @property
    def takes_data(self) -> bool:
        return bool(self.state_machine.current_state == ESTABLISHED)

    @property
    def address(self) -> str:
        return str(self.assoc.acceptor.address)

    @property
    def accepted_context_ids(self) -> Collection[int]:
        return self.assoc.contexts_by_id.keys()

    @property
    def peer_max_length(self) -> int:
        return self.assoc.acceptor.maximum_length or 0

    @property
    def silence_s(self) -> float | None:
        return self.network_timeout

    def take(self, kind: int, header: bytes, body: bytes) -> None:
        self.take_pdu(header + body)
        self._settle()

    def lose(self, failure: OSError) -> None:
        assert self.socket is not None
        self.socket.failure = failure
        self.event_queue.put(CONNECTION_CLOSED)
        self._settle()

    def refuse(self) -> None:
        self.event_queue.put(INVALID_PDU)
        self._settle()

    # Sending

    def send_data(self, buffers: list[Buffer]) -> bool:
        """P-DATA-TF PDUs, encoded; nothing in any state that has none (PS3.8 table 9-10: DT-1, AR-7). Whether sent."""
        if self.state_machine.current_state not in DATA_TRANSFER or self.socket is None:
            return False
        self.socket.send_buffers(buffers)
        if not self.event_queue.empty():  # the connection is lost
            self._settle()
        return self.is_alive()

    # The state machine

    def _settle(self) -> None:
        """Do what the events and primitives that wait ask for."""
        try:
            while not self.is_over:
                if not self.event_queue.empty():
                    self.state_machine.do_action(self.event_queue.get(block=False))
                elif not self.take_primitive():
                    return
        except InvalidEventError:  # our own user asks for what is over already
            self._collapse()
        except Exception:
            log.exception("upper layer failed")
            self._collapse()

    def _collapse(self) -> None:
        self.state_machine.current_state = CLOSING
        self.end()
        self.stop_dul()
        with suppress(Exception):
            self.messages.msg_queue.put((None, None))


class SingleThreaded(DrivenAssociation):
    """An association that we request, and that lives in the thread that does."""

    dul: InlineProvider
    dimse: InlineMessages  # type: ignore[assignment]  # as much of a DIMSEServiceProvider as anybody asks for

    def drive(self, messages: "type[InlineMessages]") -> None:
        """Be driven by the calling thread from now on. Call it once, before anything else."""
        self.dul = InlineProvider(self)
        self.dimse = self.dul.messages = messages(self.dul)
        self.acse_timeout = self.acse_timeout  # the timer of the new provider is set by this

    @property
    def is_open(self) -> bool:
        """Whether messages can still be exchanged: nobody has aborted, released or closed."""
        return bool(self.is_established and self.dul.is_alive() and self.dul.peek_next_pdu() is None)

    def context(self, context_id: int) -> PresentationContext:
        """The accepted presentation context with that ID."""
        return self.contexts_by_id[context_id]

    def kill(self) -> None:
        super().kill()
        self.dul.stop_dul()  # where pynetdicom has stopped its thread, it has not always closed the connection
