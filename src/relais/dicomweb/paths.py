"""Paths of DICOMweb resources, to and from references (PS3.18 10.4.1, table 10.1-1). Knows UIDs, not URLs' hosts.

Every UID is validated before it becomes part of a reference: nothing from outside names a file.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from relais.dicom import uids
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.errors import InvalidRequest

MAX_FRAMES = 10_000  # more frame numbers in one path make it an InvalidRequest

_SEGMENTS = ("studies", "series", "instances")


@dataclass(frozen=True, slots=True)
class Resource:
    """What a path names: instances, and what of them. *suffix* is like "metadata" or "bulkdata/00420011"."""

    ref: Ref
    frames: tuple[int, ...] = ()
    suffix: str = ""


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


def format_path(resource: Resource) -> str:
    """The path of any resource, without a leading slash."""
    path = format_ref(resource.ref)
    if resource.frames:
        path += "/frames/" + ",".join(map(str, resource.frames))
    return f"{path}/{quote(resource.suffix)}" if resource.suffix else path


def parse(path: str) -> Resource:
    """What *path* names, percent-decoded once. InvalidRequest if it is not a resource of studies."""
    segments = [unquote(segment) for segment in path.strip("/").split("/")]
    found: list[str] = []
    while segments and len(found) < len(_SEGMENTS) and segments[0] == _SEGMENTS[len(found)]:
        found.append(segments[1] if len(segments) > 1 else "")
        del segments[:2]
    if not found:
        raise InvalidRequest("The path does not begin with studies/ and a Study Instance UID.")
    target = ref(*found)
    frames: tuple[int, ...] = ()
    if len(segments) > 1 and segments[0] == "frames" and isinstance(target, InstanceRef):
        frames = frame_numbers(segments[1])
        del segments[:2]
    return Resource(target, frames, "/".join(segments))


def _uid(text: str, keyword: str) -> str:
    if not uids.is_valid(text):
        raise InvalidRequest(f"The {keyword} is not a UID.")
    return text
