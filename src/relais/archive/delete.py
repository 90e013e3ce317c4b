"""Delete: rows first, then bytes. After a crash between the two, archive.maintenance.sweep removes the bytes.

1. Every deletion leaves a rejection note: a Key Object Selection that names what is gone and why. It is kept in the
   index beside the record of what was deleted, commits with it, and outlives a rebuild of the index.
2. What was deleted without a reason, or because its time is over, is new when it comes again. What was rejected for its
   quality, for the patient's safety or for a wrong worklist entry is refused then, if the setting on_rejected says so.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive, render
from relais.archive.settings import OnRejected
from relais.db.database import Transaction
from relais.dicom import rejection_note
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import InstanceRef, Ref, StudyRef
from relais.dicom.rejection_note import UNWANTED, Reason, Rejected
from relais.errors import Gone, NodeError, NotFound, Unwanted
from relais.index import composite, lookup, rejections
from relais.index.rejections import Note
from relais.index.rows import InstanceRow

__all__ = ["Deleted", "Note", "Reason", "check_wanted", "delete", "note", "notes"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion did: how many instances are gone, and the SOP Instance UID of the note that says so."""

    instances: int
    note: str


def delete(archive: Archive, principal: Principal, ref: Ref, reason: Reason = Reason.NONE) -> Deleted:
    """Delete what *ref* names. Raises Forbidden, NotFound if there is nothing, Gone if there was."""
    archive.policy.decide(principal, Action.DELETE, ref)
    study = lookup.attributes(archive.db, StudyRef(ref.study_instance_uid))
    if study is None:
        raise _absent(archive, ref)

    def work(tx: Transaction) -> tuple[list[InstanceRow], list[str], str]:
        rows = composite.remove(tx, ref)
        note = _keep_note(tx, reason, study, rows) if rows else ""
        if rows:
            detail: dict[str, object] = {"instances": len(rows), "level": type(ref).__name__, "note": note}
            audit.write(tx, audit.Record(principal, Action.DELETE, ref.study_instance_uid, detail))
        return rows, composite.history(tx, rows), note

    removed, history, note = archive.db.write(work)
    if not removed:
        raise _absent(archive, ref)
    _drop(archive, [row.key for row in removed] + history)
    render.forget(archive, (row.ref for row in removed))
    return Deleted(len(removed), note)


def notes(archive: Archive, principal: Principal, study: StudyRef | None, limit: int) -> list[Note]:
    """The newest rejection notes, or those of one study, newest first. Raises Forbidden."""
    archive.policy.decide(principal, Action.SEARCH, study)
    return rejections.notes(archive.db, study, limit)


def note(archive: Archive, principal: Principal, sop_instance_uid: str) -> bytes:
    """One rejection note as a Part 10 file. Raises NotFound."""
    found = rejections.document(archive.db, sop_instance_uid)
    if found is None:
        raise NotFound
    study, document = found
    archive.policy.decide(principal, Action.RETRIEVE, study)
    record = audit.Record(principal, Action.RETRIEVE, study.study_instance_uid, {"note": sop_instance_uid})
    archive.db.write_soon(lambda tx: audit.write(tx, record))
    return document


def check_wanted(archive: Archive, tx: Transaction, ref: InstanceRef) -> None:
    """Raise Unwanted if *ref* was rejected for good, and the setting says that it stays out."""
    if archive.settings.on_rejected is OnRejected.REFUSE and rejections.is_unwanted(tx, ref, UNWANTED):
        raise Unwanted


def _keep_note(tx: Transaction, reason: Reason, study: JsonDataset, rows: Sequence[InstanceRow]) -> str:
    rejected = [Rejected(row.ref, row.sop_class_uid, row.layout.pixel_offset is not None) for row in rows]
    uid, document = rejection_note.encode(reason, study, rejected, datetime.fromtimestamp(tx.now, UTC))
    note = Note(uid, StudyRef(rows[0].ref.study_instance_uid), tx.now, reason, len(rows))
    rejections.add(tx, note, document, [row.id for row in rows])
    return uid


def _absent(archive: Archive, ref: Ref) -> NotFound:
    return Gone() if lookup.was_deleted(archive.db, ref) else NotFound()


def _drop(archive: Archive, keys: Sequence[str]) -> None:
    """Remove the bytes. What cannot be removed now the next sweep removes: the deletion itself is done."""
    for key in keys:
        try:
            archive.store.delete(key)
        except NodeError as error:
            log.warning("left for the sweep key=%s: %s", key, error.message)
