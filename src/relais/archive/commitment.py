"""Storage Commitment as SCP: what the node promises to keep, and what is still to be told to whom (PS3.4 J).

Knows rows and bytes, not associations: dimse and node tell the reports.

1. A request is durable before it is answered, and gone only when its requester has been told, or not for too long.
2. What is committed to is looked up when it is told, each time: it is registered, and its bytes are there.
3. A request is claimed by one teller at a time, for CLAIM_S: if that one dies, another one tells it after that. What is
   told twice for that reason harms nobody. A clock that was ahead puts nothing off until that time has come.
4. What cannot be read now from an object store another node may promise, which has it in its spool or reaches the
   store, or this one a little later: the result waits for that, PATIENCE_S at most.
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import Principal, Protocol, of_origin
from relais.archive import Archive
from relais.archive.integrity import Damaged, verified_chunks
from relais.db.database import Row, Transaction
from relais.dicom.commitment import Failed, Reason, Reference, Report, Request
from relais.dicom.origin import Origin
from relais.errors import Nearline, NodeError, NotFound, OutOfResources, Unavailable
from relais.index import lookup
from relais.index.rows import InstanceRow
from relais.storage.spooling import Spooling
from relais.telemetry.line import fields

CLAIM_S = 120.0
BACK_OFF_S, MAX_BACK_OFF_S = 5.0, 3600.0  # after the first failure to tell, doubled each time
MOST_AHEAD_S = 2 * MAX_BACK_OFF_S  # what is put off for longer was by a clock that was ahead: it is due
PATIENCE_S = 3600.0  # so long a result waits for what cannot be read; then that is told as not committed to
MAX_WAITING = 1000  # requests of one requester that wait to be told; one more is refused
AT_ONCE = 20  # requests told on one association
BATCH = 500  # references looked up at a time

ADD = """
INSERT INTO commitment
  (transaction_uid, calling_ae_title, address, "user", refs, requested_at, attempts, due_at, is_duplicate)
VALUES (:transaction_uid, :calling_ae_title, :address, :user, :refs, :now, 0, :until, :is_duplicate)
RETURNING id
"""
AGAIN = """
UPDATE commitment SET address = :address, "user" = :user, requested_at = :now, due_at = :until WHERE id = :id
"""
SAME = """
SELECT id, refs FROM commitment WHERE calling_ae_title = :calling_ae_title AND transaction_uid = :transaction_uid
ORDER BY is_duplicate
"""
WAITING = "SELECT count(*) FROM commitment WHERE calling_ae_title = ?"
NEXT = """
SELECT calling_ae_title FROM commitment WHERE due_at <= :now OR due_at > :latest ORDER BY due_at LIMIT 1
"""
CLAIM = """
UPDATE commitment SET attempts = attempts + 1, due_at = :until
WHERE (due_at <= :now OR due_at > :latest) AND id IN (
  SELECT id FROM commitment
  WHERE calling_ae_title = :requester AND (due_at <= :now OR due_at > :latest) ORDER BY id LIMIT :limit
) RETURNING *
"""
POSTPONE = "UPDATE commitment SET due_at = ? WHERE id = ?"
REMOVE = "DELETE FROM commitment WHERE id = ?"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request whose result is to be told, claimed by who holds this. *attempts* to tell it began before.

    Nothing is promised to one that is a duplicate: another one used its Transaction UID when it came.
    """

    id: int
    principal: Principal
    request: Request
    requested_at: float
    attempts: int = 0
    is_duplicate: bool = False


