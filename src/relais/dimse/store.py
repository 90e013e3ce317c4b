"""Storage as SCP: C-STORE (PS3.4 B.2). The Data Set goes to archive.ingest as it comes, never decoded on the way."""

import logging

from relais.archive import Archive
from relais.archive.ingest import Claim, Receiving, Stored, receive
from relais.dicom.origin import Origin
from relais.dicom.uids import is_valid
from relais.dimse.operation import Operation
from relais.dimse.status import (
    INVALID_SOP_INSTANCE,
    LACKS_PIXELS,
    MISTYPED_ARGUMENT,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    Status,
    of_error,
)
from relais.errors import NodeError, OutOfResources
from relais.storage.base import Buffer

log = logging.getLogger(__name__)


class Incoming:
    """The Data Set of one request, from its first byte to its status.

    What goes wrong is kept as the status while the rest of the Data Set is taken and dropped, because an answer is due
    only when the request is complete. Written by one thread and then finished by another, never by both at a time.
    *error* is what a failure is the status of, where it was a NodeError.
    """

    def __init__(self, archive: Archive, claim: Claim, context_sop_class_uid: str, origin: Origin) -> None:
        self._receiving: Receiving | None = None
        self.stored: Stored | None = None
        self.error: NodeError | None = None
        self.failure = _check(claim, context_sop_class_uid)
        if self.failure is None:
            try:
                self._receiving = receive(archive, claim, origin)
            except Exception as exc:
                self._fail(exc)

    def write(self, data: Buffer) -> None:
        """Take the next piece. Raises nothing: see finish."""
        receiving = self._receiving
        if receiving is not None:
            try:
                receiving.write(data)
            except Exception as exc:
                self._fail(exc)

    def finish(self) -> Status:
        """Make the instance durable; Success, or a Warning of what is odd in it, only if it is (PS3.4 B.2.3)."""
        receiving = self._receiving
        if receiving is not None:
            try:
                self.stored = receiving.finish()
            except Exception as exc:
                self._fail(exc)
            self.discard()
        return self.failure or (LACKS_PIXELS if self.stored and self.stored.lacks_pixels else SUCCESS)

    def discard(self) -> None:
        """Let go of everything; what was not finished leaves no trace. May be called again."""
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            receiving.__exit__()

    def _fail(self, exc: Exception) -> None:
        if isinstance(exc, NodeError):
            self.error, self.failure = exc, of_error("C-STORE", exc)
            if isinstance(exc, OutOfResources):
                log.error("an instance could not be stored: %s", exc.message)
        else:
            log.error("an instance could not be stored", exc_info=exc)
            self.failure = PROCESSING_FAILURE
        self.discard()


def serve(operation: Operation, incoming: Incoming | None) -> None:
    """Finish what has come in and say what became of it (PS3.4 B.2.3)."""
    status = MISTYPED_ARGUMENT if incoming is None else incoming.finish()
    if status is INVALID_SOP_INSTANCE:
        operation.request.AffectedSOPInstanceUID = None  # is not repeated: it could not be encoded
    if incoming is not None and incoming.stored is not None:
        operation.tally["size_bytes"] = incoming.stored.size_bytes
    operation.respond(status)


def _check(claim: Claim, context_sop_class_uid: str) -> Status | None:
    if claim.sop_class_uid != context_sop_class_uid:
        return SOP_CLASS_NOT_SUPPORTED
    if not is_valid(claim.sop_instance_uid or ""):
        return INVALID_SOP_INSTANCE
    return None
