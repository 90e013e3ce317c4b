"""The C-STORE sub-operations of C-MOVE and C-GET: which, how many, and what became of them (PS3.4 C.4.2.2, C.4.3.2).

Knows the archive and how to count, not over which association the instances go.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from relais.access.policy import Action
from relais.archive import Archive, retrieve, search
from relais.archive.admission import require_retrieving
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dimse import identifier as identifiers
from relais.dimse.models import model_of
from relais.dimse.operation import Counters, Operation
from relais.dimse.status import CANCEL, NONE_SENT, PENDING, SOME_FAILED, SUCCESS, TOO_MANY_MATCHES, Status
from relais.errors import NotFound
from relais.index.rows import InstanceRow
from relais.peers.base import Begun, Outgoing, Sent, Verdict
from relais.peers.identifier import decode
from relais.telemetry.line import fields

MAX_SUBOPERATIONS = 0xFFFF  # the counters have 16 bits (PS3.7 E); more are refused, to be asked for in parts
FAILED_SOP_INSTANCE_UID_LIST = "00080058"
TELL_EVERY_S = (
    0.1  # a pending response, at most: they are optional, and each costs both ends as much as a small instance
)
MAX_FAILED_LISTED = 1000  # as many UIDs of 64 characters as fit a value of VR UI; further ones are counted only

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """What became of the sub-operations so far. *reason* says in words why the first that failed did, for the log."""

    remaining: int
    verdicts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    failed_uids: list[str] = field(default_factory=list)
    reason: str = ""

    def record(self, sent: Sent) -> None:
        self.remaining -= 1
        self.verdicts[sent.verdict] += 1
        if sent.verdict is Verdict.FAILED:
            self.failed_uids.append(sent.sop_instance_uid)
            self.reason = self.reason or _reason(sent)

    @property
    def counters(self) -> Counters:
        """Without the remaining ones, as final responses have them (PS3.7 9.1.4.1.7)."""
        return Counters(*(self.verdicts[one] for one in (Verdict.COMPLETED, Verdict.FAILED, Verdict.WARNING)))

    @property
    def outcome(self) -> Status:
        """PS3.4 C.4.2.3.1: Success, or B000 if any failed or warned, or A702 if all failed."""
        if self.verdicts[Verdict.FAILED] and not (self.verdicts[Verdict.COMPLETED] or self.verdicts[Verdict.WARNING]):
            return NONE_SENT
        return SOME_FAILED if self.verdicts[Verdict.FAILED] or self.verdicts[Verdict.WARNING] else SUCCESS

    @property
    def failed_list(self) -> JsonDataset | None:
        """The Identifier of a final response that tells of failures."""
        uids = self.failed_uids[:MAX_FAILED_LISTED]
        return {FAILED_SOP_INSTANCE_UID_LIST: {"vr": "UI", "Value": uids}} if uids else None


def _reason(sent: Sent) -> str:
    if sent.status is None:
        return sent.comment or NONE_SENT.comment
    return f"C-STORE was answered with status {sent.status:04X}" + (f": {sent.comment}" if sent.comment else ".")


def rows(operation: Operation, archive: Archive, action: Action, to: str = "") -> list[InstanceRow]:
    """The instances that the request names; none is no error (PS3.4 C.4.2.3.1).

    *to* is the AE title that they go to, if that is not the peer. Raises Forbidden if the peer may not do *action*.
    """
    require_retrieving(archive, operation.principal, action)
    model, _ = model_of(operation.sop_class_uid)
    asked = decode(operation.identifier, operation.transfer_syntax_uid)
    query = identifiers.retrieve_query(asked, model, relational=operation.extended[:1] == b"\1")
    refs = identifiers.refs(query)
    if refs is None:
        level = Level.STUDY if query.level is Level.PATIENT else query.level
        found = search.named(archive, operation.principal, replace(query, level=level), action)
        refs = [identifiers.ref_of(row, level) for row in found]
    try:
        return retrieve.instances_of(archive, operation.principal, refs, action, to) if refs else []
    except NotFound:
        return []


def outgoing(archive: Archive, row: InstanceRow) -> Outgoing:
    """*row* as the bytes that are kept, or transcoded where the peer does not take them."""
    return Outgoing(row.sop_class_uid, row.ref.sop_instance_uid, row.transfer_syntax_uid, partial(_read, archive, row))


def _read(archive: Archive, row: InstanceRow, transfer_syntax_uid: str) -> Iterator[bytes]:
    if transfer_syntax_uid == row.transfer_syntax_uid and (begun := retrieve.dataset_begun(archive, row)) is not None:
        return Begun(begun)
    return retrieve.dataset_chunks(archive, row, transfer_syntax_uid).chunks


class Performance:
    """Sub-operations that go on until all are done or the peer cancels."""

    def __init__(self, operation: Operation, count: int) -> None:
        self._operation, self._progress = operation, Progress(count)
        self._is_cancelled = False
        self._told_at = float("-inf")

    def keep_going(self) -> bool:
        """Whether the next sub-operation may begin. May be asked by any thread."""
        return not self._is_cancelled

    def count(self, results: Iterator[Sent]) -> None:
        """Take all *results*, which ends early only because of `keep_going`, and tell the peer (PS3.4 C.4.2.3.1)."""
        if self._progress.remaining > MAX_SUBOPERATIONS:
            self._operation.respond(TOO_MANY_MATCHES)
            return
        for sent in results:
            self._progress.record(sent)
            if self._progress.remaining and not self._is_cancelled:
                self._look_and_tell()
        self._conclude()

    def _look_and_tell(self) -> None:
        self._is_cancelled = self._operation.is_cancelled
        if self._is_cancelled or time.monotonic() - self._told_at < TELL_EVERY_S:
            return
        progress = self._progress
        self._operation.respond(PENDING, counters=replace(progress.counters, remaining=progress.remaining))
        self._told_at = time.monotonic()

    def _conclude(self) -> None:
        operation, progress = self._operation, self._progress
        operation.tally.update({f"{verdict}": number for verdict, number in progress.verdicts.items() if number})
        if progress.failed_uids:
            log.warning(
                "%s", fields(service=operation.service, failed=len(progress.failed_uids), error=progress.reason)
            )
        if progress.remaining:
            operation.respond(CANCEL, progress.failed_list, replace(progress.counters, remaining=progress.remaining))
        else:
            operation.respond(progress.outcome, progress.failed_list, progress.counters)