def request(archive: Archive, origin: Origin, asked: Request) -> Waiting:
    """Note durably that the result of *asked* is to be told, and claim it.

    Raises Forbidden, and OutOfResources if too many requests of that requester wait to be told.

    Whether its Transaction UID is in use, until the result of its first request has been told, is part of the result
    (PS3.3 C.14.1.1: 0131).

    Reading: the same references under the same Transaction UID are the same request, made once more.
    """
    principal = of_origin(origin)
    archive.policy.decide(principal, Action.COMMIT)
    row: dict[str, object] = {
        "transaction_uid": asked.transaction_uid,
        "calling_ae_title": principal.name,
        "address": principal.address,
        "user": origin.user,
        "refs": json.dumps([[one.sop_class_uid, one.sop_instance_uid] for one in asked.references]),
    }

    def work(tx: Transaction) -> Waiting:
        if tx.execute(WAITING, (principal.name,)).fetchone()[0] >= MAX_WAITING:
            raise OutOfResources("Too many results wait to be told to this requester.")
        number, is_duplicate = _noted(tx, row | {"now": tx.now, "until": tx.now + CLAIM_S})
        detail: dict[str, object] = {"asked": len(asked.references), "transaction_uid": asked.transaction_uid}
        audit.write(tx, audit.Record(principal, Action.COMMIT, detail=detail))
        return Waiting(number, principal, asked, tx.now, is_duplicate=is_duplicate)

    return archive.db.write(work)


def _noted(tx: Transaction, row: dict[str, object]) -> tuple[int, bool]:
    """The number of the request in *row*, and whether another one uses its Transaction UID."""
    found = tx.execute(SAME, row).fetchall()
    for place, same in enumerate(found):
        if same["refs"] == row["refs"]:
            tx.execute(AGAIN, row | {"id": same["id"]})
            return int(same["id"]), place > 0
    (number,) = tx.execute(ADD, row | {"is_duplicate": int(bool(found))}).fetchone()
    return int(number), bool(found)


def report(archive: Archive, waiting: Waiting) -> Report:
    """What can be promised now of what was asked, in its order.

    Raises Unavailable if some of it cannot be read now, and the result is to wait for that.
    """
    asked = waiting.request
    if waiting.is_duplicate:
        refused = tuple(Failed(reference, Reason.DUPLICATE_TRANSACTION_UID) for reference in asked.references)
        return Report(asked.transaction_uid, (), refused)
    committed: list[Reference] = []
    failed: list[Failed] = []
    for reference, reason in _judged(archive, asked.references, is_patient=_is_patient(archive, waiting)):
        if reason is None:
            committed.append(reference)
        else:
            failed.append(Failed(reference, reason))
    return Report(asked.transaction_uid, tuple(committed), tuple(failed))


def claim(archive: Archive) -> list[Waiting]:
    """Claim what is due of one requester, [] if nothing is."""
    with archive.db.read() as connection:
        if connection.execute(NEXT, _between(time.time())).fetchone() is None:
            return []

    def work(tx: Transaction) -> list[Waiting]:
        due = tx.execute(NEXT, _between(tx.now)).fetchone()
        if due is None:
            return []
        wanted = {"requester": due[0], "until": tx.now + CLAIM_S, "limit": AT_ONCE, **_between(tx.now)}
        return [_waiting(row) for row in tx.execute(CLAIM, wanted).fetchall()]

    return archive.db.write(work)


def _between(now: float) -> dict[str, float]:
    """When something is due that is put off."""
    return {"now": now, "latest": now + MOST_AHEAD_S}


def told(archive: Archive, waiting: Waiting, result: Report) -> None:
    """The requester has acknowledged *result*: nothing is left to be done."""
    detail: dict[str, object] = {
        "committed": len(result.committed),
        "failed": len(result.failed),
        "transaction_uid": result.transaction_uid,
    }
    _end(archive, waiting, detail)


def postpone(archive: Archive, claimed: Iterable[Waiting], why: str) -> None:
    """They could not be told: let them be tried again later, later and later; or no more after the time limit."""
    for given_up, some in groupby(claimed, lambda one: _is_too_late(archive, one)):
        if given_up:
            for one in some:
                _end(archive, one, {"given_up": why, "transaction_uid": one.request.transaction_uid})
                log.error("%s", fields(event="commitment given up", calling=one.principal.name, error=why))
            continue
        _set_due(archive, [(one, min(BACK_OFF_S * 2.0 ** min(one.attempts, 20), MAX_BACK_OFF_S)) for one in some])


