"""Instances as rows: registered and removed with what they lie in, all counters and the change feed.

Knows rows and the one table of attributes; never opens a DICOM file. Everything happens in the caller's transaction.
The rows of studies and series are written by index.parents.

1. The first instance of a study or series decides the attributes of that study or series. A later instance fills what
   was still empty and changes nothing else: what people have once seen does not change under their eyes, and a late
   object that says more than the first is not lost. (Orthanc lets the first instance decide alone; dcm4chee calls this
   policy SUPPLEMENT.) What it says of another patient than the study's is not filled in; the study is handed over to
   him when nothing of the other is left.
2. Counters and totals change in the transaction that changes the rows.
3. A series without instances, and a study without series, is removed.
4. Every change has a revision, one more than the last.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from dataclasses import replace as replace_fields
from functools import lru_cache
from typing import Any, NamedTuple

from relais.db import statements
from relais.db.database import Database, Transaction
from relais.db.statements import insertion
from relais.dicom.attributes import Level
from relais.dicom.origin import Origin
from relais.dicom.refs import Ref
from relais.index import columns, instances, packing, packs, parents
from relais.index.mapping import pack_key, unpack_key
from relais.index.rows import InstanceFacts, InstanceRow, Outcome, Registered, kept_of

SQL = statements.load("relais.index.sql", "composite.sql")
RESET = statements.load("relais.index.sql", "reset.sql")
STORED, REPLACED, DELETED = "stored", "replaced", "deleted"


class _Met(NamedTuple):
    """What is there already of all that an instance needs: the row of SQL["find"], None where there is nothing yet."""

    study_fk: int | None
    study_present: int
    series_fk: int | None
    series_present: int
    held: int | None
    digest: bytes
    size_bytes: int
    key: str
    revision: int
    held_syntax: int
    patient_id: str | None
    issuer_of_patient_id: str | None
    sop_class: int | None
    syntax: int | None
    origin: int | None
    listed: int | None
    packed: int | None
    newest: int


@dataclass(slots=True)
class _Parents:
    """The study and series that an instance goes into, and what they gain by it."""

    study_fk: int
    series_fk: int
    patients: int = 0
    studies: int = 0
    series: int = 0
    is_of_another_patient: bool = False


def register(tx: Transaction, facts: InstanceFacts, *, replace: bool = False) -> Registered:
    """Enter one durable instance and say what became of it.

    An instance is the same if its Data Set has the same digest and Transfer Syntax. Another Data Set under a UID that
    this series already holds is left out, or with *replace* takes its place.
    """
    met = _meet(tx, facts)
    held = _held(tx, facts, met)
    if held is None:
        return _insert(tx, facts, met, STORED)
    held_key = unpack_key(held.key, facts.ref)
    if held_key == facts.key:  # registered again from its file: what a row names is never superseded
        return Registered(Outcome.DUPLICATE, None, held.revision)
    if kept_of(held.digest) == kept_of(facts.digest) and held.syntax == met.syntax:
        return Registered(Outcome.DUPLICATE, facts.key, held.revision)
    if not replace:
        return Registered(Outcome.KEPT_FIRST, facts.key, held.revision)
    assert met.series_fk is not None
    packs.unpack(tx, met.series_fk)
    _take_out(tx, met.series_fk, [(held.id, held.size_bytes)])
    registered = _insert(tx, facts, _meet(tx, facts), REPLACED, held.id)
    tx.execute(SQL["add_superseded"], (held_key, held.id))
    return replace_fields(registered, superseded_key=held_key)


@dataclass(frozen=True, slots=True)
class _Held:
    """The instance that is kept under the UIDs of an arriving one."""

    id: int
    key: str
    digest: bytes
    syntax: int
    size_bytes: int
    revision: int


def _held(tx: Transaction, facts: InstanceFacts, met: _Met) -> _Held | None:
    if met.packed is None:
        if met.held is None:
            return None
        return _Held(met.held, met.key, met.digest, met.held_syntax, met.size_bytes, met.revision)
    row = instances.packed_row(tx.connection, met.packed, facts.ref.sop_instance_uid)
    names = ("id", "key", "digest", "transfer_syntax_uid", "size_bytes", "revision")
    return _Held(*(row[name] for name in names)) if row is not None else None


def _meet(tx: Transaction, facts: InstanceFacts) -> _Met:
    ref = facts.ref
    named = (ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid)
    kinds = (facts.sop_class_uid, facts.transfer_syntax_uid)
    return _Met(*tx.execute(SQL["find"], (*named, *kinds, *_origin(facts.origin))).fetchone())


def _insert(tx: Transaction, facts: InstanceFacts, met: _Met, kind: str, instance_id: int | None = None) -> Registered:
    """A new instance row under its parents."""
    parts = columns.parts(facts.attributes)
    above = _parents(tx, facts, met, parts)
    if met.packed is not None:
        packs.unpack(tx, above.series_fk)
    gained = (above.patients, above.studies, above.series, 1, facts.size_bytes, 1)
    revision = met.newest + 1
    new = instance_id or revision
    sop_class = met.sop_class or _id(tx, "add_uid", (facts.sop_class_uid,))
    values = _instance_values(facts, parts[Level.IMAGE], tx.now) | {
        "id": new,
        "series_fk": above.series_fk,
        "sop_class_uid": sop_class,
        "transfer_syntax_uid": met.syntax or _id(tx, "add_uid", (facts.transfer_syntax_uid,)),
        "origin_fk": met.origin or _id(tx, "add_origin", _origin(facts.origin)),
        "revision": revision,
    }
    listed = [] if met.listed else [(SQL["add_sop_class"], (above.study_fk, sop_class))]
    tx.together(
        [
            (SQL["count_totals"], gained),
            (insertion("instance", tuple(values)), tuple(values.values())),
            (SQL["count_series"], (1, facts.size_bytes, tx.now, revision, above.series_fk)),
            (SQL["count_study"], (above.series, 1, facts.size_bytes, tx.now, revision, above.study_fk)),
            (SQL["add_change"], (revision, tx.now, kind, new)),
            *listed,
        ]
    )
    return Registered(Outcome(kind), None, revision, above.is_of_another_patient)


def _instance_values(facts: InstanceFacts, part: columns.Part, now: float) -> dict[str, Any]:
    """The columns of an instance that follow from its facts alone."""
    return columns.values(part.attributes, Level.IMAGE) | {
        "sop_instance_uid": facts.ref.sop_instance_uid,
        "key": pack_key(facts.key, facts.ref),
        "size_bytes": facts.size_bytes,
        "digest": facts.digest,
        "head_digest": facts.head_digest,
        "dataset_offset": facts.layout.dataset_offset,
        "pixel_offset": facts.layout.pixel_offset,
        "frame_table": facts.layout.frame_table,
        "stored_at": facts.received_at or now,
        "attributes": packing.pack(part.attributes),
    }


def _id(tx: Transaction, statement: str, values: tuple[str, ...]) -> int:
    """The id of the row that *statement* adds."""
    return int(tx.execute(SQL[statement], values).fetchone()[0])


@lru_cache(maxsize=256)
def _origin(origin: Origin) -> tuple[str, ...]:
    said = (origin.channel, origin.address, origin.calling_ae_title, origin.called_ae_title, origin.user)
    return tuple(columns.storable(str(value)) for value in said)


def _parents(tx: Transaction, facts: InstanceFacts, met: _Met, parts: dict[Level, columns.Part]) -> _Parents:
    """The study and the series of an instance, made or filled up as needed."""
    study, series = parts[Level.STUDY], parts[Level.SERIES]
    above = _Parents(met.study_fk or 0, met.series_fk or 0)
    if not above.study_fk:
        above.study_fk, is_first = parents.add_study(tx, facts.ref, study)
        above.studies, above.patients = 1, int(is_first)
    else:
        above.is_of_another_patient = not _is_of_its_patient(met, study)
        said = columns.without_patient(study) if above.is_of_another_patient else study
        if said.present & ~met.study_present:
            parents.fill(tx, Level.STUDY, above.study_fk, said)
    if not above.series_fk:
        above.series_fk, above.series = parents.add_series(tx, facts.ref, series, above.study_fk), 1
    elif series.present & ~met.series_present:
        parents.fill(tx, Level.SERIES, above.series_fk, series)
    return above


def _is_of_its_patient(met: _Met, part: columns.Part) -> bool:
    """Whether what *part* says of a patient may be of the study's; if not, nothing of it is filled in."""
    study = {"patient_id": met.patient_id or "", "issuer_of_patient_id": met.issuer_of_patient_id or ""}
    return columns.is_of(part, study)


