"""Storage Commitment as SCU: what we asked peers to promise, until they answer (PS3.4 J). Knows rows, no associations.

The answer may come over another association than the question, and so to another process. It counts only from the AE
title that was asked, and only the first one: originals are deleted on the strength of it.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import OPERATOR, of_origin
from relais.archive import Archive
from relais.db.database import Transaction
from relais.dicom.commitment import Failed, Reference, Report, Request
from relais.dicom.origin import Channel, Origin
from relais.dicom.uids import generate
from relais.errors import NotFound

LOOK_S = 0.2  # how often an answer is looked for that may come to another process
KEPT_S = 30 * 86400.0  # an answer that comes later is one to nothing

ADD = "INSERT INTO commitment_asked(transaction_uid, peer, asked_at) VALUES (?, ?, ?)"
FORGET = "DELETE FROM commitment_asked WHERE asked_at < ?"
ANSWER = """
UPDATE commitment_asked SET answered_at = ?, answer = ? WHERE transaction_uid = ? AND peer = ? AND answered_at IS NULL
"""
ANSWERED = "SELECT answer FROM commitment_asked WHERE transaction_uid = ? AND peer = ?"
FIND = "SELECT answer FROM commitment_asked WHERE transaction_uid = ?"


class Committing(Protocol):
    """A peer that can be asked for storage commitment (see relais.peers.dimse)."""

    @property
    def ae_title(self) -> str: ...

    def ask_commitment(self, request: Request, wait_s: float, is_answered: Callable[[], bool]) -> Report | None: ...


def commit(archive: Archive, peer: Committing, references: Iterable[Reference], wait_s: float) -> Report | None:
    """Ask *peer* to commit to the storage of *references*, and wait for its answer; None if that has not come yet.

    Raises Unavailable if it cannot be asked, InvalidRequest if it refuses to be.
    """
    request = Request(generate(), tuple(references))
    ask(archive, peer.ae_title, request)
    deadline = time.monotonic() + wait_s
    report = peer.ask_commitment(request, wait_s, lambda: answer_to(archive, request.transaction_uid) is not None)
    if report is not None:
        answered(archive, Origin(Channel.DIMSE, calling_ae_title=peer.ae_title), report)
        return report
    while (report := answer_to(archive, request.transaction_uid)) is None and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return report


def ask(archive: Archive, ae_title: str, request: Request) -> None:
    """Note durably, before *request* is sent to the peer *ae_title*, that an answer will come from it."""
    detail: dict[str, object] = {"peer": ae_title, "asked": len(request.references)}
    record = audit.Record(OPERATOR, Action.COMMIT, detail=detail | {"transaction_uid": request.transaction_uid})

    def work(tx: Transaction) -> None:
        tx.execute(FORGET, (tx.now - KEPT_S,))
        tx.execute(ADD, (request.transaction_uid, ae_title.strip(), tx.now))
        audit.write(tx, record)

    archive.db.write(work)


def answered(archive: Archive, origin: Origin, report: Report) -> None:
    """Keep the answer of a peer; the same one again changes nothing.

    Raises NotFound if that peer was asked nothing under its Transaction UID, or has answered something else.
    """
    answer = json.dumps(_listed(report))
    asked = report.transaction_uid, origin.calling_ae_title.strip()
    detail: dict[str, object] = {"committed": len(report.committed), "failed": len(report.failed)}
    detail["transaction_uid"] = report.transaction_uid

    def work(tx: Transaction) -> None:
        if tx.execute(ANSWER, (tx.now, answer, *asked)).rowcount:
            audit.write(tx, audit.Record(of_origin(origin), Action.COMMIT, detail=detail))
            return
        row = tx.execute(ANSWERED, asked).fetchone()
        if row is None or row["answer"] != answer:
            raise NotFound("Nothing that is not answered was asked of this AE title under this Transaction UID.")

    archive.db.write(work)


def _listed(report: Report) -> list[object]:
    return [
        [[one.sop_class_uid, one.sop_instance_uid] for one in report.committed],
        [[one.reference.sop_class_uid, one.reference.sop_instance_uid, one.reason] for one in report.failed],
    ]


def answer_to(archive: Archive, transaction_uid: str) -> Report | None:
    """The answer, None as long as there is none."""
    with archive.db.read() as connection:
        row = connection.execute(FIND, (transaction_uid,)).fetchone()
    if row is None or row["answer"] is None:
        return None
    committed, failed = json.loads(row["answer"])
    return Report(
        transaction_uid,
        tuple(Reference(*pair) for pair in committed),
        tuple(Failed(Reference(*pair), reason) for *pair, reason in failed),
    )