def release(archive: Archive, waiting: Waiting) -> None:
    """Give *waiting* back, to be told at once by who claims it."""
    _set_due(archive, [(waiting, 0.0)])


def _set_due(archive: Archive, delays: Iterable[tuple[Waiting, float]]) -> None:
    numbers = [(delay_s, one.id) for one, delay_s in delays]
    archive.db.write(lambda tx: tx.executemany(POSTPONE, [(tx.now + delay_s, number) for delay_s, number in numbers]))


def _is_patient(archive: Archive, waiting: Waiting) -> bool:
    patience_s = min(PATIENCE_S, archive.settings.commitment_retry_s)
    return isinstance(archive.store, Spooling) and abs(time.time() - waiting.requested_at) < patience_s


def _is_too_late(archive: Archive, waiting: Waiting) -> bool:
    return time.time() - waiting.requested_at > archive.settings.commitment_retry_s


def _end(archive: Archive, waiting: Waiting, detail: dict[str, object]) -> None:
    def work(tx: Transaction) -> None:
        if tx.execute(REMOVE, (waiting.id,)).rowcount:
            audit.write(tx, audit.Record(waiting.principal, Action.COMMIT, detail=detail))

    archive.db.write(work)


def _waiting(row: Row) -> Waiting:
    references = tuple(Reference(*pair) for pair in json.loads(row["refs"]))
    principal = Principal(Protocol.DIMSE, row["calling_ae_title"], row["address"])
    asked = Request(row["transaction_uid"], references)
    return Waiting(row["id"], principal, asked, row["requested_at"], row["attempts"] - 1, bool(row["is_duplicate"]))


def _judged(
    archive: Archive, references: Sequence[Reference], *, is_patient: bool
) -> Iterator[tuple[Reference, Reason | None]]:
    for start in range(0, len(references), BATCH):
        batch = references[start : start + BATCH]
        rows: dict[str, list[InstanceRow]] = {}
        for row in lookup.by_sop_uids(archive.db, {one.sop_instance_uid for one in batch}):
            rows.setdefault(row.ref.sop_instance_uid, []).append(row)
        for one in batch:
            yield one, _why_not(archive, one, rows.get(one.sop_instance_uid, []), is_patient=is_patient)


def _why_not(archive: Archive, reference: Reference, rows: Sequence[InstanceRow], *, is_patient: bool) -> Reason | None:
    """Why *reference* is not committed to; None if it is: one of the *rows* with its UID is it, and whole."""
    if not rows:
        return Reason.NO_SUCH_INSTANCE
    of_class = [row for row in rows if row.sop_class_uid == reference.sop_class_uid]
    if not of_class:
        return Reason.CLASS_INSTANCE_CONFLICT
    reasons = [_damage(archive, row, is_patient=is_patient) for row in of_class]
    return None if None in reasons else reasons[0]


def _damage(archive: Archive, row: InstanceRow, *, is_patient: bool) -> Reason | None:
    try:
        if archive.store.size_bytes(row.key) != row.size_bytes:
            return _told_damage(row, "has another size than it had")
        if archive.settings.verify_on_commit:
            for _ in verified_chunks(archive, row, 0, always=True):
                pass
    except NotFound:
        _told_damage(row, "is missing")
        return Reason.NO_SUCH_INSTANCE
    except Damaged:
        return Reason.PROCESSING_FAILURE
    except Unavailable as exc:
        return _unavailable(exc, is_patient=is_patient)
    except NodeError as exc:
        return _told_damage(row, exc.message)
    return None


def _unavailable(error: Unavailable, *, is_patient: bool) -> Reason:
    if is_patient and not isinstance(error, Nearline):
        raise error
    return Reason.RESOURCE_LIMITATION


def _told_damage(row: InstanceRow, what: str) -> Reason:
    log.error("%s", fields(event="not committed", key=row.key, error=f"The stored object {what}."))
    return Reason.PROCESSING_FAILURE
