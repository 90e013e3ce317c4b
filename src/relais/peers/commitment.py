"""Storage Commitment over an open association: to ask and await the answer, and to tell one (PS3.4 J.3).

Knows messages, not who keeps what. Whoever tells is SCP of the SOP Class, whoever asks its SCU, on any association.
"""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT, DimseServiceType

from relais.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_COMMITMENT,
    Report,
    Request,
    format_report,
    format_request,
    parse_report,
)
from relais.errors import InvalidRequest
from relais.peers import identifier, messages
from relais.peers.association import Associated
from relais.peers.messages import AssociationLost, Taken

MAX_BYTES = 4 * 1024 * 1024  # of a request or an answer: some 20,000 references
MAX_PARTS = 100_000  # of its Data Elements and Items: some 30,000 references
ANSWER_S = 30.0  # for the acknowledgement of an answer, at most

INVALID_ARGUMENT = 0x0115  # PS3.7 C.5.6


@dataclass(frozen=True, slots=True)
class Context:
    """The presentation context to use."""

    id: int
    transfer_syntax_uid: str


def context_of(assoc: Associated) -> Context:
    """The accepted context of the SOP Class. Raises AssociationLost if there is none."""
    for context in assoc.accepted_contexts:
        if context.abstract_syntax == PUSH_MODEL and context.context_id is not None:
            return Context(context.context_id, str(context.transfer_syntax[0]))
    raise AssociationLost("The peer does not do storage commitment.")


def tell(assoc: Associated, context: Context, report: Report, message_id: int = 1) -> int:
    """Send *report* (N-EVENT-REPORT) and return the status of the answer.

    What the peer asks meanwhile waits until then. Raises AssociationLost if there is no answer.
    """
    event = N_EVENT_REPORT()
    event.MessageID, event.EventTypeID = message_id, report.event_type
    event.AffectedSOPClassUID, event.AffectedSOPInstanceUID = UID(PUSH_MODEL), UID(PUSH_MODEL_INSTANCE)
    event.EventInformation = BytesIO(identifier.encode(format_report(report), context.transfer_syntax_uid))
    messages.send(assoc, context.id, event)
    deadline = time.monotonic() + min(assoc.dimse_timeout or ANSWER_S, ANSWER_S)
    aside: list[Taken] = []
    try:
        while True:
            taken = messages.take(assoc, max(deadline - time.monotonic(), 0.001))
            if taken[1].MessageIDBeingRespondedTo is not None:
                return int(messages.expect(taken[1], event).Status or 0)
            aside.append(taken)
    finally:
        messages.put_back(assoc, aside)


def ask(assoc: Associated, request: Request, wait_s: float, is_answered: Callable[[], bool]) -> Report | None:
    """Ask for *request* (N-ACTION) and hold *assoc* until the answer comes; None if it did not come here.

    Waits no longer than *wait_s*, and not when *is_answered* says that it came another way. Raises InvalidRequest if
    the peer refuses to be asked, AssociationLost.
    """
    context = context_of(assoc)
    action = N_ACTION()
    action.MessageID, action.ActionTypeID = 1, REQUEST_COMMITMENT
    action.RequestedSOPClassUID, action.RequestedSOPInstanceUID = UID(PUSH_MODEL), UID(PUSH_MODEL_INSTANCE)
    action.ActionInformation = BytesIO(identifier.encode(format_request(request), context.transfer_syntax_uid))
    messages.send(assoc, context.id, action)
    context_id, message = messages.take(assoc)
    report = None
    if isinstance(message, N_EVENT_REPORT):  # an SCP may be that fast
        report = _heard(assoc, context_id, message, request)
        message = messages.receive(assoc)
    status = messages.expect(message, action).Status
    if status != 0:
        raise InvalidRequest(f"The peer refused the commitment request with status {status:04X}.")
    return report or _await(assoc, request, wait_s, is_answered)


def _await(assoc: Associated, request: Request, wait_s: float, is_answered: Callable[[], bool]) -> Report | None:
    deadline = time.monotonic() + wait_s
    while assoc.is_open and time.monotonic() < deadline and not is_answered():
        try:
            context_id, message = assoc.dimse.msg_queue.get(timeout=messages.LOOK_S)
        except queue.Empty:
            continue
        if message is None or context_id is None:
            break
        report = _heard(assoc, context_id, message, request)
        if report is not None:
            return report
    return None


def _heard(assoc: Associated, context_id: int, message: DimseServiceType, request: Request) -> Report | None:
    """Acknowledge an answer; None if it is one to another request, which the peer is told. Raises AssociationLost."""
    if not isinstance(message, N_EVENT_REPORT) or message.EventInformation is None:
        raise AssociationLost("The peer sent something else than the answer to the commitment request.")
    encoded = message.EventInformation.getvalue()
    try:
        information = identifier.decode(encoded, context_of(assoc).transfer_syntax_uid, MAX_BYTES, MAX_PARTS)
        report: Report | None = parse_report(information)
    except InvalidRequest:
        report = None
    if report is not None and report.transaction_uid != request.transaction_uid:
        report = None
    response = N_EVENT_REPORT()
    response.MessageIDBeingRespondedTo = message.MessageID
    response.AffectedSOPClassUID = message.AffectedSOPClassUID
    response.AffectedSOPInstanceUID = message.AffectedSOPInstanceUID
    response.EventTypeID = message.EventTypeID
    response.Status = INVALID_ARGUMENT if report is None else 0x0000
    messages.send(assoc, context_id, response)
    return report
