"""An association that a peer requested, in one thread. Knows the engine's Services, not what they do."""

import time
from socket import socket
from threading import Lock
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.transport import AddressInformation

from relais.dimse.engine import NodeAssociation, Receiver, Services
from relais.peers.tls import proofs
from relais.peers.wire.command_set import AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID, CommandSet, text
from relais.peers.wire.inline import InlineSocket, SingleThreaded
from relais.peers.wire.messages import InlineMessages, InvalidMessage, Sink

OWN_BYTES = 64 * 1024  # of Identifiers that wait or arrive, which every association may have
SHARED_BYTES = 32 * 1024 * 1024  # and what all may have besides; who wants more is aborted
OPENING_S = 20.0  # how long a peer may take for its A-ASSOCIATE-RQ, at most (PS3.8 9.1.5)


class Room:
    """Memory that the associations of this process share for what they collect, *most_bytes* in all."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held: dict[object, int] = {}
        self._lock = Lock()

    def hold(self, holder: object, size_bytes: int) -> bool:
        """Let *holder* have so much, instead of what it had; False, and nothing changes, if that is too much."""
        with self._lock:
            others = sum(self._held.values()) - self._held.get(holder, 0)
            if others + size_bytes > self._most_bytes:
                return False
            self._held[holder] = size_bytes
            return True

    def let_go(self, holder: object) -> None:
        """*holder* has nothing any more."""
        with self._lock:
            self._held.pop(holder, None)


ROOM = Room(SHARED_BYTES)


class ServedMessages(InlineMessages):
    """Messages whose C-STORE Data Sets go to the services as they arrive, and whose others have bounded room."""

    _collected = 0

    def reserve(self, size_bytes: int) -> None:
        self._collected += size_bytes
        if self._collected > OWN_BYTES and not ROOM.hold(self, self._collected - OWN_BYTES):
            raise InvalidMessage("no room for a Data Set of this length")

    def release(self) -> None:
        if self._collected and not self.is_receiving and self.msg_queue.empty():
            self._collected = 0
            ROOM.let_go(self)

    def discard(self) -> None:
        super().discard()
        ROOM.let_go(self)

    def open_sink(self, command: CommandSet, context_id: int) -> Sink | None:
        assoc = self.upper_layer.assoc
        assert isinstance(assoc, InlineNodeAssociation)
        announced = {
            "AffectedSOPClassUID": text(command, AFFECTED_SOP_CLASS_UID) or "",
            "AffectedSOPInstanceUID": text(command, AFFECTED_SOP_INSTANCE_UID) or "",
        }
        return assoc.services.receive(assoc, announced, assoc.context(context_id))


class InlineNodeAssociation(SingleThreaded, NodeAssociation):
    """As NodeAssociation, without its network thread."""

    def __init__(self, ae: AE, services: Services) -> None:
        super().__init__(ae, services)
        self.bind(evt.EVT_REQUESTED, lambda event: self.requested())
        self.bind(evt.EVT_SOP_EXTENDED, lambda event: services.extended(event.app_info))

    def serve(self) -> None:
        """Until it is over, in the caller's thread."""
        self.run_reactor()

    def _equip(self) -> Receiver:
        self.drive(ServedMessages)
        return self.dimse


def accepted(ae: AE, services: Services, connection: socket, address: Any) -> InlineNodeAssociation:
    """The association that the peer at *address* will ask for over *connection*, within the ACSE time-out."""
    assoc = InlineNodeAssociation(ae, services)
    assoc.set_socket(InlineSocket(assoc, client_socket=connection))
    assoc.proofs = proofs(connection)
    assoc.acceptor.maximum_length = ae.maximum_pdu_size
    assoc.acceptor.ae_title = ae.ae_title
    assoc.acceptor.address_info = AddressInformation.from_tuple(connection.getsockname())
    assoc.acceptor.implementation_class_uid = ae.implementation_class_uid
    assoc.acceptor.implementation_version_name = ae.implementation_version_name
    assoc.requestor.address_info = AddressInformation.from_tuple(address)
    assoc.dul.opening_deadline = time.monotonic() + min(assoc.acse_timeout or OPENING_S, OPENING_S)
    return assoc
