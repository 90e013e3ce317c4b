"""Finding what is registered by its UIDs. Knows rows, no matching: see index.search."""

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple
from itertools import islice

from relais.db import statements
from relais.db.database import Connection, Database, Transaction
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.index import answers, packing
from relais.index.composite import under
from relais.index.mapping import instance_rows
from relais.index.rows import InstanceRow

SQL = statements.load("relais.index.sql", "lookup.sql")
BATCH = 1000
Source = Database | Transaction  # a reader of its own, or what a write sees


def reading(source: Source) -> AbstractContextManager[Connection]:
    """A connection to read from."""
    return nullcontext(source.connection) if isinstance(source, Transaction) else source.read()


def instances(db: Source, ref: Ref) -> list[InstanceRow]:
    """What is registered under *ref*, by series number, then instance number, then UID; [] if nothing is."""
    where, values = under(ref)
    order = "series_position, series_instance_uid, position, sop_instance_uid"
    with reading(db) as connection:
        return instance_rows(connection, f"SELECT * FROM instance_row WHERE {where} ORDER BY {order}", values)  # noqa: S608


def instance(db: Source, ref: InstanceRef) -> InstanceRow | None:
    """One instance."""
    found = instances(db, ref)
    return found[0] if found else None


def representative(db: Database, ref: StudyRef | SeriesRef) -> InstanceRow | None:
    """The instance that stands for *ref*: the middle one of its first series with Pixel Data, else its first."""
    series_uid = ref.series_instance_uid if isinstance(ref, SeriesRef) else ""
    wanted = {"study_instance_uid": ref.study_instance_uid, "series_instance_uid": series_uid}
    with db.read() as connection:
        series = connection.execute(SQL["first_image_series"], wanted).fetchone()
        if series is None:
            return None
        found = instance_rows(connection, SQL["nth_of_series"], (series["id"], series["images"] // 2))
        return found[0] if found else None


def by_sop_uid(db: Source, sop_instance_uid: str) -> list[InstanceRow]:
    """The instances of that UID: one in a sane world, but senders put one into two series."""
    with reading(db) as connection:
        return instance_rows(connection, SQL["by_sop_uid"], (sop_instance_uid,))


def by_sop_uids(db: Source, sop_instance_uids: Iterable[str]) -> list[InstanceRow]:
    """The instances of all those UIDs, in no promised order."""
    with reading(db) as connection:
        return instance_rows(connection, SQL["by_sop_uids"], (json.dumps(list(sop_instance_uids)),))


def attributes(db: Database, ref: Ref) -> JsonDataset | None:
    """All kept attributes of that study, series or instance and of the levels above it; None if it is not there."""
    with db.read() as connection:
        return _attributes(connection, ref)


def _attributes(connection: Connection, ref: Ref) -> JsonDataset | None:
    study = connection.execute(SQL["study_attributes"], (ref.study_instance_uid,)).fetchone()
    if study is None:
        return None
    found = answers.study(study, packing.unpack(study["attributes"]))
    if isinstance(ref, StudyRef):
        return found
    series = connection.execute(SQL["series_attributes"], (ref.series_instance_uid, study["id"])).fetchone()
    if series is None:
        return None
    found |= answers.series(series, packing.unpack(series["attributes"]))
    if isinstance(ref, SeriesRef):
        return found
    row = connection.execute(SQL["instance_attributes"], (ref.sop_instance_uid, series["id"])).fetchone()
    return None if row is None else found | answers.instance(row, packing.unpack(row["attributes"]))


def was_deleted(db: Database, ref: Ref) -> bool:
    """Whether something under *ref* was here and was deleted. It may be back."""
    where, values = under(ref)
    with db.read() as connection:
        return connection.execute(f"SELECT 1 FROM deleted WHERE {where} LIMIT 1", values).fetchone() is not None  # noqa: S608


def revision(db: Database, ref: Ref) -> int:
    """The newest change in *ref*, 0 if it is not there."""
    if isinstance(ref, StudyRef):
        return study_revision(db, ref)
    if isinstance(ref, SeriesRef):
        return series_revision(db, ref)
    found = instance(db, ref)
    return found.revision if found else 0


def study_revision(db: Database, ref: StudyRef) -> int:
    """The newest change in the study, 0 if it is not there."""
    return _number(db, SQL["study_revision"], astuple(ref))


def series_revision(db: Database, ref: SeriesRef) -> int:
    """The newest change in the series, 0 if it is not there."""
    return _number(db, SQL["series_revision"], (ref.series_instance_uid, ref.study_instance_uid))


def _number(db: Database, sql: str, values: tuple[object, ...]) -> int:
    with db.read() as connection:
        found = connection.execute(sql, values).fetchone()
        return int(found[0]) if found is not None else 0


def keys(db: Database) -> Iterator[tuple[str, InstanceRow]]:
    """Every storage key and its instance, oldest first. No read stays open between batches."""
    last = 0
    while True:
        with db.read() as connection:
            rows = instance_rows(connection, SQL["batch"], (last, BATCH))
        yield from ((row.key, row) for row in rows)
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def knows_key(db: Database, key: str) -> bool:
    """Whether a row names the storage key *key*, or it is the history of an instance that is here."""
    return not list(unknown_keys(db, [key]))


def unknown_keys(db: Database, keys: Iterable[str]) -> Iterator[str]:
    """Those of *keys* of which knows_key is false, in their order. No read stays open between batches.

    Keys are kept with marks for their UIDs, so instances are found first: the last segment of a key begins with one.
    """
    left = iter(keys)
    while batch := list(islice(left, BATCH)):
        uids = {uid for key in batch for uid in _beginnings(key.rpartition("/")[2])}
        with db.read() as connection:
            known = {row.key for row in instance_rows(connection, SQL["by_sop_uids"], (json.dumps(list(uids)),))}
            known.update(row["key"] for row in connection.execute(SQL["plain_keys"], {"keys": json.dumps(batch)}))
        yield from (key for key in batch if key not in known)


def _beginnings(name: str) -> Iterator[str]:
    """*name* without its last dotted parts, longest first."""
    while name:
        yield name
        name = name.rpartition(".")[0]
