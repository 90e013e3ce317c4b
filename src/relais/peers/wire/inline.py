"""pynetdicom's upper layer and association without threads of their own. Knows private names of pynetdicom;
a contract test lists them.

1. PDU classes, state machine, ACSE and negotiation are pynetdicom's. What is ours: who reads and when.
2. Whoever waits (for a PDU, a message, an answer) reads the connection; whoever sends sends at once.
3. P-DATA in an established association never becomes a PDU object: its fragments go to the messages as they arrive.
4. No length that a stranger declares is believed: checked first, then taken as it comes (PS3.8 9.3.1).
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from socket import socket
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.fsm import InvalidEventError
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from relais.peers.mended import TidyProvider
from relais.peers.tls import Secure
from relais.peers.wire.connection import Connection
from relais.peers.wire.framing import P_DATA_TF, PDU_HEADER, PDV_HEADER, Buffer
from relais.peers.wire.messages import InlineMessages

MAX_PDU_BYTES = 1024 * 1024  # of any PDU; a longer one is invalid. Senders that ignore our maximum stay far below
POLLED_PDUS = 16  # taken in one look at the network while something else is going on
AT_ONCE_S = 1.0  # for what is there already
FOR_EVER_S = 365 * 86400.0  # a time limit of None

PDU_TYPES = range(1, 8)  # PS3.8 9.3.1
AWAITING_REQUEST, ESTABLISHED, PEER_RELEASES, CLOSING, IDLE = "Sta2", "Sta6", "Sta8", "Sta13", "Sta1"  # PS3.8 9.2.2
CONNECTED, CONNECTION_CLOSED, INVALID_PDU = "Evt2", "Evt17", "Evt19"  # PS3.8 table 9-10

log = logging.getLogger(__name__)


class InlineSocket(AssociationSocket):
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
            connected.settimeout(_seconds(self.assoc.connection_timeout))
            connected.connect(primitive.address_info.as_tuple)
            if self.secure is not None:
                connected = self.secure(connected)
        except OSError as exc:
            self.failure, self.socket = exc, None
            connected.close()
            primitive.result = CONNECTION_CLOSED
        else:
            self.socket, self.connection, self._is_connected = connected, Connection(connected), True
            primitive.result = CONNECTED
        self.provider_queue.put(primitive)
        self._ready.set()

    def send(self, bytestream: bytes) -> None:
        self.send_buffers([bytestream])

    def send_buffers(self, buffers: list[Buffer]) -> None:
        """Send; what goes wrong is an event."""
        try:
            if self.connection is None:
                raise OSError("not connected")
            self.connection.send(buffers, _seconds(self.assoc.network_timeout))
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

    def _shutdown_socket(self) -> None:
        if self.connection is not None:
            self.connection.close()
        elif self.socket is not None:
            self.socket.close()


class InlineProvider(TidyProvider):
    """The upper layer service of one association, run by whoever calls it."""

    assoc: "SingleThreaded"
    socket: InlineSocket | None
    messages: InlineMessages
    opening_deadline = float("inf")  # by when an association must have been requested (PS3.8 9.1.5: ARTIM)
    _is_running = False

    # What pynetdicom asks of its thread

    def start(self) -> None:
        self._is_running = True
        self.assoc._dul_ready.set()
        self._settle()

    def is_alive(self) -> bool:
        return self._is_running and not self._kill_thread

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
        self._kill_thread = True
        return True

    # Reading

    @property
    def accepted_context_ids(self) -> Collection[int]:
        return self.assoc._accepted_cx.keys()

    def pump(self, is_done: Callable[[], bool], timeout_s: float | None) -> bool:
        """Read until *is_done*, or the association is over, or nothing has come for *timeout_s*; whether it is done."""
        while not is_done():
            if not self._may_read or not self._receive(time.monotonic() + _seconds(timeout_s)):
                return is_done()
        return True

    def poll(self) -> None:
        """Take what has arrived, without waiting for more than the end of what has begun."""
        for _ in range(POLLED_PDUS):
            connection = self.socket.connection if self.socket is not None else None
            if connection is None or not self._may_read or not connection.has_data:
                return
            self._receive(time.monotonic() + AT_ONCE_S)

    @property
    def _may_read(self) -> bool:
        return self.is_alive() and self.state_machine.current_state != CLOSING

    def _receive(self, deadline: float) -> bool:
        """Take one PDU that begins before *deadline*; whether one came or the connection ended."""
        self.messages.flush()
        if not self._may_read:
            return True
        assert self.socket is not None
        connection = self.socket.connection
        if self.state_machine.current_state == AWAITING_REQUEST:
            deadline = min(deadline, self.opening_deadline)
        try:
            if connection is None:
                raise OSError("not connected")
            if not connection.wait(deadline):
                return False
            self._take_pdu(connection)
        except OSError as exc:  # also the end of patience inside a PDU
            self.socket.failure = exc
            self._lose_connection()
        except Exception as exc:  # a stranger's bytes in a stranger's parser
            log.warning("invalid PDU: %s", type(exc).__name__)
            self.event_queue.put(INVALID_PDU)
        self._settle()
        return True

    def _lose_connection(self) -> None:
        if self.assoc.is_interrupted:
            self.assoc.abort()
        else:
            self.event_queue.put(CONNECTION_CLOSED)

    def _take_pdu(self, connection: Connection) -> None:
        """One PDU, of which a byte is there."""
        deadline = time.monotonic() + _seconds(self.network_timeout)
        if self.state_machine.current_state == AWAITING_REQUEST:
            deadline = min(deadline, self.opening_deadline)
        header = connection.read(PDU_HEADER.size, deadline)
        kind, length = PDU_HEADER.unpack(header)
        if kind not in PDU_TYPES or length > MAX_PDU_BYTES:
            raise ValueError("no PDU, or a longer one than the limit")
        if kind == P_DATA_TF and self.state_machine.current_state == ESTABLISHED:
            self._take_data(connection, length, deadline)
            return
        pdu, event = self._decode_pdu(bytearray(header + connection.read(length, deadline)))
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _take_data(self, connection: Connection, length: int, deadline: float) -> None:
        """The PDVs of one P-DATA-TF PDU (PS3.8 9.3.5.1)."""
        while length:
            if length < PDV_HEADER.size:
                raise ValueError("PDV cut off")
            pdv_length, context_id, control = PDV_HEADER.unpack(connection.read(PDV_HEADER.size, deadline))
            rest = pdv_length - 2
            length -= PDV_HEADER.size + rest
            if rest < 0 or length < 0:
                raise ValueError("PDV length does not fit its PDU")
            if not rest:
                self.messages.take(context_id, control, memoryview(b""), ends=True)
            for piece in connection.slices(rest, deadline):
                rest -= len(piece)
                self.messages.take(context_id, control, piece, ends=not rest)

    # Sending

    def send_data(self, buffers: list[Buffer]) -> bool:
        """P-DATA-TF PDUs, encoded; nothing in any state that has none (PS3.8 table 9-10: DT-1, AR-7). Whether sent."""
        if self.state_machine.current_state not in {ESTABLISHED, PEER_RELEASES} or self.socket is None:
            return False
        self.socket.send_buffers(buffers)
        self._settle()
        return self.is_alive()

    # The state machine

    def _settle(self) -> None:
        """Do what the events and primitives that wait ask for."""
        try:
            while not self._kill_thread:
                if not self.event_queue.empty():
                    self.state_machine.do_action(self.event_queue.get(block=False))
                elif not self._process_recv_primitive():
                    return
        except InvalidEventError:  # our own user asks for what is over already
            self._collapse()
        except Exception:
            log.exception("upper layer failed")
            self._collapse()

    def _collapse(self) -> None:
        self.state_machine.current_state = CLOSING
        self._kill_thread = True
        self.stop_dul()
        with suppress(Exception):
            self.messages.msg_queue.put((None, None))


class SingleThreaded(Association):
    """An association that lives in the thread that requests it or serves it."""

    dul: InlineProvider
    dimse: InlineMessages
    is_interrupted = False  # by another thread, to be aborted

    def drive(self, messages: "type[InlineMessages]") -> None:
        """Be driven by the calling thread from now on. Call it once, before anything else."""
        self.dul = InlineProvider(self)
        self.dimse = self.dul.messages = messages(self, self.dul)
        self.acse_timeout = self.acse_timeout  # the timer of the new provider is set by this
        self.owner = threading.get_ident()

    def context(self, context_id: int) -> PresentationContext:
        """The accepted presentation context with that ID."""
        return self._accepted_cx[context_id]

    def kill(self) -> None:
        super().kill()
        self.dul.stop_dul()  # where pynetdicom has stopped its thread, it has not always closed the connection

    def _abort_blocking(self, block: bool = True) -> None:
        """PS3.8 9.3.8, from the owner's thread; from another one, the owner is interrupted and aborts by itself."""
        if threading.get_ident() != self.owner:
            self._abort_from_outside()
        elif not (self._sent_abort or self.is_released):
            self._sent_abort = True
            self.acse.send_abort(0x00)
            evt.trigger(self, evt.EVT_ABORTED, {})
            self.kill()

    def _abort_from_outside(self) -> None:
        self.is_interrupted = True
        transport = self.dul.socket
        if transport is not None and transport.connection is not None:
            transport.connection.interrupt()

    def _run_reactor(self) -> None:
        """Serve what arrives until the association is over, or silent for longer than its time limit."""
        while self.is_established and not self._kill:
            context_id, message = self._next_message()
            if message is not None:
                self._serve_request(message, context_id)
            elif self.acse.is_release_requested():
                self._answer_release()
            elif self.acse.is_aborted():
                self._acknowledge_abort()
            else:
                self.abort()  # silent, or in a state that nothing leads out of

    def _next_message(self) -> Any:
        self.dimse.release()
        self.dul.pump(self._has_news, self.network_timeout)
        return self.dimse.get_msg(block=False)

    def _has_news(self) -> bool:
        return not self.dimse.msg_queue.empty() or self.dul.peek_next_pdu() is not None

    def _answer_release(self) -> None:
        """PS3.8 7.2"""
        self.acse.send_release(is_response=True)
        self.is_released = True
        self.is_established = False
        evt.trigger(self, evt.EVT_RELEASED, {})
        self.kill()

    def _acknowledge_abort(self) -> None:
        self.dul.receive_pdu(wait=False)
        self.is_aborted = True
        self.is_established = False
        evt.trigger(self, evt.EVT_ABORTED, {})
        self.kill()


def _seconds(timeout: float | None) -> float:
    return FOR_EVER_S if timeout is None else timeout
