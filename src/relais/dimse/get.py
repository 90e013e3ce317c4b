"""Retrieve as SCP: C-GET (PS3.4 C.4.3). Instances go back over the peer's own association, in contexts it offered."""

from contextlib import closing

from relais.access.policy import Action
from relais.archive import Archive
from relais.dimse.operation import Operation
from relais.dimse.suboperations import Performance, outgoing, rows
from relais.peers.sending import MAX_MESSAGE_ID, Sending


def serve(operation: Operation, archive: Archive) -> None:
    """Send what the request names in those contexts for which the peer took the role of SCP (PS3.7 D.3.3.4).

    An instance that fits none of them, as it is stored or uncompressed, is a failed sub-operation.
    """
    found = rows(operation, archive, Action.RETRIEVE)
    performance = Performance(operation, len(found))
    instances = (outgoing(archive, row) for row in found)
    first = operation.request.MessageID % MAX_MESSAGE_ID + 1
    sending = Sending(operation.assoc, instances, keep_going=performance.keep_going, first_message_id=first)
    with closing(sending):
        performance.count(iter(sending))
