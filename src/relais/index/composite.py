"""Patients, studies, series and instances as rows: registered and removed with their counters and the change feed.

Knows rows and the one table of attributes; never opens a DICOM file. Everything happens in the caller's transaction.

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
from functools import cache, lru_cache
from typing import Any, NamedTuple

from relais.db import statements
from relais.db.database import Database, Row, Transaction
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.origin import Origin
from relais.dicom.refs import InstanceRef, Ref
from relais.index import columns, instances, keys, labels, letters, names, offsets, packing, packs, short
from relais.index.mapping import pack_key, unpack_key
from relais.index.rows import InstanceFacts, InstanceRow, Outcome, Registered, kept_of

SQL = statements.load("relais.index.sql", "composite.sql")
RESET = statements.load("relais.index.sql", "reset.sql")
IDS, ID_COLUMNS = ("00100020", "00100021"), ("patient_id", "issuer_of_patient_id")
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
    parents = _parents(tx, facts, met, parts)
    if met.packed is not None:
        packs.unpack(tx, parents.series_fk)
    gained = (parents.patients, parents.studies, parents.series, 1, facts.size_bytes, 1)
    revision = met.newest + 1
    new = instance_id or revision
    sop_class = met.sop_class or _id(tx, "add_uid", (facts.sop_class_uid,))
    values = _instance_values(facts, parts[Level.IMAGE], tx.now) | {
        "id": new,
        "series_fk": parents.series_fk,
        "sop_class_uid": sop_class,
        "transfer_syntax_uid": met.syntax or _id(tx, "add_uid", (facts.transfer_syntax_uid,)),
        "origin_fk": met.origin or _id(tx, "add_origin", _origin(facts.origin)),
        "revision": revision,
    }
    listed = [] if met.listed else [(SQL["add_sop_class"], (parents.study_fk, sop_class))]
    tx.together(
        [
            (SQL["count_totals"], gained),
            (_insertion("instance", tuple(values)), tuple(values.values())),
            (SQL["count_series"], (1, facts.size_bytes, tx.now, revision, parents.series_fk)),
            (SQL["count_study"], (parents.series, 1, facts.size_bytes, tx.now, revision, parents.study_fk)),
            (SQL["add_change"], (revision, tx.now, kind, new)),
            *listed,
        ]
    )
    return Registered(Outcome(kind), None, revision, parents.is_of_another_patient)


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


def _insert_row(tx: Transaction, table: str, values: dict[str, Any]) -> int:
    """Insert *values*, whose names come from our own code and the one table, never from outside."""
    statement = f"{_insertion(table, tuple(values))} RETURNING id"
    return int(tx.execute(statement, tuple(values.values())).fetchone()["id"])


@cache
def _insertion(table: str, names: tuple[str, ...]) -> str:
    named = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table}({named}) VALUES ({marks})"  # noqa: S608 - names of our own


def _id(tx: Transaction, statement: str, values: tuple[str, ...]) -> int:
    """The id of the row that *statement* adds."""
    return int(tx.execute(SQL[statement], values).fetchone()[0])


@lru_cache(maxsize=256)
def _origin(origin: Origin) -> tuple[str, ...]:
    said = (origin.channel, origin.address, origin.calling_ae_title, origin.called_ae_title, origin.user)
    return tuple(columns.storable(str(value)) for value in said)


# Studies and series


def _parents(tx: Transaction, facts: InstanceFacts, met: _Met, parts: dict[Level, columns.Part]) -> _Parents:
    """The study and the series of an instance, made or filled up as needed."""
    study, series = parts[Level.STUDY], parts[Level.SERIES]
    parents = _Parents(met.study_fk or 0, met.series_fk or 0)
    if not parents.study_fk:
        parents.study_fk, is_first = _add_study(tx, facts.ref, study)
        parents.studies, parents.patients = 1, int(is_first)
    else:
        parents.is_of_another_patient = not _is_of_its_patient(met, study)
        said = columns.without_patient(study) if parents.is_of_another_patient else study
        if said.present & ~met.study_present:
            _fill(tx, "study", Level.STUDY, parents.study_fk, said)
    if not parents.series_fk:
        parents.series_fk, parents.series = _add_series(tx, facts.ref, series, parents.study_fk), 1
    elif series.present & ~met.series_present:
        _fill(tx, "series", Level.SERIES, parents.series_fk, series)
    return parents


def _is_of_its_patient(met: _Met, part: columns.Part) -> bool:
    """Whether what *part* says of a patient may be of the study's; if not, nothing of it is filled in."""
    study = {"patient_id": met.patient_id or "", "issuer_of_patient_id": met.issuer_of_patient_id or ""}
    return columns.is_of(part, study)


