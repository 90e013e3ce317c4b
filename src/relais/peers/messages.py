"""DIMSE messages over an association, sent and awaited by one thread. Knows pynetdicom's primitives, not services.

A Data Set is passed on as the bytes it came in, piece by piece, at the pace of the network: never decoded, never whole
in memory. Used where we are SCU: on associations of relais.peers.association, and for the sub-operations of C-GET on
the association of the peer that asked (there its reactor is the very thread that calls this).
"""

import queue
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any, TypeVar

from pynetdicom.dimse_primitives import C_CANCEL, DIMSEPrimitive, DimsePrimitiveType, DimseServiceType
from pynetdicom.pdu_primitives import P_DATA

from relais.errors import Unavailable
from relais.peers.association import Associated
from relais.peers.wire import framing
from relais.peers.wire.messages import InlineMessages
from relais.peers.wire.primitives import of_primitive, plain

QUEUED_PDUS = 8  # handed to the network thread ahead of the network; more wait, so memory stays at some 8 PDUs
PAUSE_S = 0.001
GLANCE_S = 0.05  # the same where a release that was asked for must not wait
LOOK_S = 0.5  # how often a wait for a response looks whether the association is still there

Taken = tuple[int, DimseServiceType]  # a message and the ID of its presentation context

Message = TypeVar("Message", bound=DIMSEPrimitive)


class AssociationLost(Unavailable):
    """The association cannot be used any further; if it is still there it must be aborted."""


class NoAnswer(AssociationLost):
    """The peer did not answer in time."""


def make(assoc: Associated, service: type[Message]) -> Message:
    """An empty message of *service*, one of the DIMSE-C services, to be sent over *assoc*."""
    made: Message = (plain(service) if isinstance(assoc.dimse, InlineMessages) else service)()
    return made


def send(assoc: Associated, context_id: int, message: DimsePrimitiveType, data: Iterable[bytes] | None = None) -> None:
    """Send *message*, and after it *data* as its Data Set. Raises AssociationLost if the association is gone.

    With *data*, the message's own Data Set must be an empty buffer: it then announces one and sends none.
    """
    assoc.dimse.send_msg(message, context_id)
    if data is None:
        return
    if isinstance(assoc.dimse, InlineMessages):
        assoc.dimse.send_data(context_id, data)
        if not assoc.is_open:
            raise AssociationLost("The peer broke off the association.")
        return
    _send_by_thread(assoc, context_id, data)


def _send_by_thread(assoc: Any, context_id: int, data: Iterable[bytes]) -> None:
    """Have pynetdicom's network thread send *data*, no faster than it can."""
    size = framing.fragment_size(assoc.dimse.maximum_pdu_size or 0)
    for pieces, is_last in framing.fragments(data, size):
        wait_for_network(assoc)
        pdata = P_DATA()
        control = bytes((framing.LAST if is_last else 0,))
        pdata.presentation_data_value_list.append((context_id, b"".join((control, *pieces))))
        assoc.dul.send_pdu(pdata)


class Many:
    """Messages like *message*, one of the DIMSE-C services with an Identifier, that differ in that alone."""

    def __init__(self, assoc: Associated, context_id: int, message: Any) -> None:
        self._assoc, self._context_id, self._message = assoc, context_id, message
        message.Identifier = BytesIO()
        self._command, _ = of_primitive(message)

    def send(self, encoded: Iterable[bytes]) -> None:
        """Send one with each of *encoded*, at the pace of the network. Raises AssociationLost."""
        if isinstance(self._assoc.dimse, InlineMessages):
            if not self._assoc.dimse.send_many(self._context_id, self._command, encoded):
                raise AssociationLost("The peer broke off the association.")
            return
        for one in encoded:
            self._message.Identifier = BytesIO(one)
            send(self._assoc, self._context_id, self._message)
            wait_for_network(self._assoc)


def receive(assoc: Associated, timeout_s: float | None = None) -> DimseServiceType:
    """The next message. Raises AssociationLost if the peer breaks off, NoAnswer after the DIMSE time-out."""
    return take(assoc, timeout_s)[1]


def take(assoc: Associated, timeout_s: float | None = None) -> Taken:
    """The same, with the ID of its presentation context."""
    deadline = time.monotonic() + (timeout_s or assoc.dimse_timeout or 60)
    while time.monotonic() < deadline:
        try:
            context_id, message = assoc.dimse.msg_queue.get(timeout=LOOK_S)
        except queue.Empty:
            if not assoc.is_open:
                break
            continue
        if message is None or context_id is None:  # the network thread tells so that the association ended
            break
        return context_id, message
    else:
        raise NoAnswer
    raise AssociationLost("The peer broke off the association.")


def put_back(assoc: Associated, taken: Sequence[Taken | tuple[None, None]]) -> None:
    """Let *taken* be the next messages again, in that order."""
    waiting = assoc.dimse.msg_queue
    with waiting.mutex:
        waiting.queue.extendleft(reversed(taken))


def is_quiet(assoc: Associated, seconds: float) -> bool:
    """Whether nothing comes for so long and *assoc* is still open then."""
    deadline = time.monotonic() + seconds
    while assoc.is_open:
        if time.monotonic() >= deadline:
            return True
        with suppress(queue.Empty):
            put_back(assoc, [assoc.dimse.msg_queue.get(timeout=GLANCE_S)])
            return False
    return False


def expect(received: DIMSEPrimitive, request: Message) -> Message:
    """*received*, if it is a response to *request*, with a status. Raises AssociationLost otherwise."""
    answers = received.MessageIDBeingRespondedTo == request.MessageID
    if not isinstance(received, type(request)) or not answers or received.Status is None:
        raise AssociationLost("The peer answered something else than what it was asked.")
    return received


def cancel(assoc: Associated, context_id: int, request: DIMSEPrimitive) -> None:
    """Ask the peer to stop what *request* began, and wait until it has (PS3.7 9.3.2.3)."""
    message = C_CANCEL()
    message.MessageIDBeingRespondedTo = request.MessageID
    send(assoc, context_id, message)
    while expect(receive(assoc), request).Status in {0xFF00, 0xFF01}:
        pass


def wait_for_network(assoc: Any) -> None:
    """Return when the network thread has little left to send. Raises AssociationLost if the association is gone."""
    if isinstance(assoc.dimse, InlineMessages):  # sends at once
        return
    while assoc.dul.to_provider_queue.qsize() >= QUEUED_PDUS:
        if not assoc.is_open:
            raise AssociationLost("The peer broke off the association.")
        time.sleep(PAUSE_S)
