"""Patients, studies, series and instances as rows: registered and removed with their counters and the change feed.

Knows rows and the one table of attributes; never opens a DICOM file. Everything happens in the caller's transaction.

1. The first instance of a study or series decides the attributes of that study or series. A later instance fills what
   was still empty and changes nothing else: what people have once seen does not change under their eyes, and a late
   object that says more than the first is not lost. (Orthanc lets the first instance decide alone; dcm4chee calls this
   policy SUPPLEMENT.)
2. Counters and totals change in the transaction that changes the rows.
3. A series without instances, and a study without series, is removed.
4. Every change has a revision, one more than the last.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

from relais.db import statements
from relais.db.database import Database, Row, Transaction
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.origin import Origin
from relais.dicom.refs import InstanceRef, Ref, SeriesRef
from relais.index import columns, names, packing
from relais.index.mapping import instance_rows, pack_key, unpack_key
from relais.index.rows import InstanceFacts, InstanceRow, Outcome, Registered

SQL = statements.load("relais.index.sql", "composite.sql")
RESET = statements.load("relais.index.sql", "reset.sql")
STORED, REPLACED, DELETED = "stored", "replaced", "deleted"


@dataclass(slots=True)
class _Parents:
    """The study and series that an instance goes into, and what they gain by it."""

    study_fk: int
    series_fk: int
    patients: int = 0
    studies: int = 0
    series: int = 0


def register(tx: Transaction, facts: InstanceFacts, *, replace: bool = False) -> Registered:
    """Enter one durable instance and say what became of it.

    An instance is the same if its Data Set has the same digest and Transfer Syntax. Another Data Set under a UID that
    this series already holds is left out, or with *replace* takes its place.
    """
    row = tx.execute(SQL["find_series"], _uids(facts.ref)).fetchone()
    held = _held(tx, row, facts.ref)
    if held is None:
        return Registered(Outcome.STORED, None, _insert(tx, facts, row, STORED))
    held_key = unpack_key(held["key"], facts.ref)
    if held_key == facts.key:  # registered again from its file: what a row names is never superseded
        return Registered(Outcome.DUPLICATE, None, held["revision"])
    if held["digest"] == facts.digest and held["transfer_syntax_uid"] == facts.transfer_syntax_uid:
        return Registered(Outcome.DUPLICATE, facts.key, held["revision"])
    if not replace:
        return Registered(Outcome.KEPT_FIRST, facts.key, held["revision"])
    _take_out(tx, row["series_fk"], [(held["id"], held["size_bytes"])])
    row = tx.execute(SQL["find_series"], _uids(facts.ref)).fetchone()
    revision = _insert(tx, facts, row, REPLACED, held["id"])
    tx.execute(SQL["add_superseded"], (held_key, held["id"]))
    return Registered(Outcome.REPLACED, held_key, revision)


def _uids(ref: InstanceRef) -> dict[str, object]:
    return {"study_instance_uid": ref.study_instance_uid, "series_instance_uid": ref.series_instance_uid}


def _held(tx: Transaction, parents: Row | None, ref: InstanceRef) -> Any:
    if parents is None or parents["series_fk"] is None:
        return None
    return tx.execute(SQL["find_instance"], (ref.sop_instance_uid, parents["series_fk"])).fetchone()


def _insert(tx: Transaction, facts: InstanceFacts, row: Row | None, kind: str, instance_id: int | None = None) -> int:
    """A new instance row under its parents; the revision."""
    parents = _parents(tx, facts, row)
    counts = {"instances": 1, "size_bytes": facts.size_bytes, "now": tx.now}
    revision = _count_totals(tx, counts, parents)
    sop_class = _uid(tx, facts.sop_class_uid)
    values = _instance_values(tx, facts, parents, sop_class)
    new = _insert_row(tx, "instance", {"id": instance_id or revision, **values, "revision": revision})
    counts["revision"] = revision
    tx.execute(SQL["count_series"], {**counts, "series_fk": parents.series_fk})
    tx.execute(SQL["count_study"], {**counts, "study_fk": parents.study_fk, "series": parents.series})
    tx.execute(SQL["add_sop_class"], (parents.study_fk, sop_class))
    tx.execute(SQL["add_change"], (revision, tx.now, kind, new))
    return revision


def _count_totals(tx: Transaction, counts: dict[str, Any], parents: _Parents) -> int:
    gained = {"patients": parents.patients, "studies": parents.studies, "series": parents.series, "revisions": 1}
    return int(tx.execute(SQL["count_totals"], {**counts, **gained}).fetchone()[0])


def _instance_values(tx: Transaction, facts: InstanceFacts, parents: _Parents, sop_class: int) -> dict[str, Any]:
    part, _ = columns.part(facts.attributes, Level.IMAGE)
    return columns.values(facts.attributes, Level.IMAGE) | {
        "series_fk": parents.series_fk,
        "sop_instance_uid": facts.ref.sop_instance_uid,
        "sop_class_uid": sop_class,
        "transfer_syntax_uid": _uid(tx, facts.transfer_syntax_uid),
        "origin_fk": _origin(tx, facts.origin),
        "key": pack_key(facts.key, facts.ref),
        "size_bytes": facts.size_bytes,
        "digest": facts.digest,
        "head_digest": facts.head_digest,
        "dataset_offset": facts.layout.dataset_offset,
        "pixel_offset": facts.layout.pixel_offset,
        "frame_table": facts.layout.frame_table,
        "stored_at": facts.received_at or tx.now,
        "attributes": packing.pack(part),
    }


def _insert_row(tx: Transaction, table: str, values: dict[str, Any]) -> int:
    """Insert *values*, whose names come from our own code and the one table, never from outside."""
    named = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    new = tx.execute(f"INSERT INTO {table}({named}) VALUES ({marks})", tuple(values.values())).lastrowid  # noqa: S608
    assert new is not None
    return new


def _uid(tx: Transaction, uid: str) -> int:
    found = tx.execute(SQL["find_uid"], (uid,)).fetchone()
    return int(found[0]) if found is not None else int(tx.execute(SQL["add_uid"], (uid,)).lastrowid or 0)


def _origin(tx: Transaction, origin: Origin) -> int:
    said = (origin.channel, origin.address, origin.calling_ae_title, origin.called_ae_title, origin.user)
    values = tuple(columns.storable(str(value)) for value in said)
    found = tx.execute(SQL["find_origin"], values).fetchone()
    return int(found[0]) if found is not None else int(tx.execute(SQL["add_origin"], values).lastrowid or 0)


# Studies and series


def _parents(tx: Transaction, facts: InstanceFacts, row: Row | None) -> _Parents:
    """The study and the series of an instance, made or filled up as needed."""
    if row is None:
        study_fk, is_first = _add_study(tx, facts)
        parents = _Parents(study_fk, 0, patients=int(is_first), studies=1)
    else:
        parents = _Parents(row["study_fk"], row["series_fk"] or 0)
        _fill(tx, "study", Level.STUDY, parents.study_fk, row["study_present"], facts.attributes)
    if not parents.series_fk:
        parents.series_fk, parents.series = _add_series(tx, facts, parents.study_fk), 1
    elif row is not None:
        _fill(tx, "series", Level.SERIES, parents.series_fk, row["series_present"], facts.attributes)
    return parents


def _add_study(tx: Transaction, facts: InstanceFacts) -> tuple[int, bool]:
    values = _searched(tx, facts.attributes, Level.STUDY)
    values |= {"study_instance_uid": facts.ref.study_instance_uid, "created_at": tx.now, "updated_at": tx.now}
    new = _insert_row(tx, "study", values)
    tx.execute(SQL["add_trigrams"], (new,))
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


def _add_series(tx: Transaction, facts: InstanceFacts, study_fk: int) -> int:
    values = _searched(tx, facts.attributes, Level.SERIES)
    values |= {"series_instance_uid": facts.ref.series_instance_uid, "study_fk": study_fk}
    new = _insert_row(tx, "series", values | {"created_at": tx.now, "updated_at": tx.now})
    _after_series(tx, study_fk, new, facts.attributes)
    return new


def _after_series(tx: Transaction, study_fk: int, series_fk: int, ds: JsonDataset) -> None:
    """What other tables say about a series that is new or filled up."""
    tx.execute(SQL["remove_requests"], (series_fk,))
    for item, request in enumerate(columns.requests(ds)):
        tx.execute(SQL["add_request"], {**request, "series_fk": series_fk, "item": item})
    _say_modalities(tx, study_fk)


def _say_modalities(tx: Transaction, study_fk: int) -> None:
    """Write the Modalities in Study (0008,0061) anew."""
    study = tx.execute(SQL["study"], (study_fk,)).fetchone()
    said = "\\".join(row[0] for row in tx.execute(SQL["modalities"], (study_fk,)))  # one may say "CT\MR"
    found = sorted({modality.strip() for modality in said.split("\\")} - {""})
    if "\\".join(found) == study["modalities"]:
        return
    tx.execute(SQL["remove_modalities"], (study_fk,))
    tx.executemany(SQL["add_modality"], [(modality, study["date_time"], study_fk) for modality in found])
    tx.execute(SQL["set_modalities"], ("\\".join(found), study_fk))


def _searched(tx: Transaction, ds: JsonDataset, level: Level) -> dict[str, Any]:
    """The columns of a study or series that follow from its attributes."""
    part, present = columns.part(ds, level)
    values = columns.values(ds, level)
    for column in columns.name_columns(level):
        values[column.name] = names.name_id(tx, columns.text_of(ds, column))
    if level is Level.STUDY:
        values["date_time"] = columns.date_time(values["study_date"], values["study_time"])
    return values | {"present": present, "attributes": packing.pack(part)}


def _fill(tx: Transaction, table: str, level: Level, row_id: int, present: int, ds: JsonDataset) -> None:
    """Give a study or series the attributes that *ds* has and it has not."""
    part, bits = columns.part(ds, level)
    if not bits & ~present:
        return
    row = tx.execute(f"SELECT * FROM {table} WHERE id = ?", (row_id,)).fetchone()  # noqa: S608 - our own two names
    merged = part | packing.unpack(row["attributes"])
    values = _searched(tx, merged, level)
    if level is Level.STUDY:
        tx.execute(SQL["remove_trigrams"], (row_id,))
    named = ", ".join(f'"{name}" = ?' for name in values)
    tx.execute(f"UPDATE {table} SET {named} WHERE id = ?", (*values.values(), row_id))  # noqa: S608
    if table == "study":
        _after_study(tx, row, values)
    else:
        _after_series(tx, row["study_fk"], row_id, merged)


def _after_study(tx: Transaction, old: Row, new: dict[str, Any]) -> None:
    """What other tables say about a study that was filled up."""
    tx.execute(SQL["add_trigrams"], (old["id"],))
    if old["date_time"] != new["date_time"]:
        tx.execute(SQL["move_modalities"], (new["date_time"], old["id"]))
    if (old["patient_id"], old["issuer_of_patient_id"]) != (new["patient_id"], new["issuer_of_patient_id"]):
        left, came = _uncount_patient(tx, old), _count_patient(tx, new)
        _add_totals(tx, patients=int(came) - int(left))


def _add_totals(tx: Transaction, **gained: int) -> int:
    """Change the totals; the newest revision."""
    nothing = dict.fromkeys(("patients", "studies", "series", "instances", "size_bytes", "revisions"), 0)
    return int(tx.execute(SQL["count_totals"], nothing | gained).fetchone()[0])


# Removing


def remove(tx: Transaction, ref: Ref) -> list[InstanceRow]:
    """Take out everything under *ref* and return what was there, whose bytes nobody names any more."""
    where, values = under(ref)
    select = f"SELECT * FROM instance_row WHERE {where}"  # noqa: S608 - made by under()
    removed = instance_rows(tx.connection, select, values)
    if not removed:
        return []
    rows = tx.execute(select.replace("*", "id, series_fk, size_bytes"), values).fetchall()
    revision = _add_totals(tx, revisions=len(rows)) - len(rows)
    for number, row in enumerate(removed, 1):
        tx.execute(SQL["add_deleted"], (row.id, *astuple(row.ref), row.key))
        tx.execute(SQL["add_change"], (revision + number, tx.now, DELETED, row.id))
    by_series: dict[int, list[tuple[int, int]]] = {}
    for row in rows:
        by_series.setdefault(row["series_fk"], []).append((row["id"], row["size_bytes"]))
    for series_fk, instances in by_series.items():
        _take_out(tx, series_fk, instances, revision + len(rows))
    return removed


def history(tx: Transaction, rows: Iterable[InstanceRow]) -> list[str]:
    """The keys of what *rows* replaced, one after the other, under their UIDs."""
    found = (tx.execute(SQL["superseded"], (row.id,)) for row in rows)
    return [each["key"] for cursor in found for each in cursor]


def under(ref: Ref) -> tuple[str, tuple[str, ...]]:
    """The condition on the view instance_row for everything under *ref*."""
    levels = ["study_instance_uid = ?"]
    if isinstance(ref, SeriesRef | InstanceRef):
        levels.append("series_instance_uid = ?")
    if isinstance(ref, InstanceRef):
        levels.append("sop_instance_uid = ?")
    return " AND ".join(levels), astuple(ref)


def _take_out(tx: Transaction, series_fk: int, instances: list[tuple[int, int]], revision: int = 0) -> None:
    """Remove instance rows (id and size) of one series, and series and study if nothing is left of them."""
    counted = tx.execute(SQL["counted"], (series_fk,)).fetchone()
    tx.executemany(SQL["remove_instance"], [(instance,) for instance, _ in instances])
    tx.executemany(SQL["remove_document"], [(instance,) for instance, _ in instances])
    lost = {"instances": -len(instances), "size_bytes": -sum(size for _, size in instances)}
    is_empty = counted["series_instances"] == len(instances)
    is_last = counted["study_instances"] == len(instances)
    counts = {**lost, "now": tx.now, "revision": revision}
    tx.execute(SQL["count_series"], {**counts, "series_fk": series_fk})
    tx.execute(SQL["count_study"], {**counts, "study_fk": counted["study_fk"], "series": -int(is_empty)})
    patients = _drop_empty(tx, counted["study_fk"], series_fk if is_empty else None, is_last)
    _add_totals(tx, **lost, series=-int(is_empty), studies=-int(is_last), patients=-patients)


def _drop_empty(tx: Transaction, study_fk: int, series_fk: int | None, is_last: bool) -> int:
    """Remove the series *series_fk* and, if that was the last, its study; how many patients are gone with it."""
    if series_fk is not None:
        tx.execute(SQL["remove_requests"], (series_fk,))
        tx.execute(SQL["remove_series"], (series_fk,))
    tx.execute(SQL["remove_sop_classes"], {"study_fk": study_fk})
    if not is_last:
        _say_modalities(tx, study_fk)
        return 0
    tx.execute(SQL["remove_modalities"], (study_fk,))
    study = tx.execute(SQL["study"], (study_fk,)).fetchone()
    tx.execute(SQL["remove_trigrams"], (study_fk,))
    tx.execute(SQL["remove_study"], (study_fk,))
    for name in {study[column.name] for column in columns.name_columns(Level.STUDY)}:  # one may be borne in two columns
        names.release(tx, name)
    return int(_uncount_patient(tx, study))


def reset(db: Database) -> None:
    """Drop every row but the audit trail and the record of deletions. Revisions go on from where they are."""

    def work(tx: Transaction) -> None:
        for statement in RESET.values():
            tx.execute(statement)

    db.write(work)
