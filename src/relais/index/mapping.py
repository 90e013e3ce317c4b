"""Between rows and values: storage keys in few bytes, and InstanceRow from the view of that name."""

from typing import Any

import orjson

from relais.db.database import Connection, Database, Row
from relais.db.transaction import Params
from relais.dicom.layout import Layout
from relais.dicom.refs import InstanceRef, Ref, SeriesRef
from relais.index.rows import InstanceRow, kept_of

STUDY_MARK, SERIES_MARK, INSTANCE_MARK = "\1", "\2", "\3"


def pack_key(key: str, ref: InstanceRef) -> str:
    """*key* with marks in the place of the UIDs of *ref*; a key that does not name the instance stays as it is."""
    packed = "/".join([_pack(segment, ref) for segment in key.split("/")])
    return packed if INSTANCE_MARK in packed else key


def _pack(segment: str, ref: InstanceRef) -> str:
    if segment == ref.study_instance_uid:
        return STUDY_MARK
    if segment == ref.series_instance_uid:
        return SERIES_MARK
    if segment.startswith(ref.sop_instance_uid):
        return INSTANCE_MARK + segment.removeprefix(ref.sop_instance_uid)
    return segment


def unpack_key(packed: str, ref: InstanceRef) -> str:
    """The key that pack_key packed."""
    return packed.translate({1: ref.study_instance_uid, 2: ref.series_instance_uid, 3: ref.sop_instance_uid})


def under(ref: Ref) -> tuple[str, tuple[str, ...]]:
    """The condition on a row that names UIDs for everything under *ref*."""
    levels, uids = ["study_instance_uid = ?"], [ref.study_instance_uid]
    if isinstance(ref, SeriesRef | InstanceRef):
        levels.append("series_instance_uid = ?")
        uids.append(ref.series_instance_uid)
    if isinstance(ref, InstanceRef):
        levels.append("sop_instance_uid = ?")
        uids.append(ref.sop_instance_uid)
    return " AND ".join(levels), tuple(uids)


def instance_in_rows(db: Database, ref: InstanceRef) -> InstanceRow | None:
    """One instance, if its series has rows."""
    values = db.first(_INSTANCE, (ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid))
    return None if values is None else _instance_row(values)


def instance_rows(connection: Connection, select: str, params: Params = ()) -> list[InstanceRow]:
    """What *select*, a SELECT * FROM instance_row of our own, finds, in its order."""
    return [_instance_row(values) for values in all_rows(connection, _INSTANCES.format(select), params)]


def all_rows(connection: Connection, statement: str, params: Params) -> list[Any]:
    """The rows that *statement* puts into one JSON array.

    Python gives up its lock for every row that it fetches, and among busy threads waits for it again each time.
    """
    found: list[Any] = orjson.loads(connection.execute(statement, params).fetchone()[0])
    return found


def named_rows(connection: Connection, statement: str, params: Params) -> list[dict[str, Any]]:
    """The rows of *statement*, which says in SQLite's words one JSON array of objects, and in PostgreSQL's plain rows.

    From a server all rows come at once, and as JSON they would cost it three times as much.
    """
    cursor = connection.execute(statement, params)
    if not connection.is_remote:
        found: list[dict[str, Any]] = orjson.loads(cursor.fetchone()[0])
        return found
    rows = cursor.fetchall()
    names = rows[0].keys() if rows else []
    return [dict(zip(names, row, strict=True)) for row in rows]


def blob(value: str | bytes) -> bytes:
    """A blob of `named_rows`: in JSON it is hexadecimal digits."""
    return bytes.fromhex(value) if isinstance(value, str) else value


# JSON would round a time: it goes as text. Blobs go as hexadecimal digits.
_INSTANCES = """
SELECT json_group_array(json_array(
  id, series_fk, study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid,
  number_of_frames, key, size_bytes, hex(digest), hex(head_digest), dataset_offset, pixel_offset,
  hex(frame_table), printf('%!.17g', stored_at), revision)) FROM ({}) AS found
"""


_INSTANCE = """
SELECT id, series_fk, study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid,
  number_of_frames, key, size_bytes, digest, head_digest, dataset_offset, pixel_offset,
  frame_table, stored_at, revision
FROM instance_row WHERE study_instance_uid = ? AND series_instance_uid = ? AND sop_instance_uid = ?
"""


def _instance_row(values: Row | list[Any]) -> InstanceRow:
    ref = InstanceRef(values[2], values[3], values[4])
    return InstanceRow(
        id=values[0],
        series_id=values[1],
        ref=ref,
        sop_class_uid=values[5],
        transfer_syntax_uid=values[6],
        number_of_frames=max(1, whole(values[7]) or 1),
        key=unpack_key(values[8], ref),
        size_bytes=values[9],
        digest=kept_of(blob(values[10])),
        head_digest=kept_of(blob(values[11])),
        layout=Layout(values[12], values[13], blob(values[14]) or None),
        stored_at=float(values[15]),
        revision=values[16],
    )


def whole(number: object) -> int | None:
    """*number* if it is an integer: senders write others."""
    return number if isinstance(number, int) else None
