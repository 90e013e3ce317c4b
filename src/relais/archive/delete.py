"""Delete: rows first, then bytes, which archive.removal takes away after the answer, whatever happens in between.

1. Every deletion leaves a rejection note: a Key Object Selection that names what is gone and why. It is kept in the
   index beside the record of what was deleted, commits with it, and outlives a rebuild of the index.
2. What was deleted without a reason, or because its time is over, is new when it comes again. What was rejected for its
   quality, for the patient's safety or for a wrong worklist entry is refused then, if the setting on_rejected says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive, removal, render
from relais.archive import successor as of_whom
from relais.db.database import Transaction
from relais.dicom import rejection_note
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.dicom.rejection_note import Reason, Rejected
from relais.errors import Gone, NotFound
from relais.index import composite, condemned, lookup, parents, rejections
from relais.index.rejections import Note
from relais.index.rows import InstanceRow

__all__ = ["Deleted", "Note", "Reason", "delete", "note", "notes"]

LEVELS = {StudyRef: Level.STUDY, SeriesRef: Level.SERIES, InstanceRef: Level.IMAGE}  # as an audit record says them


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

    successor = of_whom.of(archive, ref, study)

    def work(tx: Transaction) -> tuple[list[InstanceRow], list[str], str]:
        rows = composite.remove(tx, ref)
        if successor is not None:
            parents.hand_over(tx, ref, study, successor)
        note = _keep_note(tx, reason, study, rows) if rows else ""
        if rows:
            detail: dict[str, object] = {"instances": len(rows), "level": LEVELS[type(ref)], "note": note}
            audit.write(tx, audit.Record(principal, Action.DELETE, ref.study_instance_uid, detail))
        keys = [row.key for row in rows] + composite.history(tx, rows)
        condemned.add(tx, keys)
        return rows, keys, note

    removed, keys, note = archive.db.write(work)
    if not removed:
        raise _absent(archive, ref)
    removal.take_away(archive, keys)
    render.forget(archive, (row.ref for row in removed))
    return Deleted(len(removed), note)


def notes(archive: Archive, principal: Principal, study: StudyRef | None, limit: int) -> list[Note]:
    """The newest rejection notes, or those of one study, newest first. Raises Forbidden."""
    archive.policy.decide(principal, Action.SEARCH, study)
    found = rejections.notes(archive.db, study, limit)
    record = audit.Record(principal, Action.SEARCH, study.study_instance_uid if study else "", {"notes": len(found)})
    archive.db.write_soon(lambda tx: audit.write(tx, record))
    return found


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


def _keep_note(tx: Transaction, reason: Reason, study: JsonDataset, rows: Sequence[InstanceRow]) -> str:
    rejected = [Rejected(row.ref, row.sop_class_uid, row.layout.pixel_offset is not None) for row in rows]
    uid, document = rejection_note.encode(reason, study, rejected, datetime.fromtimestamp(tx.now, UTC))
    note = Note(uid, StudyRef(rows[0].ref.study_instance_uid), tx.now, reason, len(rows))
    rejections.add(tx, note, document, [row.id for row in rows])
    return uid


def _absent(archive: Archive, ref: Ref) -> NotFound:
    return Gone() if lookup.was_deleted(archive.db, ref) else NotFound()