def _add_study(tx: Transaction, ref: InstanceRef, part: columns.Part) -> tuple[int, bool]:
    values = _searched(tx, part, Level.STUDY)
    values |= {"study_instance_uid": ref.study_instance_uid, "created_at": tx.now, "updated_at": tx.now}
    new = _insert_row(tx, "study", values)
    tx.execute(SQL["add_trigrams"], (new,))
    labels.mark(tx, Level.STUDY, new, values)
    keys.mark(tx, Level.STUDY, new, part.attributes)
    return new, _count_patient(tx, values)


def _count_patient(tx: Transaction, study: dict[str, Any] | Row) -> bool:
    """Count one study more for its patient; whether it is the first."""
    patient = (study["patient_id"], study["issuer_of_patient_id"])
    return bool(tx.execute(SQL["add_patient"], patient).fetchone()[0] == 1)


def _uncount_patient(tx: Transaction, study: Row) -> bool:
    """Count one study less for its patient; whether it was the last."""
    patient = (study["patient_id"], study["issuer_of_patient_id"])
    if tx.execute(SQL["remove_patient"], patient).fetchone()[0] > 0:
        return False
    tx.execute(SQL["forget_patient"], patient)
    return True


def _add_series(tx: Transaction, ref: InstanceRef, part: columns.Part, study_fk: int) -> int:
    values = _searched(tx, part, Level.SERIES)
    values |= {"series_instance_uid": ref.series_instance_uid, "study_fk": study_fk}
    new = _insert_row(tx, "series", values | {"created_at": tx.now, "updated_at": tx.now})
    labels.mark(tx, Level.SERIES, new, values)
    keys.mark(tx, Level.SERIES, new, part.attributes)
    _add_requests(tx, new, part.attributes)
    _say_modalities(tx, study_fk)
    return new


def _add_requests(tx: Transaction, series_fk: int, ds: JsonDataset) -> None:
    for item, request in enumerate(columns.requests(ds)):
        tx.execute(SQL["add_request"], {**request, "series_fk": series_fk, "item": item})


def _say_modalities(tx: Transaction, study_fk: int) -> None:
    """Write the Modalities in Study (0008,0061) anew."""
    study = tx.execute(SQL["dated"], (study_fk,)).fetchone()
    said = "\\".join(row[0] for row in tx.execute(SQL["modalities"], (study_fk,)))  # one may say "CT\MR"
    found = sorted({modality.strip() for modality in said.split("\\")} - {""})
    if "\\".join(found) == study["modalities"]:
        return
    tx.execute(SQL["remove_modalities"], (study_fk,))
    tx.executemany(SQL["add_modality"], [(modality, study["date_time"], study_fk) for modality in found])
    tx.execute(SQL["set_modalities"], ("\\".join(found), study_fk))


def _searched(tx: Transaction, part: columns.Part, level: Level) -> dict[str, Any]:
    """The columns of a study or series that follow from its attributes."""
    values = columns.values(part.attributes, level)
    for column in columns.name_columns(level):
        values[column.name] = names.name_id(tx, columns.text_of(part.attributes, column))
    present = part.present
    if level is Level.STUDY:
        values["date_time"] = columns.date_time(values["study_date"], values["study_time"])
        values["patient_letters"] = letters.of_study(part.attributes)
        present = offsets.mark(tx, present, part.attributes)
    is_short = not tx.connection.is_remote  # a node of before would not know what is left out
    said = short.pack(level, part.attributes, values) if is_short else packing.pack(part.attributes)
    return values | {"present": present, "attributes": said}


def _fill(tx: Transaction, table: str, level: Level, row_id: int, more: columns.Part) -> None:
    """Give a study or series the attributes that *more* has and it has not."""
    row = tx.execute(f"SELECT * FROM {table} WHERE id = ?", (row_id,)).fetchone()  # noqa: S608 - our own two names
    held = short.whole(level, row, packing.unpack(row["attributes"]))
    _say(tx, table, level, row, columns.Part(more.attributes | held, more.present | row["present"]))


