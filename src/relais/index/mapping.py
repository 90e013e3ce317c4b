"""Between rows and values: storage keys in few bytes, and InstanceRow from the view of that name. Knows no SQL."""

from relais.db.database import Row
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
    if INSTANCE_MARK not in packed:
        return packed
    uids = {
        STUDY_MARK: ref.study_instance_uid,
        SERIES_MARK: ref.series_instance_uid,
        INSTANCE_MARK: ref.sop_instance_uid,
    }
    return "".join(uids.get(letter, letter) for letter in packed)


def instance_row(row: Row) -> InstanceRow:
    """One row of the view instance_row."""
    ref = InstanceRef(row["study_instance_uid"], row["series_instance_uid"], row["sop_instance_uid"])
    return InstanceRow(
        id=row["id"],
        ref=ref,
        sop_class_uid=row["sop_class_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        instance_number=_whole(row["instance_number"]),
        number_of_frames=max(1, _whole(row["number_of_frames"]) or 1),
        key=unpack_key(row["key"], ref),
        size_bytes=row["size_bytes"],
        digest=row["digest"],
        head_digest=row["head_digest"],
        layout=Layout(row["dataset_offset"], row["pixel_offset"], row["frame_table"]),
        stored_at=row["stored_at"],
        revision=row["revision"],
    )


def _whole(number: object) -> int | None:
    """*number* if it is an integer: senders write others."""
    return number if isinstance(number, int) else None
