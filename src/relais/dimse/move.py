"""Retrieve as SCP: C-MOVE (PS3.4 C.4.2). Instances go to a configured peer, over associations that we request."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from relais.access.policy import Action
from relais.archive import Archive
from relais.archive.admission import require_destination
from relais.dimse.operation import Operation
from relais.dimse.status import MOVE_DESTINATION_UNKNOWN
from relais.dimse.suboperations import Performance, outgoing, rows
from relais.errors import Unavailable
from relais.peers.base import MoveOriginator, Outgoing, Peer, Sent
from relais.peers.registry import Registry


def serve(operation: Operation, archive: Archive, peers: Registry) -> None:
    """Send what the request names to its move destination, whatever the peer that asked would take itself."""
    to = str(operation.request.MoveDestination or "").strip()
    require_destination(archive, operation.principal, to)  # before who may not could learn which peers there are
    destination = peers.by_ae_title(to)
    if destination is None:
        operation.respond(MOVE_DESTINATION_UNKNOWN)
        return
    found = rows(operation, archive, Action.MOVE, to)
    originator = MoveOriginator(operation.origin.calling_ae_title, operation.request.MessageID)
    instances = [outgoing(archive, row) for row in found]
    performance = Performance(operation, len(found))
    with closing(_send(destination, instances, originator, performance.keep_going)) as sending:
        performance.count(sending)


def _send(
    destination: Peer, instances: Sequence[Outgoing], originator: MoveOriginator, keep_going: Callable[[], bool]
) -> Generator[Sent]:
    """A destination that cannot be reached fails every sub-operation, not the request (PS3.4 C.4.2.3.1)."""
    try:
        yield from destination.store(instances, originator, keep_going)
    except Unavailable as exc:
        for instance in instances:
            yield Sent(instance.sop_instance_uid, comment=exc.message)
