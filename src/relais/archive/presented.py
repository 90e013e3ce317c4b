"""Which images a softcopy presentation state is about, and what applies it to them. Knows Data Sets, no pixels.

Reading: the images are looked for in the study of the presentation state (PS3.3 C.11.11: they are of that study).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydicom import Dataset

from relais.access.principals import Principal
from relais.archive import Archive, blended
from relais.archive.blended import Over
from relais.archive.retrieve import instances_of
from relais.archive.stored_dataset import open_dataset
from relais.dicom import uids
from relais.dicom.refs import InstanceRef, SeriesRef, StudyRef
from relais.errors import NotAcceptable, NotFound, TooLarge
from relais.index.rows import InstanceRow
from relais.pixels.workers import BLENDING_STATE, AppliedState

MAX_STATE_BYTES = 32 * 1024 * 1024  # of a presentation state; tables of colours and bitmaps take some
MAX_REFERENCES = 10_000  # images of one presentation state
MAX_FRAMES = 100_000  # and frames of theirs
UNREADABLE = "The presentation state cannot be read."


class Presented(NamedTuple):
    """One frame, and the presentation state that it is shown by; one that blends may have a frame to lay *over* it."""

    row: InstanceRow
    number: int
    state: AppliedState
    over: Over | None = None
    is_blended: bool = False


def images(archive: Archive, principal: Principal, state: InstanceRow) -> list[Presented]:
    """Every frame that *state* is about, in its order.

    Raises NotFound if none of the images is here, NotAcceptable if *state* names none.
    """
    if state.sop_class_uid == BLENDING_STATE:
        return _blended(archive, principal, state)
    wanted = _references(archive, state)
    if not wanted:
        raise NotAcceptable("The presentation state names no image.")
    study = StudyRef(state.ref.study_instance_uid)
    series = [study.series(uid) for uid in dict.fromkeys(series for series, _, _ in wanted)]
    rows = {row.ref: row for row in _here(archive, principal, series)}
    part10 = _part10(archive, state)
    found: list[Presented] = []
    for series_uid, instance_uid, frames in wanted:
        row = rows.get(study.series(series_uid).instance(instance_uid))
        if row is not None:
            there = range(1, max(row.number_of_frames, 1) + 1)
            numbers = [number for number in frames if number in there] if frames else there
            if len(found) + len(numbers) > MAX_FRAMES:
                raise TooLarge(f"The presentation state is about more than {MAX_FRAMES} frames.")
            found += [Presented(row, number, AppliedState(part10, instance_uid)) for number in numbers]
    if not found:
        raise NotFound("The images of the presentation state are not here.")
    return found


def applied_to(archive: Archive, state: InstanceRow, image: InstanceRef) -> AppliedState:
    """What applies *state* to *image*. Raises NotAcceptable if it is not about that image."""
    if state.sop_class_uid == BLENDING_STATE:
        raise NotAcceptable("A presentation state that blends images is not applied to one; ask for itself.")
    if not any(instance_uid == image.sop_instance_uid for _, instance_uid, _ in _references(archive, state)):
        raise NotAcceptable("The presentation state is not about this image.")
    return AppliedState(_part10(archive, state), image.sop_instance_uid)


def _blended(archive: Archive, principal: Principal, state: InstanceRow) -> list[Presented]:
    part10 = _part10(archive, state)
    with open_dataset(archive, state) as stored:
        try:
            blending = blended.read(stored.small)
        except NotAcceptable:
            raise
        except Exception as exc:  # pydicom raises whatever the bytes made it raise
            raise NotAcceptable(UNREADABLE) from exc
    return [
        Presented(under.row, under.number, AppliedState(part10, under.row.ref.sop_instance_uid), over, is_blended=True)
        for under, over in blended.pairs(archive, principal, blending)
    ]


def _part10(archive: Archive, state: InstanceRow) -> bytes:
    if state.size_bytes > MAX_STATE_BYTES:
        raise TooLarge(f"A presentation state of more than {MAX_STATE_BYTES} bytes is not applied.")
    return archive.store.read_range(state.key, 0, state.size_bytes)


def _here(archive: Archive, principal: Principal, series: Sequence[SeriesRef]) -> Iterator[InstanceRow]:
    try:
        yield from instances_of(archive, principal, series)
    except NotFound:
        raise NotFound("The images of the presentation state are not here.") from None


def _references(archive: Archive, state: InstanceRow) -> list[tuple[str, str, tuple[int, ...]]]:
    """Series, instance and frames of each image that *state* names (PS3.3 C.11.11)."""
    with open_dataset(archive, state) as stored:
        try:
            found = list(_read_references(stored.small))
        except Exception as exc:  # pydicom raises whatever the bytes made it raise
            raise NotAcceptable(UNREADABLE) from exc
    if len(found) > MAX_REFERENCES:
        raise TooLarge(f"A presentation state of more than {MAX_REFERENCES} images is not rendered.")
    return found


def _read_references(ds: Dataset) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for series in ds.get("ReferencedSeriesSequence") or ():
        for image in series.get("ReferencedImageSequence") or ():
            names = str(series.get("SeriesInstanceUID", "")), str(image.get("ReferencedSOPInstanceUID", ""))
            frames = image.get("ReferencedFrameNumber") or ()
            numbers = (frames,) if isinstance(frames, int | str) else tuple(frames)
            if all(map(uids.is_valid, names)):
                yield *names, tuple(int(number) for number in numbers)
