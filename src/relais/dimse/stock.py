"""The stock engine: pynetdicom's classes with the few changes that a node needs.

1. A connection never waits for ever, acknowledges at once, and never takes a PDU of any length a stranger declares.
2. The Data Set of a C-STORE request is passed on piece by piece as it arrives: nothing is collected, nothing decoded.
3. Presentation contexts are not copied per association; those that count are set when the request is known.
4. A C-CANCEL counts from the moment its request has arrived.

What is served is the business of a Services, to which the association hands every request.
"""

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from socketserver import TCPServer
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, DimseServiceType
from pynetdicom.pdu_primitives import P_DATA, UserIdentityNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import ThreadedAssociationServer

from relais.dicom.contexts import Supported
from relais.dimse.association import NodeAssociation, Services
from relais.dimse.negotiation import Terms
from relais.dimse.room import Collected, Room
from relais.dimse.wire.upper_layer import BY_PROVIDER, INVALID_PARAMETER
from relais.peers.mended import ClosingSocket, ServedAssociation, Welcoming, mend
from relais.peers.tls import proofs
from relais.peers.wire import associate
from relais.peers.wire.messages import MAX_COMMAND_BYTES, MAX_IDENTIFIER_BYTES, MAX_WAITING, Sink
from relais.peers.wire.pump import MAX_PDU_BYTES
from relais.telemetry.context import bound

RECEIVE_BYTES = 256 * 1024  # asked of the network at a time
LISTEN_BACKLOG = 128
HANDSHAKE_S = 20.0  # for TLS, at most

Wrap = Callable[[socket.socket], socket.socket]

ANNOUNCED = ("AffectedSOPClassUID", "AffectedSOPInstanceUID")  # what a C-STORE request says of its Data Set

A_ABORT = associate.abort(BY_PROVIDER, INVALID_PARAMETER)  # for a PDU that is too long
INVALID_PDU = "Evt19"  # PS3.8 table 9-10
CLOSING = "Sta13"  # awaiting the end of the connection (PS3.8 9.2.2): what still comes matters to nobody

log = logging.getLogger(__name__)


class BoundedSocket(ClosingSocket):
    """Reads no more than a PDU may have, in large pieces."""

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > MAX_PDU_BYTES:
            self.send(A_ABORT)
            raise OSError("PDU longer than the limit")
        if self.assoc.dul.state_machine.current_state == CLOSING:
            self._drop()
            raise OSError("closing")
        received = bytearray()
        while len(received) < nr_bytes:
            piece = self._receive(min(nr_bytes - len(received), RECEIVE_BYTES))
            if not piece:
                break
            received += piece
        return received

    def _drop(self) -> None:
        """Take what has come, so that closing does not reset the connection before the peer has read our last PDU."""
        connection = self.socket
        with suppress(OSError):
            if connection is not None:
                connection.setblocking(False)
            while connection is not None and connection.recv(RECEIVE_BYTES):
                pass

    def _receive(self, size: int) -> bytes:
        connection = self.socket
        if connection is None:
            return b""
        if hasattr(socket, "TCP_QUICKACK"):  # else each instance of a sender with Nagle waits 40 ms (client lesson 11)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return connection.recv(size)


