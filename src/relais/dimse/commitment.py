"""Storage Commitment: asked as SCP (N-ACTION), told as SCU (N-EVENT-REPORT) (PS3.4 J.3). The promise is archive's.

The answer to a request goes over its own association if the requester holds that and is quiet; else the background
process tells it over a new one.
"""

from relais.archive import Archive, commitment, commitment_asked
from relais.archive.commitment import Waiting
from relais.dicom.commitment import (
    ALL_COMMITTED,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_COMMITMENT,
    SOME_FAILED,
    parse_report,
    parse_request,
)
from relais.dicom.json_model import JsonDataset
from relais.dimse.operation import Operation
from relais.dimse.status import (
    MISTYPED_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_CLASS,
    NO_SUCH_EVENT,
    NO_SUCH_INSTANCE,
    SUCCESS,
    Status,
)
from relais.errors import Unavailable
from relais.peers import identifier, messages
from relais.peers.commitment import MAX_BYTES, MAX_PARTS, Context, tell
from relais.peers.messages import AssociationLost

QUIET_S = 1.0  # a requester who has neither gone nor asked for more after that long is told where it asked


def serve(operation: Operation, archive: Archive) -> None:
    """Answer one request of either kind, and what it asks for. Raises NodeError."""
    if operation.service == "N-ACTION":
        _be_asked(operation, archive)
    else:
        _be_told(operation, archive)


def _be_asked(operation: Operation, archive: Archive) -> None:
    """PS3.4 J.3.2"""
    request = operation.request
    refusal = _refusal(request.RequestedSOPClassUID, request.RequestedSOPInstanceUID)
    if refusal is None and request.ActionTypeID != REQUEST_COMMITMENT:
        refusal = NO_SUCH_ACTION
    if refusal is not None or request.ActionInformation is None:
        operation.respond(refusal or MISTYPED_ARGUMENT)
        return
    asked = parse_request(_decoded(operation, request.ActionInformation.getvalue()))
    operation.tally["references"] = len(asked.references)
    waiting = commitment.request(archive, operation.origin, asked)
    is_told = False
    try:
        operation.respond(SUCCESS)
        is_told = messages.is_quiet(operation.assoc, QUIET_S) and _tell(operation, archive, waiting)
    except AssociationLost:
        if operation.assoc.is_open:
            raise
    finally:
        if not is_told:
            commitment.release(archive, waiting)


def _tell(operation: Operation, archive: Archive, waiting: Waiting) -> bool:
    """PS3.4 J.3.3; whether the requester has acknowledged it. What cannot be promised yet is told later."""
    try:
        report = commitment.report(archive, waiting)
    except Unavailable:
        return False
    context = Context(operation.context.context_id or 0, operation.transfer_syntax_uid)
    operation.tally["failed"] = len(report.failed)
    if tell(operation.assoc, context, report):
        return False
    commitment.told(archive, waiting, report)
    return True


def _be_told(operation: Operation, archive: Archive) -> None:
    """PS3.4 J.3.3, with us as SCU."""
    request = operation.request
    refusal = _refusal(request.AffectedSOPClassUID, request.AffectedSOPInstanceUID)
    if refusal is None and request.EventTypeID not in {ALL_COMMITTED, SOME_FAILED}:
        refusal = NO_SUCH_EVENT
    if refusal is not None or request.EventInformation is None:
        operation.respond(refusal or MISTYPED_ARGUMENT)
        return
    report = parse_report(_decoded(operation, request.EventInformation.getvalue()))
    commitment_asked.answered(archive, operation.origin, report)
    operation.tally["failed"] = len(report.failed)
    operation.respond(SUCCESS)


def _refusal(sop_class_uid: str | None, sop_instance_uid: str | None) -> Status | None:
    if sop_class_uid != PUSH_MODEL:
        return NO_SUCH_CLASS
    return None if sop_instance_uid == PUSH_MODEL_INSTANCE else NO_SUCH_INSTANCE


def _decoded(operation: Operation, encoded: bytes) -> JsonDataset:
    return identifier.decode(encoded, operation.transfer_syntax_uid, MAX_BYTES, MAX_PARTS)
