"""The instances of what is held, whether their series has rows or a pack. Knows both, no matching and no documents.

Whoever wants instances asks here: nothing else reads the table of instances but what writes it (index.composite,
index.packs) and what searches or counts it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, repeat, takewhile
from typing import Any

from relais.db import statements
from relais.db.database import Connection, Row
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.layout import Layout
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.index import answers, columns, pack, packs
from relais.index.mapping import instance_rows, under, unpack_key, whole
from relais.index.pack import Packed
from relais.index.rows import InstanceRow

SQL = statements.load("relais.index.sql", "instances.sql")
AT_ONCE = 50  # packs that are fetched in one go
_NAMED = ("sop_class_uid", "transfer_syntax_uid")  # columns of numbers that stand for UIDs

Places = Callable[[Packed], Iterable[int]]
"""Which instances of a pack are wanted, in order."""


@dataclass(frozen=True, slots=True)
class PackedSeries:
    """A packed series: its number, its UIDs, and its instances."""

    id: int
    ref: SeriesRef
    packed: Packed


def found(connection: Connection, ref: Ref) -> list[InstanceRow]:
    """The instances under *ref*, by series number and UID, then instance number and UID."""
    where, values = under(ref)
    order = "series_position, series_instance_uid, position, sop_instance_uid"
    rows = instance_rows(connection, f"SELECT * FROM instance_row WHERE {where} ORDER BY {order}", values)  # noqa: S608
    if rows and not isinstance(ref, StudyRef):
        return rows
    if isinstance(ref, InstanceRef):
        return in_pack(connection, ref)
    more = _rows(connection, list(_packed_under(connection, ref)), _in_order)
    if not rows or not more:
        return rows or more
    place = {row["id"]: place for place, row in enumerate(connection.execute(SQL["series_in_order"], values))}
    return sorted(rows + more, key=lambda row: place[row.series_id])


def in_pack(connection: Connection, ref: InstanceRef) -> list[InstanceRow]:
    """The instance *ref* if its series is packed; [] if it is not there, or has rows."""
    return _rows(connection, list(_packed_under(connection, ref.series)), _with_uids({ref.sop_instance_uid}))


def by_sop_uids(connection: Connection, sop_instance_uids: Iterable[str]) -> list[InstanceRow]:
    """The instances of all those UIDs, in no promised order."""
    wanted = set(sop_instance_uids)
    rows = instance_rows(connection, SQL["by_sop_uids"], (json.dumps(list(wanted)),))
    series = packs.holding(connection, uids=wanted)
    for one in packed(connection, series):
        rows += _rows(connection, [one], _with_uids(wanted))
    return rows


def by_ids(connection: Connection, ids: Iterable[int]) -> list[InstanceRow]:
    """The instances of all those ids, in no promised order."""
    wanted = set(ids)
    rows = instance_rows(connection, SQL["by_ids"], (json.dumps(list(wanted)),))
    left = wanted - {row.id for row in rows}
    for one in packed(connection, packs.holding(connection, blocks=map(packs.block, left))):
        rows += _rows(connection, [one], _with_ids(left))
    return rows


def of_series(connection: Connection, series_fk: int) -> list[InstanceRow]:
    """The instances of a series that has rows."""
    return instance_rows(connection, SQL["of_series"], (json.dumps([series_fk]),))


def of_next_series(connection: Connection, after: int, most: int) -> tuple[list[InstanceRow], int | None]:
    """All instances of the series behind the number *after*, *most* or those of one series, and the last number.

    None: there is no series behind *after*.
    """
    series = connection.execute(SQL["series_behind"], (after, most)).fetchall()
    if not series:
        return [], None
    sums = accumulate(row["instance_count"] for row in series)
    count = max(1, sum(1 for _ in takewhile(lambda total: total <= most, sums)))
    ids = [row["id"] for row in series[:count]]
    rows = instance_rows(connection, SQL["of_series"], (json.dumps(ids),))
    for one in packed(connection, ids):
        rows += _rows(connection, [one], lambda found: range(len(found)))
    return sorted(rows, key=lambda row: (row.series_id, row.id)), ids[-1]


def representative(connection: Connection, ref: StudyRef | SeriesRef) -> InstanceRow | None:
    """The instance that stands for *ref*: the middle one of its first series with Pixel Data, else its first."""
    series_uid = ref.series_instance_uid if isinstance(ref, SeriesRef) else ""
    wanted = {"study_instance_uid": ref.study_instance_uid, "series_instance_uid": series_uid}
    series = connection.execute(SQL["first_image_series"], wanted).fetchone()
    if series is None:
        return None
    place = series["images"] // 2
    rows = instance_rows(connection, SQL["nth_of_series"], (series["id"], place))
    for one in packed(connection, [series["id"]]):
        rows += _rows(connection, [one], lambda found: _images_first(found)[place : place + 1])
    return rows[0] if rows else None


def packed_row(connection: Connection, series_fk: int, sop_instance_uid: str) -> dict[str, Any] | None:
    """The columns of an instance of a packed series, but those that follow from its attributes; None if it is none."""
    packed = packs.opened(connection, series_fk)
    if packed is None:
        return None
    place = next(iter(_with_uids({sop_instance_uid})(packed)), None)
    return None if place is None else packed.at(place)


def answers_of(connection: Connection, series: Sequence[int], ids: Iterable[int]) -> dict[int, JsonDataset]:
    """What a search answers about instances of packed *series*, by id, as far as they are among *ids*."""
    wanted = _with_ids(set(ids))
    found = {}
    for one in packed(connection, series):
        uids = _uids(connection, [one.packed])
        for place in wanted(one.packed):
            found[one.packed.columns["id"][place]] = _answer(one.packed, place, uids)
    return found


def datasets(connection: Connection, packed: Packed, *, is_needed: bool) -> Iterator[JsonDataset]:
    """What a search asks of each instance of a pack, in order; nothing of it where none *is_needed*."""
    if not is_needed:
        return repeat({}, len(packed))
    uids = _uids(connection, [packed])
    return (_answer(packed, place, uids) for place in range(len(packed)))


def _answer(packed: Packed, place: int, uids: Mapping[int, str]) -> JsonDataset:
    row = packed.at(place)
    said = {"sop_class": uids[row["sop_class_uid"]], "transfer_syntax": uids[row["transfer_syntax_uid"]]}
    return answers.instance(row | said, packed.attributes(place))


def _packed_under(connection: Connection, ref: StudyRef | SeriesRef) -> Iterator[PackedSeries]:
    where, values = under(ref)
    rows = connection.execute(f"SELECT * FROM packed_series WHERE {where}", values).fetchall()  # noqa: S608
    return map(_opened, rows)


def packed(connection: Connection, series: Sequence[int]) -> Iterator[PackedSeries]:
    """Those of *series* that are packed."""
    for start in range(0, len(series), AT_ONCE):
        ids = json.dumps(series[start : start + AT_ONCE])
        yield from map(_opened, connection.execute(SQL["packed"], (ids,)).fetchall())


def _opened(row: Row) -> PackedSeries:
    ref = SeriesRef(row["study_instance_uid"], row["series_instance_uid"])
    return PackedSeries(row["series_fk"], ref, pack.decode(bytes(row["instances"])))


def _in_order(packed: Packed) -> list[int]:
    position, uid = packed.columns["position"], packed.columns["sop_instance_uid"]
    return sorted(range(len(packed)), key=lambda place: (position[place], uid[place]))


def _images_first(packed: Packed) -> list[int]:
    offset = packed.columns["pixel_offset"]
    return sorted(_in_order(packed), key=lambda place: offset[place] is None)


def _with_uids(wanted: set[str]) -> Places:
    return lambda packed: (place for place, uid in enumerate(packed.columns["sop_instance_uid"]) if uid in wanted)


def _with_ids(wanted: set[int]) -> Places:
    return lambda packed: (place for place, number in enumerate(packed.columns["id"]) if number in wanted)


def _rows(connection: Connection, series: Sequence[PackedSeries], places: Places) -> list[InstanceRow]:
    """The wanted instances of packed *series*."""
    wanted = [(one, place) for one in series for place in places(one.packed)]
    uids = _named(connection, {one.packed.columns[name][place] for one, place in wanted for name in _NAMED})
    return [_row(one, place, uids) for one, place in wanted]


def _uids(connection: Connection, found: Sequence[Packed]) -> Mapping[int, str]:
    """The SOP Class and Transfer Syntax UIDs of packs, by number."""
    return _named(connection, {number for one in found for name in _NAMED for number in one.columns[name]})


def _named(connection: Connection, numbers: set[int]) -> Mapping[int, str]:
    if not numbers:
        return {}
    return {row["id"]: row["uid"] for row in connection.execute(SQL["uids"], (json.dumps(sorted(numbers)),))}


def _row(series: PackedSeries, place: int, uids: Mapping[int, str]) -> InstanceRow:
    row = series.packed.at(place)
    ref = series.ref.instance(row["sop_instance_uid"])
    return InstanceRow(
        id=row["id"],
        series_id=series.id,
        ref=ref,
        sop_class_uid=uids[row["sop_class_uid"]],
        transfer_syntax_uid=uids[row["transfer_syntax_uid"]],
        number_of_frames=max(1, _number(series.packed, "number_of_frames", place) or 1),
        key=unpack_key(row["key"], ref),
        size_bytes=row["size_bytes"],
        digest=row["digest"],
        head_digest=row["head_digest"],
        layout=Layout(row["dataset_offset"], row["pixel_offset"], row["frame_table"]),
        stored_at=row["stored_at"],
        revision=row["revision"],
    )


def _number(packed: Packed, name: str, place: int) -> int | None:
    column = _columns()[name]
    said = packed.said.get(column.key)
    return whole(columns.value(column, said[place])) if said is not None else None


@cache
def _columns() -> Mapping[str, columns.Column]:
    return {column.name: column for column in columns.value_columns(Level.IMAGE)}
