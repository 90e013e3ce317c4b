"""Between rows and values: storage keys in few bytes, and InstanceRow from the view of that name."""

from typing import Any

import orjson

from relais.db.database import Connection
from relais.db.transaction import Params
from relais.dicom.layout import Layout
from relais.dicom.refs import InstanceRef
from relais.index.rows import InstanceRow

STUDY_MARK, SERIES_MARK, INSTANCE_MARK = "\1", "\2", "\3"


def pack_key(key: str, ref: InstanceRef) -> str:
    """*key* with marks in the place of the UIDs of *ref*; a key that does not name the instance stays as it is."""
    packed = "/".join(_pack(segment, ref) for segment in key.split("/"))
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


def instance_rows(connection: Connection, select: str, params: Params = ()) -> list[InstanceRow]:
    """What *select*, a SELECT * FROM instance_row of our own, finds, in its order."""
    return [_instance_row(values) for values in all_rows(connection, _INSTANCES.format(select), params)]


def all_rows(connection: Connection, statement: str, params: Params) -> list[Any]:
    """The rows that *statement* puts into one JSON array.

    Python gives up its lock for every row that it fetches, and among busy threads waits for it again each time.
    """
    found: list[Any] = orjson.loads(connection.execute(statement, params).fetchone()[0])
    return found


# JSON would round a time: it goes as text. Blobs go as hexadecimal digits.
_INSTANCES = """
SELECT json_group_array(json_array(
  id, study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, instance_number,
  number_of_frames, key, size_bytes, hex(digest), hex(head_digest), dataset_offset, pixel_offset, hex(frame_table),
  printf('%!.17g', stored_at), revision)) FROM ({}) AS found
"""


def _instance_row(values: list[Any]) -> InstanceRow:
    ref = InstanceRef(*values[1:4])
    return InstanceRow(
        id=values[0],
        ref=ref,
        sop_class_uid=values[4],
        transfer_syntax_uid=values[5],
        instance_number=_whole(values[6]),
        number_of_frames=max(1, _whole(values[7]) or 1),
        key=unpack_key(values[8], ref),
        size_bytes=values[9],
        digest=bytes.fromhex(values[10]),
        head_digest=bytes.fromhex(values[11]),
        layout=Layout(values[12], values[13], bytes.fromhex(values[14]) or None),
        stored_at=float(values[15]),
        revision=values[16],
    )


def _whole(number: object) -> int | None:
    """*number* if it is an integer: senders write others."""
    return number if isinstance(number, int) else None
