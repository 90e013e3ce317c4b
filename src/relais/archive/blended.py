"""Which frames of a blending presentation state lie over which (PS3.3 C.11.14). Knows Data Sets, no pixels.

Reading: the superimposed frame is the nearest one in a parallel plane of the same frame of reference, at most half its
thickness away; where there is none, the underlying frame is shown alone. A registration that the state names takes both
into one frame of reference first (PS3.3 C.20.2); no slices are cut anew for frames that it turns out of their plane.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson
from pydicom import Dataset

from relais.access.principals import Principal
from relais.archive import Archive, documents
from relais.archive.retrieve import instances_of
from relais.archive.stored_dataset import open_dataset
from relais.dicom import json_model, registration, uids
from relais.dicom.json_model import JsonDataset
from relais.dicom.planes import Affine, Plane, plane
from relais.dicom.refs import InstanceRef, SeriesRef
from relais.dicom.registration import Registration
from relais.errors import NotAcceptable, NotFound, TooLarge
from relais.index.rows import InstanceRow

MOST_IMAGES = 10_000  # of one Blending Position; with more it is refused
MOST_PAIRS = 500_000  # of frames that are compared, about 700 of each image; with more it is refused
UNKNOWN_THICKNESS_MM = 2.0

FRAME_OF_REFERENCE, SLICE_THICKNESS = 0x00200052, 0x00180050
POSITION, ORIENTATION, SPACING = 0x00200032, 0x00200037, 0x00280030
PER_FRAME, SHARED = 0x52009230, 0x52009229
PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES = 0x00209113, 0x00209116, 0x00289110


class Placed(NamedTuple):
    """A frame, and where it lies, after any registration."""

    row: InstanceRow
    number: int
    frame_of_reference: str
    plane: Plane
    thickness_mm: float


class Over(NamedTuple):
    """A frame that lies over another, whose pixels lie *onto* its own (relais.dicom.planes.Plane.onto)."""

    row: InstanceRow
    number: int
    onto: Affine


class Side(NamedTuple):
    """The images of one Blending Position, each with those of its frames that are named; () for all."""

    position: str
    images: tuple[tuple[InstanceRef, tuple[int, ...]], ...]


class Blending(NamedTuple):
    """What a blending presentation state names."""

    sides: tuple[Side, ...]
    registrations: tuple[InstanceRef, ...]


def read(ds: Dataset) -> Blending:
    """What the blending presentation state *ds* names. Raises NotAcceptable, and whatever pydicom raises."""
    items = ds.get("BlendingSequence") or ()
    sides = (Side(str(item.get("BlendingPosition") or "").strip(), tuple(_images(item))) for item in items)
    named = ds.get("ReferencedSpatialRegistrationSequence") or ()
    registrations = tuple(ref for item in named for ref in _references(item))
    if named and not registrations:
        raise NotAcceptable("The presentation state does not say where its registration is.")
    return Blending(tuple(sides), registrations)


def pairs(archive: Archive, principal: Principal, blending: Blending) -> list[tuple[Placed, Over | None]]:
    """Every underlying frame and what lies over it. Raises NotFound, NotAcceptable, TooLarge."""
    by = [_registration(archive, principal, ref) for ref in blending.registrations]
    found = {side.position: [_moved(one, by) for one in _placed(archive, principal, side)] for side in blending.sides}
    under, over = found.get("UNDERLYING", []), found.get("SUPERIMPOSED", [])
    if len(under) * len(over) > MOST_PAIRS:
        raise TooLarge("The presentation state is about too many frames.")
    together = [(frame, _over(frame, over)) for frame in under]
    if not any(above for _, above in together):
        raise NotAcceptable("The images of the presentation state do not lie over each other.")
    return together


def _registration(archive: Archive, principal: Principal, ref: InstanceRef) -> Registration:
    try:
        (row,) = instances_of(archive, principal, [ref])
    except NotFound:
        raise NotFound("The registration of the presentation state is not here.") from None
    with open_dataset(archive, row) as stored:
        try:
            return registration.read(stored.small)
        except NotAcceptable:
            raise
        except Exception as exc:  # pydicom raises whatever the bytes made it raise
            raise NotAcceptable("The registration of the presentation state cannot be read.") from exc


def _moved(frame: Placed, registrations: Iterable[Registration]) -> Placed:
    """*frame* where the first registration that knows it takes it. Raises NotAcceptable where it has no pixels left."""
    for one in registrations:
        matrix = one.of(frame.frame_of_reference, frame.row.ref.sop_instance_uid)
        if matrix is not None:
            plane = frame.plane.moved(matrix)
            if plane is None:
                raise NotAcceptable("The registration makes no rectangles of the pixels of an image.")
            thickness = frame.thickness_mm * plane.column_spacing / frame.plane.column_spacing
            return frame._replace(frame_of_reference=one.frame_of_reference, plane=plane, thickness_mm=thickness)
    return frame


def _over(frame: Placed, candidates: Iterable[Placed]) -> Over | None:
    best: Placed | None = None
    least = float("inf")
    for other in candidates:
        if other.frame_of_reference == frame.frame_of_reference:
            away = frame.plane.distance(other.plane)
            if away is not None and away <= other.thickness_mm / 2 and away < least:
                best, least = other, away
    return Over(best.row, best.number, frame.plane.onto(best.plane)) if best else None


def _images(item: Dataset) -> Iterator[tuple[InstanceRef, tuple[int, ...]]]:
    study = str(item.get("StudyInstanceUID") or "")
    for series in item.get("ReferencedSeriesSequence") or ():
        for image in series.get("ReferencedImageSequence") or ():
            names = str(series.get("SeriesInstanceUID") or ""), str(image.get("ReferencedSOPInstanceUID") or "")
            frames = image.get("ReferencedFrameNumber") or ()
            numbers = (frames,) if isinstance(frames, int | str) else tuple(frames)
            if all(map(uids.is_valid, (study, *names))):
                yield InstanceRef(study, *names), tuple(int(number) for number in numbers)


def _references(item: Dataset) -> Iterator[InstanceRef]:
    """The instances of a Hierarchical SOP Instance Reference (PS3.3 table C.17-3)."""
    study = str(item.get("StudyInstanceUID") or "")
    for series in item.get("ReferencedSeriesSequence") or ():
        for one in series.get("ReferencedSOPSequence") or ():
            names = str(series.get("SeriesInstanceUID") or ""), str(one.get("ReferencedSOPInstanceUID") or "")
            if all(map(uids.is_valid, (study, *names))):
                yield InstanceRef(study, *names)


def _placed(archive: Archive, principal: Principal, side: Side) -> Iterator[Placed]:
    """The frames of *side* that are here and say where they lie, in its order."""
    wanted = dict(side.images)
    series = list(dict.fromkeys(SeriesRef(ref.study_instance_uid, ref.series_instance_uid) for ref in wanted))
    if not wanted or len(wanted) > MOST_IMAGES:
        raise NotAcceptable(f"A presentation state blends from 1 to {MOST_IMAGES} images here.")
    try:
        here = {row.ref: row for row in instances_of(archive, principal, series)}
    except NotFound:
        raise NotFound("The images of the presentation state are not here.") from None
    rows = [here[ref] for ref in wanted if ref in here]
    for row, document in zip(rows, documents.metadata(archive, rows), strict=True):
        yield from _frames(row, orjson.loads(document), wanted[row.ref])


def _frames(row: InstanceRow, ds: JsonDataset, wanted: tuple[int, ...]) -> Iterator[Placed]:
    frame_of_reference = json_model.text(ds, FRAME_OF_REFERENCE)
    count = max(row.number_of_frames, 1)
    if count > MOST_PAIRS:
        raise TooLarge("An image of the presentation state has too many frames.")
    for number in wanted or range(1, count + 1):
        measures = _group(ds, number, PIXEL_MEASURES)
        found = plane(
            _numbers(_group(ds, number, PLANE_POSITION), POSITION),
            _numbers(_group(ds, number, PLANE_ORIENTATION), ORIENTATION),
            _numbers(measures, SPACING),
        )
        if found is not None and frame_of_reference and 1 <= number <= count:
            thickness = (_numbers(measures, SLICE_THICKNESS) or [0.0])[0] or UNKNOWN_THICKNESS_MM
            yield Placed(row, number, frame_of_reference, found, thickness)


def _group(ds: JsonDataset, number: int, sequence: int) -> JsonDataset:
    """The functional group of the frame, or shared by all; *ds* itself where there is none (PS3.3 C.7.6.16)."""
    per_frame = json_model.values(ds, PER_FRAME)[number - 1 : number]
    for group in (*per_frame, *json_model.values(ds, SHARED)[:1]):
        if items := json_model.values(group or {}, sequence):
            found: JsonDataset = items[0] or {}
            return found
    return ds


def _numbers(ds: JsonDataset, tag: int) -> list[float]:
    values = json_model.values(ds, tag)
    return [float(value) for value in values] if all(isinstance(value, int | float) for value in values) else []
