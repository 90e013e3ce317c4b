"""Paths of DICOMweb resources, to and from references (PS3.18 10.4.1, table 10.1-1). Knows UIDs, not URLs' hosts.

Every UID is validated before it becomes part of a reference: nothing from outside names a file.
"""

from relais.dicom import uids
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.errors import InvalidRequest

MAX_FRAMES = 10_000  # more frame numbers in one path make it an InvalidRequest


def ref(study: str, series: str | None = None, instance: str | None = None) -> Ref:
    """The reference of the UIDs in a path. InvalidRequest if one of them is not a UID (PS3.5 9.1)."""
    found = StudyRef(_uid(study, "StudyInstanceUID"))
    if series is None:
        return found
    in_series = found.series(_uid(series, "SeriesInstanceUID"))
    return in_series if instance is None else in_series.instance(_uid(instance, "SOPInstanceUID"))


def instance_ref(study: str, series: str, instance: str) -> InstanceRef:
    """The reference of one instance. InvalidRequest if one of the UIDs is not a UID (PS3.5 9.1)."""
    found = ref(study, series, instance)
    assert isinstance(found, InstanceRef)
    return found


def frame_numbers(text: str) -> tuple[int, ...]:
    """The frame list of a path, in the order asked (PS3.18 10.4.1.1.6). InvalidRequest unless it is numbers from 1."""
    pieces = text.split(",", MAX_FRAMES)
    if len(pieces) > MAX_FRAMES:
        raise InvalidRequest(f"At most {MAX_FRAMES} frames can be asked for at once.")
    if not all(piece.isascii() and piece.isdecimal() and len(piece) <= 9 and int(piece) > 0 for piece in pieces):
        raise InvalidRequest("Frames must be a list of numbers from 1, separated by commas.")
    return tuple(map(int, pieces))


def format_ref(ref: Ref) -> str:
    """The path of a study, series or instance, without a leading slash."""
    match ref:
        case StudyRef(study):
            return f"studies/{study}"
        case SeriesRef(study, series):
            return f"studies/{study}/series/{series}"
        case InstanceRef(study, series, instance):
            return f"studies/{study}/series/{series}/instances/{instance}"


def _uid(text: str, keyword: str) -> str:
    if not uids.is_valid(text):
        raise InvalidRequest(f"The {keyword} is not a UID.")
    return text