class StreamingProvider(DIMSEServiceProvider):
    """Puts messages together, except for the Data Sets of C-STORE requests, which it passes on."""

    def __init__(self, assoc: "StockAssociation", room: Room) -> None:
        super().__init__(assoc)
        self._node_assoc = assoc
        self._collected = Collected(room)
        self._sink: Sink | None = None
        self._complete: dict[int, Sink] = {}  # by Message ID, until their request is served
        self._expected: list[int] = []  # the Message IDs of the request that is served and of those that wait

    @property
    def is_receiving(self) -> bool:
        """Whether a message has begun and not ended."""
        return self.message is not None

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA. Whatever is wrong with them aborts the association."""
        try:
            for context_id, fragment in primitive.presentation_data_value_list:
                self._receive_fragment(context_id, fragment)
        except Exception as exc:  # a stranger's bytes in a stranger's parser
            log.warning("invalid message: %s", type(exc).__name__)
            self.discard()
            self.dul.event_queue.put(INVALID_PDU)

    def take_sink(self, message_id: int) -> Sink | None:
        """What took the Data Set of the request with that ID, None if it had none. Given once."""
        return self._complete.pop(message_id, None)

    def end(self, message_id: int) -> None:
        """The request with that ID has been served: its C-CANCEL is forgotten."""
        self._expected.remove(message_id)
        if message_id not in self._expected:
            self.cancel_req.pop(message_id, None)

    def discard(self) -> None:
        """Let go of every Data Set that nobody will ask for any more."""
        sinks = [*self._complete.values(), self._sink]
        self._complete, self._sink, self.message = {}, None, None
        for sink in sinks:
            if sink is not None:
                sink.discard()
        self._collected.clear()

    def release(self) -> None:
        """The message before has been dealt with: what it took is free, unless another one has begun."""
        if not self.is_receiving and self.msg_queue.empty():
            self._collected.clear()

    def _receive_fragment(self, context_id: int, fragment: bytes) -> None:
        message = self.message = self.message or DIMSEMessage()
        if context_id not in self._node_assoc.contexts_by_id or message.context_id not in {None, context_id}:
            raise ValueError("not in an accepted presentation context")
        if self._sink is not None and not fragment[0] & 1:
            self._sink.write(fragment[1:])
            is_complete = bool(fragment[0] & 2)
        else:
            is_complete = self._decode(message, context_id, fragment)
        if is_complete:
            self.message = None
            self._deliver(message, context_id)

    def _decode(self, message: DIMSEMessage, context_id: int, fragment: bytes) -> bool:
        pdata = P_DATA()
        pdata.presentation_data_value_list.append((context_id, fragment))
        is_complete = message.decode_msg(pdata, self.assoc)
        if message.encoded_command_set.tell() > MAX_COMMAND_BYTES:
            raise ValueError("command set longer than the limit")
        if not fragment[0] & 1:
            self._reserve(message, len(fragment))
        if not is_complete and isinstance(message, C_STORE_RQ):
            announced = {keyword: str(message.command_set.get(keyword) or "") for keyword in ANNOUNCED}
            context = self._node_assoc.contexts_by_id[context_id]
            self._sink = self._node_assoc.services.receive(self._node_assoc, announced, context)
        return is_complete

    def _reserve(self, message: DIMSEMessage, size_bytes: int) -> None:
        if message.data_set is not None and message.data_set.tell() > MAX_IDENTIFIER_BYTES:
            raise ValueError("Data Set longer than the limit")
        if not self._collected.more(size_bytes):
            raise ValueError("no room for a Data Set of this length")

    def _deliver(self, message: DIMSEMessage, context_id: int) -> None:
        primitive = message.message_to_primitive()
        if isinstance(primitive, C_CANCEL):
            cancelled = primitive.MessageIDBeingRespondedTo or 0
            if cancelled in self._expected:  # else it came too late (PS3.7 9.3.2.3), or means nothing
                self.cancel_req[cancelled] = primitive
            return
        if self.msg_queue.qsize() >= MAX_WAITING:
            raise ValueError("more requests at once than were negotiated")
        if primitive.MessageIDBeingRespondedTo is None:
            self._expect_service(primitive.MessageID)
        self.msg_queue.put((context_id, primitive))

    def _expect_service(self, message_id: int | None) -> None:
        if message_id is None or message_id in self._complete:
            raise ValueError("no Message ID of its own")
        self.cancel_req.pop(message_id, None)
        self._expected.append(message_id)
        if self._sink is not None:
            self._complete[message_id], self._sink = self._sink, None


class StockAssociation(ServedAssociation, NodeAssociation):
    """An association on pynetdicom's own threads."""

    def __init__(self, ae: AE, services: Services, room: Room) -> None:
        super().__init__(ae, "acceptor")
        mend(self)
        self.dimse: StreamingProvider = StreamingProvider(self, room)
        self.begin()
        self.services = services
        self.proofs = frozenset()
        self._is_serving = False

    @property
    def is_open(self) -> bool:
        """Whether messages can still be exchanged: nobody has aborted, released or closed."""
        return bool(self.is_established and self.dul.is_alive() and self.dul.peek_next_pdu() is None)

    @property
    def is_busy(self) -> bool:
        return self._is_serving or self.dimse.is_receiving or not self.dimse.msg_queue.empty()

    def requested(self) -> None:
        """Called when the A-ASSOCIATE-RQ has arrived; pynetdicom would hide an exception and go on."""
        try:
            self.asked = self.dul.asked
            self.services.requested(self)
        except Exception:
            log.exception("an association could not be negotiated")
            self.abort()

    def accept(self, terms: Terms) -> None:
        """What pynetdicom's own negotiation, which comes next, needs to know."""
        self.extended = terms.extended
        self.acceptor.supported_contexts = [_context(row) for row in terms.supported]
        if terms.confirms_user:
            response = UserIdentityNegotiation()
            response.server_response = b""
            self.acceptor.add_negotiation_item(response)

    def reject(self, result: int, source: int, reason: int) -> None:
        self.acse.send_reject(result, source, reason)
        self.kill()

    def abort(self, block: bool = True) -> None:
        """PS3.8 9.3.8; who has not asked for an association yet has none to be aborted, and is hung up on."""
        transport = self.dul.socket
        if self.requestor.primitive is None and transport is not None and transport.socket is not None:
            with suppress(OSError):  # closed a moment ago
                transport.socket.shutdown(socket.SHUT_RDWR)
            return
        super().abort(block)

    def connection_closed(self) -> None:
        """Wake up, if still waiting to be requested: stock associations would wait for the whole ACSE time-out."""
        if self.requestor.primitive is None:
            self.dul.to_user_queue.put(None)

    def run_reactor(self) -> None:
        with bound(assoc=self.id):
            try:
                super().run_reactor()
            finally:
                self.dimse.discard()
                self.services.ended(self)

    def serve_request(self, request: DimseServiceType, context_id: int) -> None:
        if request.MessageIDBeingRespondedTo is not None or request.MessageID is None:
            self.abort()  # a response to nothing
            return
        self._is_serving = True
        try:
            sink = self.dimse.take_sink(request.MessageID)
            self.services.serve(self, request, self.contexts_by_id[context_id], sink)
        except Exception:
            log.exception("a request could not be served")
            self.abort()
        finally:
            self._is_serving = False
            self.dimse.end(request.MessageID)
            self.dimse.release()
            self.was_heard()  # the peer was not silent: it waited for us


