"""Rejection notes, kept beside the record of what was deleted. Knows rows, not what a note says inside."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from relais.db import statements
from relais.db.database import Database, Transaction
from relais.dicom.refs import InstanceRef, StudyRef

SQL = statements.load("relais.index.sql", "rejections.sql")


@dataclass(frozen=True, slots=True)
class Note:
    """One rejection note: its own SOP Instance UID, the study, when, why, and how many instances it names."""

    sop_instance_uid: str
    study: StudyRef
    at: float
    reason: str
    instances: int


def add(tx: Transaction, note: Note, document: bytes, deleted: Iterable[int]) -> None:
    """Keep *note*, which names the instances whose ids are *deleted*: those that composite.remove has just removed."""
    values = (note.sop_instance_uid, note.study.study_instance_uid, note.at, note.reason, note.instances, document)
    row = tx.execute(SQL["add"], values).fetchone()["id"]
    tx.executemany(SQL["claim"], [(row, instance) for instance in deleted])


def is_unwanted(tx: Transaction, ref: InstanceRef, reasons: Iterable[str]) -> bool:
    """Whether the instance was once deleted for one of *reasons*."""
    named = (ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid)
    return tx.execute(SQL["is_unwanted"], (*named, _listed(frozenset(reasons)))).fetchone() is not None


@lru_cache(maxsize=8)
def _listed(reasons: frozenset[str]) -> str:
    return json.dumps(sorted(reasons))


def notes(db: Database, study: StudyRef | None, limit: int) -> list[Note]:
    """The newest notes, or those of one study, newest first."""
    with db.read() as connection:
        if study is None:
            rows = connection.execute(SQL["newest"], (limit,)).fetchall()
        else:
            rows = connection.execute(SQL["of_study"], (study.study_instance_uid, limit)).fetchall()
    return [
        Note(row["sop_instance_uid"], StudyRef(row["study_instance_uid"]), row["at"], row["reason"], row["instances"])
        for row in rows
    ]


def document(db: Database, sop_instance_uid: str) -> tuple[StudyRef, bytes] | None:
    """The note of that UID as a Part 10 file, and its study."""
    with db.read() as connection:
        row = connection.execute(SQL["document"], (sop_instance_uid,)).fetchone()
    return (StudyRef(row["study_instance_uid"]), bytes(row["document"])) if row is not None else None
