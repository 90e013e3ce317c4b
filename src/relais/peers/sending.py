"""C-STORE as SCU (PS3.4 B.2): the stored bytes of instances, one after the other, and what the peer said about each.

Knows associations, not who opened them: C-MOVE, deliveries and `relais send` use ones that we requested, C-GET the
peer's own. While the peer takes an instance, the next one is read and checked. Where that takes time, as on a slow disk
or if it is transcoded, a thread of its own does so with several; those from afar are fetched side by side.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, count

from pynetdicom.dimse_primitives import C_STORE

from relais.errors import NodeError
from relais.peers import messages
from relais.peers.association import Associated
from relais.peers.base import Begun, MoveOriginator, Outgoing, Sent
from relais.peers.contexts import Accepted, Selection
from relais.peers.messages import AssociationLost
from relais.peers.readahead import ReadAhead

READ_AHEAD = 8 * 1024 * 1024  # read before the first byte is sent, so that damage is found while it can still be told
MAX_MESSAGE_ID = 0xFFFF  # then they begin again (PS3.7 9.1.1.1.1)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Ready:
    """An instance whose turn may come: *data* to be sent in *context*, or the *reason* why it cannot be offered."""

    instance: Outgoing
    context: Accepted | None = None
    data: Iterable[bytes] = ()
    source: Iterator[bytes] | None = None
    reason: str = ""

    def wait(self) -> None:
        """Until what was only begun to be fetched is there."""
        if isinstance(self.source, Begun):
            try:
                self.data = _read_ahead(self.source)
            except NodeError as exc:
                self.context, self.reason = None, exc.message

    def close(self) -> None:
        """Let go of what it holds open, also if it was not read to its end."""
        if isinstance(self.source, Generator | Begun):
            self.source.close()


class Sending:
    """*instances* offered over *assoc*, each in the best of the contexts in which we are SCU. Close it.

    Iterated once it gives what became of each, until *keep_going* says no, which is asked before each. An instance that
    cannot be offered, because no context fits it or it cannot be read, is a Sent without status. Raises AssociationLost
    if the association cannot be used further: the peer broke off or did not answer, or an instance turned out to be
    damaged when more than READ_AHEAD of it was sent, which only an abort can take back.

    *on_its_way* is the instance that was lost then. Once closed, *left* are those that were taken and not offered.
    """

    def __init__(
        self,
        assoc: Associated,
        instances: Iterator[Outgoing],
        originator: MoveOriginator | None = None,
        *,
        keep_going: Callable[[], bool] = lambda: True,
        first_message_id: int = 1,
    ) -> None:
        self._assoc, self._originator, self._keep_going = assoc, originator, keep_going
        self._message_ids = (number % MAX_MESSAGE_ID + 1 for number in count(first_message_id - 1))
        self._selection = Selection(accepted_contexts(assoc))
        self._ahead = ReadAhead(self._prepare, instances)
        self.on_its_way: Outgoing | None = None
        self.left: list[Outgoing] = []

    def close(self) -> None:
        """Offer no more."""
        for ready in self._ahead.close():
            self._put_back(ready)

    def __iter__(self) -> Iterator[Sent]:
        for ready in self._ahead:
            if not self._keep_going():
                self._put_back(ready)
                return
            yield self._offer(ready)

    def _put_back(self, ready: _Ready) -> None:
        self.left.append(ready.instance)
        ready.close()

    def _prepare(self, instance: Outgoing) -> _Ready:
        """Before its turn, perhaps in another thread."""
        context = self._selection.select(instance)
        if context is None:
            return _Ready(instance, reason="No presentation context was accepted for it.")
        try:
            source = instance.read(context.transfer_syntax)
            return _Ready(instance, context, () if isinstance(source, Begun) else _read_ahead(source), source)
        except NodeError as exc:
            return _Ready(instance, reason=exc.message)

    def _offer(self, ready: _Ready) -> Sent:
        instance = ready.instance
        if isinstance(ready.source, Begun):  # more than one at a time
            self._ahead.use_thread()
        ready.wait()
        if ready.context is None:
            return Sent(instance.sop_instance_uid, comment=ready.reason)
        self.on_its_way = instance
        request = self._request(instance)
        try:
            messages.send(self._assoc, ready.context.context_id, request, _honest(ready.data))
        finally:
            ready.close()
        self._ahead.make_next()  # while the peer is busy with this one
        response = messages.expect(messages.receive(self._assoc), request)
        self.on_its_way = None
        return Sent(instance.sop_instance_uid, response.Status, getattr(response, "ErrorComment", None) or "")

    def _request(self, instance: Outgoing) -> C_STORE:
        request = messages.make(self._assoc, C_STORE)
        request.MessageID, request.Priority = next(self._message_ids), 0
        request.AffectedSOPClassUID = instance.sop_class_uid
        request.AffectedSOPInstanceUID = instance.sop_instance_uid
        request.DataSet = BytesIO()
        if self._originator is not None:
            request.MoveOriginatorApplicationEntityTitle = self._originator.ae_title
            request.MoveOriginatorMessageID = self._originator.message_id
        return request


def accepted_contexts(assoc: Associated) -> list[Accepted]:
    """The contexts of *assoc* in which we are SCU."""
    return [
        Accepted(context.context_id, str(context.abstract_syntax), str(context.transfer_syntax[0]))
        for context in assoc.accepted_contexts
        if context.as_scu and context.context_id is not None
    ]


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