# Removing


def remove(tx: Transaction, ref: Ref) -> list[InstanceRow]:
    """Take out everything under *ref* and return what was there, whose bytes nobody names any more."""
    removed = instances.found(tx.connection, ref)
    if not removed:
        return []
    count = len(removed)
    revision = tx.execute(SQL["take_revisions"], (count,)).fetchone()[0] - count
    for number, row in enumerate(removed, 1):
        tx.execute(SQL["add_deleted"], (row.id, *astuple(row.ref), row.key))
        tx.execute(SQL["add_change"], (revision + number, tx.now, DELETED, row.id))
    by_series: dict[int, list[tuple[int, int]]] = {}
    for row in removed:
        by_series.setdefault(row.series_id, []).append((row.id, row.size_bytes))
    for series_fk, gone in by_series.items():
        _take_out(tx, series_fk, gone, revision + count)
    return removed


def history(tx: Transaction, rows: Iterable[InstanceRow]) -> list[str]:
    """The keys of what *rows* replaced, one after the other, under their UIDs."""
    found = (tx.execute(SQL["superseded"], (row.id,)) for row in rows)
    return [each["key"] for cursor in found for each in cursor]


def _take_out(tx: Transaction, series_fk: int, gone: list[tuple[int, int]], revision: int = 0) -> None:
    """Remove instances (id and size) of one series, and series and study if nothing is left of them."""
    counted = tx.execute(SQL["counted"], (series_fk,)).fetchone()
    count, size_bytes = len(gone), sum(size for _, size in gone)
    is_empty = counted["series_instances"] == count
    if is_empty:
        packs.drop(tx, series_fk)
    else:
        packs.unpack(tx, series_fk)
        packs.forget_documents(tx, series_fk)
        packs.ask(tx, series_fk)
    tx.executemany(SQL["remove_instance"], [(instance,) for instance, _ in gone])
    tx.executemany(SQL["remove_document"], [(instance,) for instance, _ in gone])
    is_last = counted["study_instances"] == count
    tx.execute(SQL["count_series"], (-count, -size_bytes, tx.now, revision, series_fk))
    tx.execute(SQL["count_study"], (-int(is_empty), -count, -size_bytes, tx.now, revision, counted["study_fk"]))
    patients = parents.drop_empty(tx, counted["study_fk"], series_fk if is_empty else None, is_last)
    tx.execute(SQL["count_totals"], (-patients, -int(is_last), -int(is_empty), -count, -size_bytes, 0))


def reset(db: Database) -> None:
    """Drop every row but the audit trail and the record of deletions. Revisions go on from where they are."""

    def work(tx: Transaction) -> None:
        for statement in RESET.values():
            tx.execute(statement)

    db.write(work)
