"""What the node does with an association: accept it, serve its requests, and write down what became of it.

Knows every service by name and nothing of how it is done.
"""

import logging
import time
from collections.abc import Mapping
from functools import partial

from pynetdicom.dimse_primitives import DimseServiceType

from relais.access.principals import of_origin
from relais.archive import Archive
from relais.archive.admission import admits
from relais.archive.ingest import Claim
from relais.dicom.contexts import VERIFICATION
from relais.dicom.origin import Origin
from relais.dimse import commitment, echo, find, get, move, negotiation, store
from relais.dimse.association import NodeAssociation
from relais.dimse.operation import Operation
from relais.dimse.seats import Seats, Taken
from relais.dimse.settings import DimseSettings
from relais.dimse.status import MISTYPED_ARGUMENT, PROCESSING_FAILURE, UNRECOGNIZED_OPERATION, Status, of_error
from relais.errors import NodeError
from relais.peers.association import Context
from relais.peers.dimse import DimsePeer
from relais.peers.messages import AssociationLost
from relais.peers.registry import Registry
from relais.peers.tls import FINGERPRINT
from relais.peers.wire.associate import APPLICATION_CONTEXT, Request
from relais.peers.wire.messages import Sink
from relais.telemetry import metrics
from relais.telemetry.line import fields

# Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4), and what the log says.
Rejection = tuple[int, int, int, str]
CONTEXT_NAME_NOT_SUPPORTED: Rejection = (1, 1, 2, "application context name not supported")
CALLING_AE_TITLE_NOT_RECOGNIZED: Rejection = (
    1,
    1,
    3,
    "calling AE title not recognized by name, network and certificate",
)
NO_CALLING_AE_TITLE: Rejection = (1, 1, 3, "no calling AE title")
CALLED_AE_TITLE_NOT_RECOGNIZED: Rejection = (1, 1, 7, "called AE title not recognized")
LOCAL_LIMIT_EXCEEDED: Rejection = (2, 3, 2, "too many associations")

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")

log = logging.getLogger(__name__)


