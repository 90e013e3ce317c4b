"""Studies and series as rows: made, filled up, handed over and dropped, with all that other tables say of them.

Knows rows and the one table of attributes, no instances; their counters are index.composite's. Everything happens in
the caller's transaction.
"""

from typing import Any

from relais.db import statements
from relais.db.database import Row, Transaction
from relais.db.statements import insertion
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import InstanceRef, Ref
from relais.index import columns, keys, labels, letters, names, offsets, packing, packs, short

SQL = statements.load("relais.index.sql", "parents.sql")
IDS, ID_COLUMNS = ("00100020", "00100021"), ("patient_id", "issuer_of_patient_id")
TABLES = {Level.STUDY: "study", Level.SERIES: "series"}


def add_study(tx: Transaction, ref: InstanceRef, part: columns.Part) -> tuple[int, bool]:
    """The id of a new study, and whether it is the first of its patient."""
    values = _searched(tx, part, Level.STUDY)
    values |= {"study_instance_uid": ref.study_instance_uid, "created_at": tx.now, "updated_at": tx.now}
    new = _insert_row(tx, "study", values)
    tx.execute(SQL["add_trigrams"], (new,))
    labels.mark(tx, Level.STUDY, new, values)
    keys.mark(tx, Level.STUDY, new, part.attributes)
    return new, _count_patient(tx, values)


def add_series(tx: Transaction, ref: InstanceRef, part: columns.Part, study_fk: int) -> int:
    """The id of a new series."""
    values = _searched(tx, part, Level.SERIES)
    values |= {"series_instance_uid": ref.series_instance_uid, "study_fk": study_fk}
    new = _insert_row(tx, "series", values | {"created_at": tx.now, "updated_at": tx.now})
    labels.mark(tx, Level.SERIES, new, values)
    keys.mark(tx, Level.SERIES, new, part.attributes)
    _add_requests(tx, new, part.attributes)
    _say_modalities(tx, study_fk)
    return new


def fill(tx: Transaction, level: Level, row_id: int, more: columns.Part) -> None:
    """Give a study or series the attributes that *more* has and it has not."""
    row = tx.execute(SQL[TABLES[level]], (row_id,)).fetchone()
    held = short.whole(level, row, packing.unpack(row["attributes"]))
    _say(tx, level, row, columns.Part(more.attributes | held, more.present | row["present"]))


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
    _say(tx, Level.STUDY, found, columns.parts(kept | theirs)[Level.STUDY])
    _release_names(tx, found)


def is_of_patient(attributes: JsonDataset, study: JsonDataset) -> bool:
    """Whether what *attributes* say of a patient may be of that of *study*."""
    said = columns.values(study, Level.STUDY)
    return columns.is_of(columns.Part(attributes, 0), {name: said[name] or "" for name in ID_COLUMNS})


def drop_empty(tx: Transaction, study_fk: int, series_fk: int | None, is_last: bool) -> int:
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


def _say(tx: Transaction, level: Level, row: Row, merged: columns.Part) -> None:
    """Write the *row* of a study or series anew."""
    row_id = row["id"]
    values = _searched(tx, merged, level)
    if level is Level.STUDY:
        tx.execute(SQL["remove_trigrams"], (row_id,))
    labels.unmark(tx, level, row)
    labels.mark(tx, level, row_id, values)
    keys.mark(tx, level, row_id, merged.attributes)
    named = ", ".join(f'"{name}" = ?' for name in values)
    tx.execute(f"UPDATE {TABLES[level]} SET {named} WHERE id = ?", (*values.values(), row_id))  # noqa: S608
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
        tx.execute(SQL["count_patients"], (int(came) - int(left),))


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


def _insert_row(tx: Transaction, table: str, values: dict[str, Any]) -> int:
    """Insert *values*, whose names come from our own code and the one table, never from outside."""
    statement = f"{insertion(table, tuple(values))} RETURNING id"
    return int(tx.execute(statement, tuple(values.values())).fetchone()["id"])


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


def _release_names(tx: Transaction, study: Row) -> None:
    """Forget the names of a study that is gone, or says others now, unless another bears them."""
    for name in {study[column.name] for column in columns.name_columns(Level.STUDY)}:  # one may be borne in two columns
        names.release(tx, name)
