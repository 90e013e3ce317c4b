"""Rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4): images for people, and PDF documents as they are.

Knows HTTP and parameters, not pixels.

Reading: an instance of several frames, asked for without a frame list, is rendered by its first frame. Instances of a
study or series that are no images are left out, unless nothing else is there.
"""

import zlib
from collections.abc import Iterator

from flask import Blueprint, Response, request

from relais.archive import documents, render, retrieve
from relais.dicom.refs import InstanceRef, Ref
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import JPEG, PDF, PNG, MediaRange, Offer
from relais.dicomweb.multipart import Part
from relais.errors import InvalidRequest, NotAcceptable
from relais.index.rows import InstanceRow
from relais.pixels.request import RenderRequest
from relais.web import payload, rendering
from relais.web.door import Door, acceptable, door, principal, query_parameters
from relais.web.frames import ENCAPSULATED_DOCUMENT, mime_type
from relais.web.payload import Single

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"

IMAGES = (Offer(JPEG), Offer(PNG), Offer(JPEG, is_multipart=True), Offer(PNG, is_multipart=True))
IMAGES_IN_PARTS = tuple(offer for offer in IMAGES if offer.is_multipart)
DOCUMENT = (Offer(PDF), Offer(PDF, is_multipart=True))
THUMBNAIL = (Offer(JPEG),)

IGNORED = "The following parameters are not supported and were ignored: {}."
NO_QUALITY = "The quality parameter has no meaning for image/png and was ignored."

Picture = tuple[InstanceRow, int]  # an instance and the number of a frame

routes = Blueprint("rendered", __name__)


@routes.get("/studies/<study>/rendered")
def study(study: str) -> Response:
    """The images of a study."""
    return _rendered(paths.ref(study))


@routes.get("/studies/<study>/series/<series>/rendered")
def series(study: str, series: str) -> Response:
    """The images of a series."""
    return _rendered(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/rendered")
def instance(study: str, series: str, instance: str) -> Response:
    """The image or document of an instance."""
    return _rendered(paths.ref(study, series, instance))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/frames/<numbers>/rendered")
def frames(study: str, series: str, instance: str, numbers: str) -> Response:
    """Frames as images, in the order asked."""
    return _rendered(paths.instance_ref(study, series, instance), paths.frame_numbers(numbers))


@routes.get("/studies/<study>/thumbnail")
def study_thumbnail(study: str) -> Response:
    """A small image that stands for a study."""
    return _thumbnail(paths.ref(study))


@routes.get("/studies/<study>/series/<series>/thumbnail")
def series_thumbnail(study: str, series: str) -> Response:
    """A small image that stands for a series."""
    return _thumbnail(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/thumbnail")
def instance_thumbnail(study: str, series: str, instance: str) -> Response:
    """A small image that stands for an instance."""
    return _thumbnail(paths.ref(study, series, instance))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/frames/<numbers>/thumbnail")
def frame_thumbnail(study: str, series: str, instance: str, numbers: str) -> Response:
    """A small image of one frame."""
    asked = paths.frame_numbers(numbers)
    if len(asked) > 1:
        raise InvalidRequest("A thumbnail shows one frame.")
    return _thumbnail(paths.instance_ref(study, series, instance), asked[0])


def image(row: InstanceRow, number: int, wanted: RenderRequest) -> Response:
    """One frame as an image file."""
    key = zlib.crc32(repr(wanted).encode())
    etag = f"{row.digest.hex()[:32]}-{row.revision}-{number}-{key:08x}"
    if payload.is_unchanged(etag):
        return payload.not_modified(etag)
    data = _picture(door(), row, number, wanted)
    return payload.single(Single(wanted.media_type, len(data), (data,), etag=etag))


def warn(response: Response, asked: rendering.Rendering, media_type: str) -> Response:
    """Say which parameters changed nothing."""
    sentences = [IGNORED.format(", ".join(asked.ignored))] if asked.ignored else []
    sentences += [NO_QUALITY] if media_type == PNG and asked.quality is not None else []
    return payload.add_warning(response, *sentences)


def _rendered(ref: Ref, numbers: tuple[int, ...] = (1,)) -> Response:
    ranges, asked = acceptable(), rendering.parse(query_parameters())
    rows = retrieve.instances(door().archive, principal(), ref)
    if isinstance(ref, InstanceRef) and _is_pdf(rows[0]):
        return _document(rows[0], media_types.select(ranges, DOCUMENT))
    pictures = [(row, number) for row in _images(rows) for number in numbers]
    offer = _select(ranges, pictures)
    wanted = asked.request(offer.media_type)
    if not offer.is_multipart:
        return warn(image(*pictures[0], wanted), asked, offer.media_type)
    if request.method == "HEAD":
        pictures = []
    response = payload.multipart(offer.media_type, _parts(door(), pictures, wanted), is_lazy=len(pictures) > 1)
    return warn(response, asked, offer.media_type)


def _select(ranges: tuple[MediaRange, ...], pictures: list[Picture]) -> Offer:
    """Several images have no single-part form here: animations are not made (PS3.18 8.7.4)."""
    return media_types.select(ranges, IMAGES if len(pictures) == 1 else IMAGES_IN_PARTS)


def _images(rows: list[InstanceRow]) -> list[InstanceRow]:
    return [row for row in rows if row.layout.pixel_offset is not None] or rows


def _parts(here: Door, pictures: list[Picture], wanted: RenderRequest) -> Iterator[Part]:
    for row, number in pictures:
        data = _picture(here, row, number, wanted)
        location = f"{here.url(row.ref)}/frames/{number}/rendered"
        yield Part((("Content-Type", wanted.media_type), ("Content-Location", location)), (data,), len(data))


def _picture(here: Door, row: InstanceRow, number: int, wanted: RenderRequest) -> bytes:
    try:
        return render.rendered(here.archive, row, number, wanted)
    except InvalidRequest as error:  # the parameters were right: it is the instance that is no image
        raise NotAcceptable(error.message) from error


def _is_pdf(row: InstanceRow) -> bool:
    return row.sop_class_uid == ENCAPSULATED_PDF and mime_type(row.ref) in ("", PDF)


def _document(row: InstanceRow, offer: Offer) -> Response:
    body = documents.bulkdata(door().archive, row, ENCAPSULATED_DOCUMENT)
    if offer.is_multipart:
        return payload.multipart(PDF, [Part((("Content-Type", PDF),), body.chunks, body.length)])
    etag = f"{row.digest.hex()[:32]}-{row.revision}-document"
    return payload.single(Single(PDF, body.length, body.chunks, etag=etag))


def _thumbnail(ref: Ref, number: int | None = None) -> Response:
    media_types.select(acceptable(), THUMBNAIL)
    viewport = query_parameters().get("viewport")
    data = render.thumbnail(door().archive, principal(), ref, number)
    response = payload.single(Single(JPEG, len(data), (data,), etag=f"{zlib.crc32(data):08x}-{len(data)}"))
    return payload.add_warning(response, *([IGNORED.format("viewport")] if viewport else []))
