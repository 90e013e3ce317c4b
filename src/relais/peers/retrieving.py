"""C-GET and C-MOVE as SCU (PS3.4 C.4.2, C.4.3) over an open association. Knows messages, not what we hold.

With C-GET the instances come as C-STORE requests over the association that asked for them, so for their SOP Classes we
are SCP there. Each Data Set goes on as it arrives to an Inbound, whose answer is the peer's answer.
"""

import time
from collections.abc import Callable
from dataclasses import astuple
from io import BytesIO
from typing import Any

from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_GET, C_MOVE, C_STORE, DimseServiceType

from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import Ref
from relais.errors import Unavailable
from relais.peers import identifier, messages
from relais.peers.association import Associated
from relais.peers.base import Announced, Buffer, Inbound, Receive, Refused, Retrieved
from relais.peers.messages import AssociationLost, Taken
from relais.peers.wire.command_set import AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID, CommandSet, text
from relais.peers.wire.messages import InlineMessages

MOVE = "1.2.840.10008.5.1.4.1.2.2.2"  # Study Root (PS3.4 C.6.2)
GET = "1.2.840.10008.5.1.4.1.2.2.3"
PENDING = frozenset({0xFF00, 0xFF01})
MOVE_S = 3600.0  # a peer may move so long without saying anything: not all send pending responses
LOOK_S = 1.0  # how often somebody who waits so long looks whether it is to go on
STOPPED = "It was stopped."
CONTEXT_ID = 1  # of the request: what is proposed first
UNIQUE_KEYS = ("0020000D", "0020000E", "00080018")
LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)


class _Counted:
    """An Inbound that tells how much has come: whoever waits for the end of a large instance sees that it goes on."""

    def __init__(self, inbound: Inbound, inbox: "GetMessages") -> None:
        self.inbound, self._inbox = inbound, inbox

    def write(self, data: Buffer) -> None:
        self._inbox.received_bytes += len(data)
        self.inbound.write(data)

    def discard(self) -> None:
        self.inbound.discard()


class GetMessages(InlineMessages):
    """Messages of an association over which instances are sent to us: their Data Sets go to what *receive* gives."""

    receive: Receive | None = None
    received_bytes = 0

    def open_sink(self, command: CommandSet, context_id: int) -> _Counted | None:
        if self.receive is None:
            return None
        context = self.upper_layer.assoc.context(context_id)
        announced = Announced(
            text(command, AFFECTED_SOP_CLASS_UID) or "",
            text(command, AFFECTED_SOP_INSTANCE_UID) or "",
            str(context.transfer_syntax[0]),
            str(context.abstract_syntax),
        )
        return _Counted(self.receive(announced), self)


def get(assoc: Associated, ref: Ref, receive: Receive, keep_going: Callable[[], bool]) -> Retrieved:
    """Ask for what *ref* names, and take it. *assoc* has GetMessages, and the context of C-GET was proposed first.

    Raises Refused if the peer does not do C-GET, and Unavailable if it breaks off or *keep_going* says no.
    """
    inbox = assoc.dimse
    assert isinstance(inbox, GetMessages)
    if not any(context.context_id == CONTEXT_ID for context in assoc.accepted_contexts):
        raise Refused("The peer does not do C-GET.")
    inbox.receive = receive
    request = _send(assoc, C_GET, GET, ref)
    try:
        while True:
            taken = _next(assoc, inbox)
            message: Any = taken[1]
            if isinstance(message, C_STORE) and message.MessageIDBeingRespondedTo is None:
                _answer(assoc, taken[0], message, inbox)
                if not keep_going():
                    raise Unavailable(STOPPED)
            elif messages.expect(message, request).Status not in PENDING:
                return _told(message)
    finally:
        inbox.discard()


def move(assoc: Associated, ref: Ref, destination: str, keep_going: Callable[[], bool]) -> Retrieved:
    """Have what *ref* names sent to *destination*, and wait until that is over.

    Raises AssociationLost, and Unavailable once *keep_going* says no, which is asked every second.
    """
    request = _send(assoc, C_MOVE, MOVE, ref, MoveDestination=destination)
    while True:
        response: Any = messages.expect(_response(assoc, keep_going), request)
        if response.Status not in PENDING:
            return _told(response)


def _response(assoc: Associated, keep_going: Callable[[], bool]) -> DimseServiceType:
    deadline = time.monotonic() + MOVE_S
    while keep_going():
        try:
            return messages.receive(assoc, LOOK_S)
        except messages.NoAnswer:
            if time.monotonic() >= deadline:
                raise
    raise Unavailable(STOPPED)


def of_ref(ref: Ref) -> JsonDataset:
    """The Identifier that names *ref* (PS3.4 C.4.2.1.4.1)."""
    named = astuple(ref)
    keys: JsonDataset = {key: {"vr": "UI", "Value": [uid]} for key, uid in zip(UNIQUE_KEYS, named, strict=False)}
    return keys | {identifier.LEVEL: {"vr": "CS", "Value": [LEVELS[len(named) - 1].value]}}


def _send(assoc: Associated, service: Any, sop_class_uid: str, ref: Ref, **fields: str) -> Any:
    request = messages.make(assoc, service)
    request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 0, UID(sop_class_uid)
    for name, value in fields.items():
        setattr(request, name, value)
    [context] = [context for context in assoc.accepted_contexts if context.context_id == CONTEXT_ID]
    request.Identifier = BytesIO(identifier.encode(of_ref(ref), str(context.transfer_syntax[0])))
    messages.send(assoc, CONTEXT_ID, request)
    return request


def _next(assoc: Associated, inbox: GetMessages) -> Taken:
    """The next message, however long it takes to come as long as something of it comes."""
    while True:
        before = inbox.received_bytes
        try:
            return messages.take(assoc)
        except AssociationLost:
            if inbox.received_bytes == before or not assoc.is_open:
                raise


def _answer(assoc: Associated, context_id: int, request: Any, inbox: GetMessages) -> None:
    """Tell the peer what became of an instance (PS3.7 9.3.1.2)."""
    sink = inbox.take_sink(request.MessageID)
    if not isinstance(sink, _Counted):
        raise AssociationLost("The peer sent an instance without its Data Set.")
    response: Any = messages.make(assoc, C_STORE)
    response.MessageIDBeingRespondedTo = request.MessageID
    response.AffectedSOPClassUID = request.AffectedSOPClassUID
    response.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
    response.Status = sink.inbound.finish().code
    messages.send(assoc, context_id, response)


def _told(response: Any) -> Retrieved:
    return Retrieved(
        response.Status,
        getattr(response, "ErrorComment", None) or "",
        response.NumberOfCompletedSuboperations or 0,
        response.NumberOfFailedSuboperations or 0,
        response.NumberOfWarningSuboperations or 0,
    )