class NodeServices:
    """As relais.dimse.association.Services, over an archive. Shared by all associations."""

    def __init__(self, settings: DimseSettings, archive: Archive, peers: Registry, seats: Seats) -> None:
        self._settings, self._archive, self._peers, self._seats = settings, archive, peers, seats
        self._negotiator = negotiation.Negotiator(settings.private_sop_classes, settings.max_pdu)
        self._taken: dict[str, int] = {}  # the seat of each association

    def requested(self, assoc: NodeAssociation) -> None:
        assert assoc.asked is not None
        rejection = self._rejection(assoc, assoc.asked)
        if rejection is not None:
            *answer, assoc.rejected_because = rejection
            assoc.reject(*answer)
            return
        metrics.association_opened()
        assoc.accept(self._negotiator.terms(assoc.asked.proposal))

    def _rejection(self, assoc: NodeAssociation, asked: Request) -> Rejection | None:
        origin = assoc.origin
        if asked.proposal.application_context != APPLICATION_CONTEXT:
            return CONTEXT_NAME_NOT_SUPPORTED
        if not self._is_called(origin.called_ae_title):
            return CALLED_AE_TITLE_NOT_RECOGNIZED
        if not origin.calling_ae_title:
            return NO_CALLING_AE_TITLE
        asks_only_echo = all(context.abstract_syntax == VERIFICATION for context in asked.proposal.contexts)
        is_own_check = asks_only_echo and self._is_ourselves(origin)
        if not is_own_check and not admits(self._archive, of_origin(origin)):
            return CALLING_AE_TITLE_NOT_RECOGNIZED
        seat = self._seats.take(origin.address, origin.calling_ae_title, partial(self._fits, origin))
        if seat is None:
            return LOCAL_LIMIT_EXCEEDED
        self._taken[assoc.id] = seat
        return None

    def _is_called(self, ae_title: str) -> bool:
        """Whether somebody who calls *ae_title* means us."""
        return ae_title == self._settings.ae_title if self._settings.check_called_ae_title else bool(ae_title)

    def _fits(self, origin: Origin, taken: Taken) -> bool:
        """Whether there is room for one more: in all, from that address, and from that peer."""
        peer = self._peers.by_ae_title(origin.calling_ae_title)
        limit = peer.settings.max_associations if isinstance(peer, DimsePeer) else 0
        return (
            taken.total < self._settings.max_associations
            and taken.of_address < self._settings.max_per_peer
            and (limit == 0 or taken.of_title < limit)
        )

    def receive(self, assoc: NodeAssociation, announced: Mapping[str, str], context: Context) -> Sink:
        claim = Claim(
            str(context.transfer_syntax[0]),
            sop_class_uid=announced["AffectedSOPClassUID"],
            sop_instance_uid=announced["AffectedSOPInstanceUID"],
        )
        return store.Incoming(self._archive, claim, str(context.abstract_syntax), assoc.origin)

    def _is_our_own_check(self, assoc: NodeAssociation, origin: Origin) -> bool:
        """Whether the node asked itself if it is ready, as it does every few seconds: nothing to tell."""
        return self._is_ourselves(origin) and set(assoc.tally) <= {"c_echo"}

    def _is_ourselves(self, origin: Origin) -> bool:
        """Whether somebody on this machine calls with our own AE title."""
        is_here = origin.address in {*LOOPBACK, self._settings.host}
        return is_here and origin.calling_ae_title == self._settings.ae_title

    def serve(self, assoc: NodeAssociation, request: DimseServiceType, context: Context, sink: Sink | None) -> None:
        operation = Operation(assoc, request, context)
        began_at = time.monotonic()
        try:
            self._dispatch(operation, sink)
        except AssociationLost:
            assoc.abort()
        except NodeError as exc:
            self._refuse(operation, of_error(operation.service, exc))
        except Exception:
            log.exception("%s failed", operation.service)
            self._refuse(operation, PROCESSING_FAILURE)
        self._record(assoc, operation, time.monotonic() - began_at)

    def _dispatch(self, operation: Operation, sink: Sink | None) -> None:
        service = operation.service
        if not negotiation.has_service(operation.sop_class_uid, service):
            operation.respond(UNRECOGNIZED_OPERATION)
        elif service == "C-ECHO":
            echo.serve(operation)
        elif service == "C-STORE":
            store.serve(operation, sink if isinstance(sink, store.Incoming) else None)
        elif not operation.request.is_valid_request:
            operation.respond(MISTYPED_ARGUMENT)
        elif service in negotiation.COMMITMENT_SERVICES:
            commitment.serve(operation, self._archive)
        elif service == "C-FIND":
            find.serve(operation, self._archive, self._settings.ae_title)
        elif service == "C-MOVE":
            move.serve(operation, self._archive, self._peers)
        else:
            get.serve(operation, self._archive)

    def _refuse(self, operation: Operation, status: Status) -> None:
        """The final response, unless it was sent before things went wrong."""
        try:
            if operation.final is None:
                operation.respond(status)
        except AssociationLost:
            operation.assoc.abort()

    def _record(self, assoc: NodeAssociation, operation: Operation, seconds: float) -> None:
        """Count; log what was not a success or has something odd in it, once."""
        service, final = operation.service, operation.final
        service_key = service.lower().replace("-", "_")
        assoc.tally[service_key] += 1
        for name, number in operation.tally.items():
            assoc.tally[f"{service_key}_{name}"] += number
        if final is None:
            log.info("%s", fields(service=service, outcome="abandoned", ms=seconds * 1000))
            return
        metrics.dimse_request(service, final.code, seconds)
        if final.code:
            assoc.tally[f"{service_key}_{final.code:04X}"] += 1
        if final.is_failure or final.comment:
            sop_instance_uid = getattr(operation.request, "AffectedSOPInstanceUID", None)
            log.warning(
                "%s",
                fields(
                    service=service,
                    status=f"{final.code:04X}",
                    comment=final.comment,
                    calling=operation.origin.calling_ae_title,
                    sop_instance_uid=sop_instance_uid,
                    ms=seconds * 1000,
                ),
            )

    def ended(self, assoc: NodeAssociation) -> None:
        if assoc.asked is None:
            log.debug("%s", fields(address=assoc.address, outcome="no association requested"))
            return
        outcome = "rejected" if assoc.is_rejected else "released" if assoc.is_released else "aborted"
        seat = self._taken.pop(assoc.id, None)
        if seat is not None:
            self._seats.leave(seat)
            metrics.association_closed(outcome)
        else:
            metrics.association_rejected()
        origin = assoc.origin
        log.log(
            logging.DEBUG if self._is_our_own_check(assoc, origin) else logging.INFO,
            "%s",
            fields(
                calling=origin.calling_ae_title,
                called=origin.called_ae_title,
                address=origin.address,
                certificate=next((fact for fact in sorted(assoc.proofs) if fact.startswith(FINGERPRINT)), None),
                outcome=outcome,
                reason=assoc.rejected_because or None,
                **assoc.tally,
                ms=(time.monotonic() - assoc.began_at) * 1000,
            ),
        )