@cache
def _context(row: Supported) -> PresentationContext:
    """As pynetdicom wants it. Nobody changes it."""
    context = build_context(row.abstract_syntax, list(row.transfer_syntaxes))
    if row.as_scu:
        context.scu_role = context.scp_role = True
    return context


class Handler(Welcoming):
    """Makes an association of a connection."""

    server: "Server"

    def handle(self) -> None:
        """In the connection's own thread: a handshake that stalls holds up nobody."""
        try:
            if self.server.wrap is not None:
                self.request.settimeout(min(self.server.ae.acse_timeout or HANDSHAKE_S, HANDSHAKE_S))
                self.request = self.server.wrap(self.request)
                self.request.settimeout(self.server.ae.network_timeout)
        except OSError as exc:
            log.info("no TLS with %s: %s", self.client_address[0], getattr(exc, "reason", None) or type(exc).__name__)
            self.request.close()
            return
        super().handle()

    def associate(self) -> StockAssociation:
        server, ae = self.server, self.server.ae
        assoc = StockAssociation(ae, server.services, server.room)
        assoc.name = f"AcceptorThread-{assoc.id}"  # pynetdicom finds its associations by this name
        assoc.set_socket(BoundedSocket(assoc, client_socket=self.request))
        assoc.proofs = proofs(self.request)
        assoc.acceptor.maximum_length = ae.maximum_pdu_size
        assoc.acceptor.ae_title = server.ae_title
        assoc.acceptor.address_info = self.local
        assoc.acceptor.implementation_class_uid = ae.implementation_class_uid
        assoc.acceptor.implementation_version_name = ae.implementation_version_name
        assoc.requestor.address_info = self.remote
        assoc.address = assoc.requestor.address
        assoc.bind(evt.EVT_CONN_CLOSE, lambda event: assoc.connection_closed())
        assoc.bind(evt.EVT_REQUESTED, lambda event: assoc.requested())
        assoc.bind(evt.EVT_SOP_EXTENDED, lambda event: dict(assoc.extended))
        return assoc


class Server(ThreadedAssociationServer):
    """Listens. With *given* it takes connections from that listening socket, which others may share."""

    daemon_threads = True
    request_queue_size = LISTEN_BACKLOG

    def __init__(
        self,
        *args: Any,
        services: Services,
        room: Room,
        max_connections: int,
        given: socket.socket | None = None,
        wrap: Wrap | None = None,
        **kwargs: Any,
    ) -> None:
        self.services, self.room, self.wrap = services, room, wrap
        self._max_connections, self._given = max_connections, given
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        if self._given is None:
            super().server_bind()
            return
        assert self.socket is not None
        self.socket.close()
        self.socket = self._given
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """Listen, and never wait for a connection that another process was faster to accept."""
        super().server_activate()
        assert self.socket is not None
        self.socket.setblocking(False)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        connection.settimeout(self.ae.network_timeout)  # also for a peer that stalls within a PDU
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close what comes beyond the limit at once: it costs no thread."""
        return len(self.active_associations) < self._max_connections

    def shutdown(self) -> None:
        """Stop listening. Associations go on."""
        TCPServer.shutdown(self)
        self.server_close()

    def server_close(self) -> None:
        """Close our own handle only: shutting the socket down would stop all who share it."""
        if self.socket is not None:
            self.socket.close()
