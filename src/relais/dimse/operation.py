"""One request of a peer, and the ways to answer it. Knows pynetdicom's primitives and associations, not what is served.

An Operation is made when its request has arrived and is over with its final response; exactly one is sent, whatever
happens (client lesson: peers otherwise wait for their own time-out).
"""

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from relais.access.principals import Principal, of_origin
from relais.dicom.json_model import JsonDataset
from relais.dicom.origin import Origin
from relais.dimse.association import NodeAssociation
from relais.dimse.status import Status, error_comment
from relais.peers import identifier, messages
from relais.peers.association import Context
from relais.peers.messages import AssociationLost

# What a response repeats of its request (PS3.7 9.1.1.1, 10.1.1.1, 10.1.4.1), and where it stands in that.
RESPONDED = {
    "AffectedSOPClassUID": ("AffectedSOPClassUID", "RequestedSOPClassUID"),
    "AffectedSOPInstanceUID": ("AffectedSOPInstanceUID", "RequestedSOPInstanceUID"),
    "ActionTypeID": ("ActionTypeID",),
    "EventTypeID": ("EventTypeID",),
}


@dataclass(frozen=True, slots=True)
class Counters:
    """The numbers of sub-operations (PS3.7 9.1.3.1). *remaining* is None where the status has none."""

    completed: int
    failed: int
    warning: int
    remaining: int | None = None


@dataclass(slots=True)
class Operation:
    """One request on one association. *tally* is what the log says about it."""

    assoc: NodeAssociation
    request: Any  # a DIMSE primitive of pynetdicom; which one, the service knows
    context: Context
    final: Status | None = None
    tally: dict[str, int] = field(default_factory=dict)

    @property
    def service(self) -> str:
        """ "C-ECHO", "C-STORE", ..."""
        return str(self.request.msg_type)

    @property
    def sop_class_uid(self) -> str:
        return str(self.context.abstract_syntax)

    @property
    def transfer_syntax_uid(self) -> str:
        return str(self.context.transfer_syntax[0])

    @property
    def origin(self) -> Origin:
        return self.assoc.origin

    @property
    def principal(self) -> Principal:
        return of_origin(self.origin)

    @property
    def extended(self) -> bytes:
        """What SOP Class Extended Negotiation agreed on for this SOP Class; empty without one."""
        return self.assoc.extended.get(self.sop_class_uid, b"")

    @property
    def identifier(self) -> bytes:
        """The encoded Identifier of the request."""
        return self.request.Identifier.getvalue() if self.request.Identifier else b""

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer has asked to stop (PS3.7 9.3.2.3)."""
        return self.request.MessageID in self.assoc.dimse.cancel_req

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return not self.assoc.is_open

    def respond(self, status: Status, identifier_: JsonDataset | None = None, counters: Counters | None = None) -> None:
        """Send one response, and wait while the network is behind. Raises AssociationLost if nobody waits for it."""
        response = self._response(status)
        if identifier_ is not None:
            response.Identifier = BytesIO(identifier.encode(identifier_, self.transfer_syntax_uid))
        if counters is not None:
            _count(response, counters)
        if status.is_final:
            self.final = status
        messages.send(self.assoc, self.context.context_id or 0, response)
        messages.wait_for_network(self.assoc)

    def responses(self, status: Status) -> messages.Many:
        """Many pending responses, which differ in their encoded Identifiers only."""
        return messages.Many(self.assoc, self.context.context_id or 0, self._response(status))

    def _response(self, status: Status) -> Any:
        if self.is_abandoned:
            raise AssociationLost("The peer broke off the association.")
        response: Any = type(self.request)()
        response.MessageIDBeingRespondedTo = self.request.MessageID
        _repeat(self.request, response)
        response.Status = status.code
        if status.comment:
            response.ErrorComment = error_comment(status.comment)
        if status.offending is not None:
            response.OffendingElement = [status.offending]
        return response


def _repeat(request: Any, response: Any) -> None:
    for name, places in RESPONDED.items():
        for value in (getattr(request, place, None) for place in places):
            if value is not None:
                setattr(response, name, value)


def _count(response: Any, counters: Counters) -> None:
    response.NumberOfRemainingSuboperations = counters.remaining
    response.NumberOfCompletedSuboperations = counters.completed
    response.NumberOfFailedSuboperations = counters.failed
    response.NumberOfWarningSuboperations = counters.warning
