"""One C-STORE as SCU (PS3.4 B.2): the stored bytes of an instance, and what the peer said about it.

Knows associations, not who opened them: C-MOVE, deliveries and `relais send` use one that we requested, C-GET the
peer's own.
"""

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import chain

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from relais.errors import NodeError
from relais.peers import contexts, messages
from relais.peers.base import MoveOriginator, Outgoing, Sent
from relais.peers.contexts import Accepted
from relais.peers.messages import AssociationLost

READ_AHEAD = 16 * 1024 * 1024  # read before the first byte is sent, so that damage is found while it can still be told

log = logging.getLogger(__name__)


def accepted_contexts(assoc: Association) -> list[Accepted]:
    """The contexts of *assoc* in which we are SCU."""
    return [
        Accepted(context.context_id, str(context.abstract_syntax), str(context.transfer_syntax[0]))
        for context in assoc.accepted_contexts
        if context.as_scu and context.context_id is not None
    ]


def send_instance(
    assoc: Association,
    accepted: Sequence[Accepted],
    instance: Outgoing,
    message_id: int,
    originator: MoveOriginator | None = None,
) -> Sent:
    """Offer *instance* in the best of the *accepted* contexts and wait for the answer.

    An instance that cannot be offered, because no context fits it or it cannot be read, is a Sent without status, and
    the association can be used further. Raises AssociationLost if it cannot: the peer broke off or did not answer, or
    the instance turned out to be damaged when more than READ_AHEAD of it was sent, which only an abort can take back.
    """
    context = contexts.select(accepted, instance)
    if context is None:
        return Sent(instance.sop_instance_uid, comment="No presentation context was accepted for it.")
    try:
        with _closing(instance.read(context.transfer_syntax)) as data:
            whole = _read_ahead(data)
            request = _request(instance, message_id, originator)
            messages.send(assoc, context.context_id, request, _honest(whole))
    except AssociationLost:
        raise
    except NodeError as exc:
        return Sent(instance.sop_instance_uid, comment=exc.message)
    response = messages.expect(messages.receive(assoc), request)
    return Sent(instance.sop_instance_uid, response.Status, getattr(response, "ErrorComment", None) or "")


@contextmanager
def _closing(data: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Let go of what *data* holds open, also if it was not read to its end."""
    try:
        yield data
    finally:
        if isinstance(data, Generator):
            data.close()


def _request(instance: Outgoing, message_id: int, originator: MoveOriginator | None) -> C_STORE:
    request = C_STORE()
    request.MessageID, request.Priority = message_id, 0
    request.AffectedSOPClassUID = UID(instance.sop_class_uid)
    request.AffectedSOPInstanceUID = UID(instance.sop_instance_uid)
    request.DataSet = BytesIO()
    if originator is not None:
        request.MoveOriginatorApplicationEntityTitle = originator.ae_title
        request.MoveOriginatorMessageID = originator.message_id
    return request


def _read_ahead(data: Iterator[bytes]) -> Iterable[bytes]:
    """The same bytes, of which the first READ_AHEAD are known to be readable."""
    ahead, length = [], 0
    for chunk in data:
        ahead.append(chunk)
        length += len(chunk)
        if length >= READ_AHEAD:
            return chain(ahead, data)
    return ahead


def _honest(data: Iterable[bytes]) -> Iterator[bytes]:
    """*data*; if it cannot be read to its end, the association must go."""
    try:
        yield from data
    except NodeError as exc:
        raise AssociationLost(exc.message) from exc
