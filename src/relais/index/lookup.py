"""Finding what is registered by its UIDs. Knows rows, no matching: see index.search."""

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

from relais.db import statements
from relais.db.database import Connection, Database, Row, Transaction
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.index import answers, packing, short
from relais.index import instances as held
from relais.index.mapping import instance_in_rows, under
from relais.index.rows import InstanceRow

SQL = statements.load("relais.index.sql", "lookup.sql")
BATCH = 1000
Source = Database | Transaction  # a reader of its own, or what a write sees


def reading(source: Source) -> AbstractContextManager[Connection]:
    """A connection to read from."""
    return nullcontext(source.connection) if isinstance(source, Transaction) else source.read()


def instances(db: Source, ref: Ref) -> list[InstanceRow]:
    """What is registered under *ref*, by series number, then instance number, then UID; [] if nothing is."""
    if isinstance(ref, InstanceRef) and isinstance(db, Database):
        return _one_instance(db, ref)
    with reading(db) as connection:
        return held.found(connection, ref)


def _one_instance(db: Database, ref: InstanceRef) -> list[InstanceRow]:
    """Most are found by one statement. Between it and the snapshot a series may have got its rows back."""
    if row := instance_in_rows(db, ref):
        return [row]
    with db.read() as connection:
        return held.in_pack(connection, ref) or held.found(connection, ref)


def instance(db: Source, ref: InstanceRef) -> InstanceRow | None:
    """One instance."""
    found = instances(db, ref)
    return found[0] if found else None


def representative(db: Database, ref: StudyRef | SeriesRef) -> InstanceRow | None:
    """The instance that stands for *ref*: the middle one of its first series with Pixel Data, else its first."""
    with db.read() as connection:
        return held.representative(connection, ref)


def by_sop_uids(db: Source, sop_instance_uids: Iterable[str]) -> list[InstanceRow]:
    """The instances of all those UIDs, in no promised order: of one UID there may be two, in series of two studies."""
    with reading(db) as connection:
        return held.by_sop_uids(connection, sop_instance_uids)


def attributes(db: Database, ref: Ref) -> JsonDataset | None:
    """All kept attributes of that study, series or instance and of the levels above it; None if it is not there."""
    with db.read() as connection:
        return _attributes(connection, ref)


def _attributes(connection: Connection, ref: Ref) -> JsonDataset | None:
    study = connection.execute(SQL["study_attributes"], (ref.study_instance_uid,)).fetchone()
    if study is None:
        return None
    found = answers.study(study, _said(Level.STUDY, study))
    if isinstance(ref, StudyRef):
        return found
    series = connection.execute(SQL["series_attributes"], (ref.series_instance_uid, study["id"])).fetchone()
    if series is None:
        return None
    found |= answers.series(series, _said(Level.SERIES, series))
    if isinstance(ref, SeriesRef):
        return found
    said = _instance_attributes(connection, series["id"], ref.sop_instance_uid)
    return None if said is None else found | said


def _said(level: Level, row: Row) -> JsonDataset:
    return short.whole(level, row, packing.unpack(row["attributes"]))


def _instance_attributes(connection: Connection, series_fk: int, sop_instance_uid: str) -> JsonDataset | None:
    row = connection.execute(SQL["instance_attributes"], (sop_instance_uid, series_fk)).fetchone()
    if row is not None:
        return answers.instance(row, packing.unpack(row["attributes"]))
    packed = held.packed_row(connection, series_fk, sop_instance_uid)
    return None if packed is None else held.answers_of(connection, [series_fk], [packed["id"]])[packed["id"]]


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
    return _number(db, SQL["study_revision"], (ref.study_instance_uid,))


def series_revision(db: Database, ref: SeriesRef) -> int:
    """The newest change in the series, 0 if it is not there."""
    return _number(db, SQL["series_revision"], (ref.series_instance_uid, ref.study_instance_uid))


def _number(db: Database, sql: str, values: tuple[object, ...]) -> int:
    found = db.first(sql, values)
    return int(found[0]) if found is not None else 0


def keys(db: Database) -> Iterator[tuple[str, InstanceRow]]:
    """Every storage key and its instance, series by series in the order of their first arrival.

    No read stays open between batches; each series is read whole, so that whatever comes, goes, is packed or unpacked
    meanwhile, an instance that was there before and stays is met just once.
    """
    last: int | None = 0
    while last is not None:
        with db.read() as connection:
            rows, last = held.of_next_series(connection, last, BATCH)
        yield from ((row.key, row) for row in rows)


def unknown_keys(db: Database, keys: Iterable[str]) -> Iterator[str]:
    """Those of *keys* that no row names and that are not the history of an instance that is here, in their order.

    No read stays open between batches.

    Keys are kept with marks for their UIDs, so instances are found first: the last segment of a key begins with one.
    """
    left = iter(keys)
    while batch := list(islice(left, BATCH)):
        uids = {uid for key in batch for uid in _beginnings(key.rpartition("/")[2])}
        with db.read() as connection:
            known = {row.key for row in held.by_sop_uids(connection, uids)}
            known.update(row["key"] for row in connection.execute(SQL["plain_keys"], {"keys": json.dumps(batch)}))
        yield from (key for key in batch if key not in known)


def _beginnings(name: str) -> Iterator[str]:
    """*name* without its last dotted parts, longest first."""
    while name:
        yield name
        name = name.rpartition(".")[0]
