"""Retrieve as SCP: C-MOVE (PS3.4 C.4.2). Instances go to a configured peer, over associations that we request."""

from collections.abc import Generator, Sequence
from contextlib import closing

from relais.access.policy import Action
from relais.archive import Archive
from relais.archive.admission import require_destination
from relais.dimse import suboperations
from relais.dimse.operation import Operation
from relais.dimse.status import MOVE_DESTINATION_UNKNOWN
from relais.errors import Unavailable
from relais.peers.base import MoveOriginator, Outgoing, Peer, Sent
from relais.peers.registry import Registry


def serve(operation: Operation, archive: Archive, peers: Registry) -> None:
    """Send what the request names to its move destination, whatever the peer that asked would take itself."""
    destination = peers.by_ae_title(str(operation.request.MoveDestination or ""))
    if destination is None:
        operation.respond(MOVE_DESTINATION_UNKNOWN)
        return
    require_destination(archive, operation.principal, str(operation.request.MoveDestination).strip())
    rows = suboperations.rows(operation, archive, Action.MOVE)
    originator = MoveOriginator(operation.origin.calling_ae_title, operation.request.MessageID)
    instances = [suboperations.outgoing(archive, row) for row in rows]
    with closing(_send(destination, instances, originator)) as sending:
        suboperations.perform(operation, len(rows), sending)


def _send(destination: Peer, instances: Sequence[Outgoing], originator: MoveOriginator) -> Generator[Sent]:
    """A destination that cannot be reached fails every sub-operation, not the request (PS3.4 C.4.2.3.1)."""
    try:
        yield from destination.store(instances, originator)
    except Unavailable as exc:
        for instance in instances:
            yield Sent(instance.sop_instance_uid, comment=exc.message)
