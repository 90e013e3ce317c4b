"""Retrieve as SCP: C-GET (PS3.4 C.4.3). Instances go back over the peer's own association, in contexts it offered."""

from collections.abc import Generator, Sequence
from contextlib import closing

from relais.access.policy import Action
from relais.archive import Archive
from relais.dimse import suboperations
from relais.dimse.operation import Operation
from relais.index.rows import InstanceRow
from relais.peers.base import Sent
from relais.peers.sending import accepted_contexts, send_instance


def serve(operation: Operation, archive: Archive) -> None:
    """Send what the request names in those contexts for which the peer took the role of SCP (PS3.7 D.3.3.4).

    An instance that fits none of them, as it is stored or uncompressed, is a failed sub-operation.
    """
    rows = suboperations.rows(operation, archive, Action.RETRIEVE)
    with closing(_send(operation, archive, rows)) as sending:
        suboperations.perform(operation, len(rows), sending)


def _send(operation: Operation, archive: Archive, rows: Sequence[InstanceRow]) -> Generator[Sent]:
    accepted = accepted_contexts(operation.assoc)
    for number, row in enumerate(rows, start=operation.request.MessageID + 1):
        yield send_instance(operation.assoc, accepted, suboperations.outgoing(archive, row), number % 0xFFFF + 1)
