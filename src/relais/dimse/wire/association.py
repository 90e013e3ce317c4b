"""An association that a peer requested, in one thread. Knows the engine's Services, not what they do."""

import time
from socket import socket
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.transport import AddressInformation

from relais.dimse.engine import NodeAssociation, Services
from relais.peers.tls import proofs
from relais.peers.wire.command_set import AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID, CommandSet, text
from relais.peers.wire.inline import InlineSocket, SingleThreaded
from relais.peers.wire.messages import InlineMessages, Sink

OPENING_S = 20.0  # how long a peer may take for its A-ASSOCIATE-RQ, at most (PS3.8 9.1.5)


class ServedMessages(InlineMessages):
    """Messages whose C-STORE Data Sets go to the services as they arrive."""

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
        self.provider = self.dimse
        self.bind(evt.EVT_REQUESTED, lambda event: self.requested())
        self.bind(evt.EVT_SOP_EXTENDED, lambda event: services.extended(event.app_info))

    def serve(self) -> None:
        """Until it is over, in the caller's thread."""
        self.run_reactor()

    def _messages(self) -> InlineMessages:
        return ServedMessages(self, self.dul)


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
