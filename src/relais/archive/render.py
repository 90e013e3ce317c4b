"""Rendered frames and thumbnails. Knows rows and requests; pixels does the work, in processes of its own."""

from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive
from relais.archive.cache import Cache
from relais.archive.retrieve import header, record_release, stored_frame
from relais.dicom.refs import InstanceRef, Ref
from relais.errors import NotAcceptable, NotFound
from relais.index import lookup
from relais.index.rows import InstanceRow
from relais.pixels.workers import RenderRequest

THUMBNAIL_PX = 200
THUMBNAIL = RenderRequest(media_type="image/jpeg", quality=80, max_size=THUMBNAIL_PX)


def rendered(archive: Archive, row: InstanceRow, number: int, request: RenderRequest) -> bytes:
    """Frame *number*, counted from 1, as an image file of the requested media type.

    Raises NotAcceptable if the instance is no image, NotFound beyond the last frame, InvalidDataSet, TooLarge or
    Unavailable if it cannot be decoded.
    """
    if row.layout.pixel_offset is None:
        raise NotAcceptable("This instance cannot be rendered as an image.")
    stored, _ = stored_frame(archive, row, number)
    if stored is None:
        with archive.store.as_path(row.key) as path:
            return archive.pixels.render_file(path, number, request)
    return archive.pixels.render(
        header(archive, row), row.transfer_syntax_uid, stored.data, request, frame_number=number
    )


def thumbnail(archive: Archive, principal: Principal, ref: Ref, number: int | None = None) -> bytes:
    """A small JPEG of the instance that stands for *ref*: its middle frame, or frame *number*.

    Raises NotFound, NotAcceptable if nothing there is an image.
    """
    archive.policy.decide(principal, Action.RETRIEVE, ref)
    row = lookup.instance(archive.db, ref) if isinstance(ref, InstanceRef) else lookup.representative(archive.db, ref)
    if row is None:
        raise NotFound
    record_release(archive, principal, [row], Action.RETRIEVE)
    chosen = number or (row.number_of_frames + 1) // 2
    cache = Cache(archive.settings.cache_dir, archive.settings.cache_bytes)
    name = f"{row.ref.sop_instance_uid}-{row.revision}-{chosen}-{THUMBNAIL_PX}.jpg"
    return cache.get_or_make(name, lambda: rendered(archive, row, chosen, THUMBNAIL))