def hand_over(tx: Transaction, ref: Ref, former: JsonDataset, attributes: JsonDataset) -> None:
    """Give the study of *ref*, of which something was just removed, the patient of *attributes*, whom it is left to.

    Not if it is gone, or not *former*'s any more.
    """
    found = tx.execute(SQL["study_of"], (ref.study_instance_uid,)).fetchone()
    held = short.whole(Level.STUDY, found, packing.unpack(found["attributes"])) if found is not None else {}
    if found is None or any(held.get(tag) != former.get(tag) for tag in IDS):
        return
    patient = columns.patient_attributes()
    kept = {tag: element for tag, element in held.items() if tag not in patient}
    theirs = {tag: element for tag, element in attributes.items() if tag in patient}
    keys.unmark(tx, Level.STUDY, found["id"])
    _say(tx, "study", Level.STUDY, found, columns.parts(kept | theirs)[Level.STUDY])
    _release_names(tx, found)


def is_of_patient(attributes: JsonDataset, study: JsonDataset) -> bool:
    """Whether what *attributes* say of a patient may be of that of *study*."""
    said = columns.values(study, Level.STUDY)
    return columns.is_of(columns.Part(attributes, 0), {name: said[name] or "" for name in ID_COLUMNS})


def _say(tx: Transaction, table: str, level: Level, row: Row, merged: columns.Part) -> None:
    """Write the *row* of a study or series anew."""
    row_id = row["id"]
    values = _searched(tx, merged, level)
    if level is Level.STUDY:
        tx.execute(SQL["remove_trigrams"], (row_id,))
    labels.unmark(tx, level, row)
    labels.mark(tx, level, row_id, values)
    keys.mark(tx, level, row_id, merged.attributes)
    named = ", ".join(f'"{name}" = ?' for name in values)
    tx.execute(f"UPDATE {table} SET {named} WHERE id = ?", (*values.values(), row_id))  # noqa: S608
    if level is Level.STUDY:
        _after_study(tx, row, values)
        return
    tx.execute(SQL["remove_requests"], (row_id,))
    _add_requests(tx, row_id, merged.attributes)
    _say_modalities(tx, row["study_fk"])


def _after_study(tx: Transaction, old: Row, new: dict[str, Any]) -> None:
    """What other tables say about a study that was filled up."""
    tx.execute(SQL["add_trigrams"], (old["id"],))
    if old["date_time"] != new["date_time"]:
        tx.execute(SQL["move_modalities"], (new["date_time"], old["id"]))
    if (old["patient_id"], old["issuer_of_patient_id"]) != (new["patient_id"], new["issuer_of_patient_id"]):
        left, came = _uncount_patient(tx, old), _count_patient(tx, new)
        tx.execute(SQL["count_totals"], (int(came) - int(left), 0, 0, 0, 0, 0))


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
    patients = _drop_empty(tx, counted["study_fk"], series_fk if is_empty else None, is_last)
    tx.execute(SQL["count_totals"], (-patients, -int(is_last), -int(is_empty), -count, -size_bytes, 0))


def _drop_empty(tx: Transaction, study_fk: int, series_fk: int | None, is_last: bool) -> int:
    """Remove the series *series_fk* and, if that was the last, its study; how many patients are gone with it."""
    if series_fk is not None:
        labels.unmark(tx, Level.SERIES, tx.execute(SQL["series"], (series_fk,)).fetchone())
        keys.unmark(tx, Level.SERIES, series_fk)
        tx.execute(SQL["remove_requests"], (series_fk,))
        tx.execute(SQL["remove_series"], (series_fk,))
    gone = {row[0] for row in tx.execute(SQL["gone_sop_classes"], {"study_fk": study_fk}).fetchall()}
    kept = packs.sop_classes(tx, study_fk)
    tx.executemany(SQL["remove_sop_class"], [(study_fk, sop_class) for sop_class in gone - kept])
    if not is_last:
        _say_modalities(tx, study_fk)
        return 0
    tx.execute(SQL["remove_modalities"], (study_fk,))
    study = tx.execute(SQL["study"], (study_fk,)).fetchone()
    labels.unmark(tx, Level.STUDY, study)
    keys.unmark(tx, Level.STUDY, study_fk)
    tx.execute(SQL["remove_trigrams"], (study_fk,))
    tx.execute(SQL["remove_study"], (study_fk,))
    _release_names(tx, study)
    return int(_uncount_patient(tx, study))


def _release_names(tx: Transaction, study: Row) -> None:
    """Forget the names of a study that is gone, or says others now, unless another bears them."""
    for name in {study[column.name] for column in columns.name_columns(Level.STUDY)}:  # one may be borne in two columns
        names.release(tx, name)


def reset(db: Database) -> None:
    """Drop every row but the audit trail and the record of deletions. Revisions go on from where they are."""

    def work(tx: Transaction) -> None:
        for statement in RESET.values():
            tx.execute(statement)

    db.write(work)
