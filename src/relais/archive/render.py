"""Rendered frames, animations and thumbnails. Knows rows and requests; pixels does the work, in processes of its own.

What was made is kept on disk within the bound of the settings, under the digest of the instance and all of the request,
so that nothing goes stale.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive, documents
from relais.archive.blended import Over
from relais.archive.cache import Cache
from relais.archive.retrieve import header, record_release, stored_frame
from relais.dicom.frames import FrameTable
from relais.dicom.refs import InstanceRef, Ref
from relais.errors import Gone, NotAcceptable, NotFound, Unavailable
from relais.index import lookup
from relais.index.rows import InstanceRow
from relais.pixels.workers import TAG_BYTES, AppliedState, FramePlace, Overlaid, RenderRequest

THUMBNAIL_PX = 200
THUMBNAIL = RenderRequest(media_type="image/jpeg", quality=80, max_size=THUMBNAIL_PX)

MAX_PIECES = 1000

NO_IMAGE = "This instance cannot be rendered as an image."

ANGIOGRAPHIES = frozenset(f"1.2.840.10008.5.1.4.1.1.12.{kind}" for kind in ("1", "1.1", "2", "2.1"))
SUBTRACTED = b'"00281090":{"vr":"CS","Value":["SUB"]}'  # Recommended Viewing Mode

_LAYOUT = "3"  # of what is kept; another one when the same request begins to look different


def rendered(
    archive: Archive, row: InstanceRow, number: int, request: RenderRequest, state: AppliedState | None = None
) -> bytes:
    """Frame *number*, counted from 1, as an image file of the requested media type, by the presentation state *state*.

    Raises NotAcceptable if the instance is no image, NotFound beyond the last frame, Gone if it is deleted meanwhile,
    InvalidDataSet, TooLarge or Unavailable if it cannot be decoded.
    """
    if row.layout.pixel_offset is None:
        raise NotAcceptable(NO_IMAGE)
    by = hashlib.sha256(state.part10).hexdigest() if state else ""
    name = f"{_LAYOUT} {row.digest.hex()} {number} {request} {by}"
    with _still_there(archive, row):
        return _cache(archive).get_or_make(_owner(row.ref), name, lambda: _render(archive, row, number, request, state))


def overlaid(
    archive: Archive, row: InstanceRow, number: int, over: Over | None, request: RenderRequest, state: AppliedState
) -> bytes:
    """The frame *over* laid over frame *number* by the blending presentation state *state*. Raises as `rendered`."""
    above = f"{over.row.digest.hex()} {over.number} {over.onto}" if over else ""
    name = f"{_LAYOUT} {row.digest.hex()} {number} {above} {request} {hashlib.sha256(state.part10).hexdigest()}"

    def make() -> bytes:
        with ExitStack() as keep:
            path = keep.enter_context(archive.store.as_path(row.key))
            if over is None:
                return archive.pixels.blend_files(path, number, None, request, state)
            above = keep.enter_context(archive.store.as_path(over.row.key))
            other = Overlaid(above, over.row.ref.sop_instance_uid, over.number, over.onto)
            return archive.pixels.blend_files(path, number, other, request, state)

    with _still_there(archive, row), _still_there(archive, over.row if over else row):
        return _cache(archive).get_or_make(_owner(row.ref), name, make)


def animation(archive: Archive, row: InstanceRow, numbers: Sequence[int], request: RenderRequest) -> bytes:
    """Frames, in the order of *numbers*, as one animated GIF. Raises as `rendered` does, TooLarge for too many."""
    if row.layout.pixel_offset is None:
        raise NotAcceptable(NO_IMAGE)
    if max(numbers) > max(row.number_of_frames, 1):
        raise NotFound(f"The instance has {row.number_of_frames} frames.")

    def make() -> bytes:
        with archive.store.as_path(row.key) as path:
            return archive.pixels.animate_file(path, numbers, request)

    with _still_there(archive, row):
        return _cache(archive).get_or_make(_owner(row.ref), f"{_LAYOUT} {row.digest.hex()} {numbers} {request}", make)


def thumbnail(
    archive: Archive, principal: Principal, ref: Ref, number: int | None = None, request: RenderRequest = THUMBNAIL
) -> bytes:
    """A small image of the instance that stands for *ref*: its middle frame, or frame *number*.

    Raises NotFound, Gone, NotAcceptable if nothing there is an image.
    """
    archive.policy.decide(principal, Action.RETRIEVE, ref)
    row = lookup.instance(archive.db, ref) if isinstance(ref, InstanceRef) else lookup.representative(archive.db, ref)
    if row is None:
        raise Gone if lookup.was_deleted(archive.db, ref) else NotFound
    record_release(archive, principal, [row], Action.RETRIEVE)
    return rendered(archive, row, number or (max(row.number_of_frames, 1) + 1) // 2, request)


def forget(archive: Archive, refs: Iterable[InstanceRef]) -> None:
    """Remove what was kept of instances that are gone."""
    for ref in refs:
        _cache(archive).forget(_owner(ref))


@contextmanager
def _still_there(archive: Archive, row: InstanceRow) -> Iterator[None]:
    """What fails because *row* was deleted meanwhile fails as Gone."""
    try:
        yield
    except (NotFound, Unavailable) as error:
        if lookup.instance(archive.db, row.ref) is None and lookup.was_deleted(archive.db, row.ref):
            raise Gone from error
        raise


def _owner(ref: InstanceRef) -> str:
    return f"{ref.study_instance_uid}/{ref.series_instance_uid}/{ref.sop_instance_uid}"


def _cache(archive: Archive) -> Cache:
    return Cache(archive.settings.cache_dir, archive.settings.cache_bytes)


def _render(
    archive: Archive, row: InstanceRow, number: int, request: RenderRequest, state: AppliedState | None
) -> bytes:
    place = _place(row, number)
    if row.number_of_frames > 1 and (state or _is_subtracted(archive, row)):
        with archive.store.as_path(row.key) as path:  # other frames may be needed for this one
            return archive.pixels.render_file(path, number, request, state)
    if place is not None:
        with archive.store.as_path(row.key) as path:
            return archive.pixels.render_at(path, place, request, state)
    stored, _ = stored_frame(archive, row, number)
    if stored is None:
        with archive.store.as_path(row.key) as path:
            return archive.pixels.render_file(path, number, request, state)
    return archive.pixels.render(
        header(archive, row), row.transfer_syntax_uid, stored.data, request, frame_number=number, state=state
    )


def _is_subtracted(archive: Archive, row: InstanceRow) -> bool:
    """Whether the image itself wants a mask to be subtracted from its frames (PS3.3 C.7.6.10)."""
    if row.sop_class_uid not in ANGIOGRAPHIES:
        return False
    (document,) = documents.metadata(archive, [row])
    return SUBTRACTED in document


def _place(row: InstanceRow, number: int) -> FramePlace | None:
    """Where the frame is, if it is most of the object and in few pieces: then the object is read as a file."""
    if row.layout.frame_table is None or number < 1:
        return None
    pieces = FrameTable.unpack(row.layout.frame_table).pieces(number)
    if len(pieces) > MAX_PIECES or sum(length for _, length in pieces) * 2 < row.size_bytes:
        return None
    assert row.layout.pixel_offset is not None
    return FramePlace(row.layout.pixel_offset + TAG_BYTES, pieces, row.transfer_syntax_uid, number)
