"""Frames and the whole Pixel Data of instances (PS3.18 10.4.1.1.6). Knows HTTP and rows, not pixels.

Frames leave as stored bitstreams, compressed as asked, or as native Explicit VR Little Endian, each in a part of its
own that says which. A frame in the middle of a list, or Pixel Data among others, that turns out to be damaged leaves as
stored, so that it does not cut the others short; Pixel Data that cannot leave even so is left out.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain

from flask import Blueprint, Response

from relais.archive import ahead, documents, retrieve
from relais.archive.retrieve import Body
from relais.dicom import json_model
from relais.dicom.refs import InstanceRef, Ref
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import MediaRange, Offer
from relais.dicomweb.multipart import Part
from relais.errors import InvalidRequest, NodeError, NotAcceptable, NotFound
from relais.index.rows import InstanceRow
from relais.telemetry.line import fields
from relais.web import payload
from relais.web.door import Door, acceptable, door, principal
from relais.web.offers import EXPLICIT, Targets, frame_offers, pixel_offers, targets_for_frames
from relais.web.payload import Single

PIXEL_PATHS = ("7FE00010", "7FE00008", "7FE00009")  # Pixel Data, Float and Double Float Pixel Data
ENCAPSULATED_DOCUMENT = "00420011"
MIME_TYPE_OF_ENCAPSULATED_DOCUMENT = 0x00420012

log = logging.getLogger(__name__)
routes = Blueprint("frames", __name__)


@routes.get("/studies/<study>/series/<series>/instances/<instance>/frames/<numbers>")
def frames(study: str, series: str, instance: str, numbers: str) -> Response:
    """Frames by their numbers from 1, in the order asked."""
    ref, asked = paths.instance_ref(study, series, instance), paths.frame_numbers(numbers)
    ranges, here = acceptable(), door()
    row = retrieve.instances(here.archive, principal(), ref)[0]
    (targets,) = targets_for_frames(here.archive, [row], ranges)
    offer = media_types.select(ranges, frame_offers(row, may_be_single=len(asked) == 1, targets=targets))
    if len(asked) == 1:
        return _one_frame(here, row, asked[0], offer)
    retrieve.frame(here.archive, row, max(asked))  # with the highest one, all of them are known to exist
    own_type = media_types.frame_media_type(offer.transfer_syntax_uid)
    return payload.multipart(own_type, _frame_parts(here, row, asked, offer), is_lazy=True)


@routes.get("/studies/<study>/pixeldata")
def study_pixels(study: str) -> Response:
    """The Pixel Data of all images of a study."""
    return _pixel_data(paths.ref(study))


@routes.get("/studies/<study>/series/<series>/pixeldata")
def series_pixels(study: str, series: str) -> Response:
    """The Pixel Data of all images of a series."""
    return _pixel_data(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/pixeldata")
def instance_pixels(study: str, series: str, instance: str) -> Response:
    """The Pixel Data of one image."""
    return _pixel_data(paths.ref(study, series, instance))


def _pixel_data(ref: Ref) -> Response:
    ranges, here = acceptable(), door()
    found = retrieve.instances(here.archive, principal(), ref)
    rows = [row for row in found if row.layout.pixel_offset is not None]
    if not rows:
        raise NotFound("There is no Pixel Data.")
    if isinstance(ref, InstanceRef):
        return one_value(here, rows[0], ranges)
    targets = targets_for_frames(here.archive, rows, ranges)
    chosen = [(row, offer) for row, each in zip(rows, targets, strict=True) if (offer := choose(row, ranges, each))]
    if not chosen:
        raise NotAcceptable
    parts = payload.begun(part for row, offer in chosen for part in parts_of_many(here, row, offer))
    own_type = media_types.frame_media_type(chosen[0][1].transfer_syntax_uid)
    response = payload.multipart(own_type, parts, is_lazy=True)
    return payload.partial(response) if len(chosen) < len(rows) else response


def choose(row: InstanceRow, ranges: tuple[MediaRange, ...], targets: Targets) -> Offer | None:
    """The form of the Pixel Data of one of many instances, None if there is no acceptable one."""
    try:
        return media_types.select(ranges, pixel_offers(row, may_be_single=False, targets=targets))
    except NotAcceptable:
        return None


def one_value(here: Door, row: InstanceRow, ranges: tuple[MediaRange, ...]) -> Response:
    """The Pixel Data of one instance."""
    (targets,) = targets_for_frames(here.archive, [row], ranges)
    offer = media_types.select(ranges, pixel_offers(row, may_be_single=True, targets=targets))
    own_type = media_types.frame_media_type(offer.transfer_syntax_uid)
    if offer.is_multipart:
        parts = pixel_parts(here, row, offer)
        first = next(parts)  # if it cannot be made, that is an error and not an answer that breaks
        return payload.multipart(own_type, chain((first,), parts), is_lazy=retrieve.frame_count(row) > 1)
    if offer.transfer_syntax_uid != EXPLICIT:
        return _one_frame(here, row, 1, offer)
    (part,) = pixel_parts(here, row, offer)
    return _single(row, part, EXPLICIT)


def pixel_parts(here: Door, row: InstanceRow, offer: Offer) -> Iterator[Part]:
    """The Pixel Data of *row*: one part if it is native, else one for each frame (PS3.18 8.7.3.3).

    Reading: parts of several frames have the locations of their frames, for the one in the metadata would not tell
    them apart.
    """
    count = retrieve.frame_count(row)
    if offer.transfer_syntax_uid != EXPLICIT:
        yield from _frame_parts(here, row, range(1, count + 1), offer)
        return
    path, body = documents.pixel_data(here.archive, row)
    yield Part(_headers(EXPLICIT, f"{here.url(row.ref)}/bulkdata/{path}"), body.chunks, body.length)


def parts_of_many(here: Door, row: InstanceRow, offer: Offer) -> Iterator[Part]:
    """As pixel_parts, for one of many instances: if it cannot be made it leaves as stored, or else not at all.

    What is lost or out of reach is not left out: that breaks the answer off.
    """
    parts = pixel_parts(here, row, offer)
    try:
        first = next(parts)
    except NodeError as error:
        uid = row.ref.sop_instance_uid
        log.warning(fields(event="sent as stored", sop_instance_uid=uid, error=error.message))
        parts = _stored_parts(here, row)
        try:
            first = next(parts)
        except (InvalidRequest, NotAcceptable) as reason:
            log.warning(fields(event="left out", sop_instance_uid=uid, error=reason.message))
            return
    yield first
    yield from parts


def _stored_parts(here: Door, row: InstanceRow) -> Iterator[Part]:
    numbers = range(1, retrieve.frame_count(row) + 1)
    return (_part(here, row, number, _body(here, row, number, None)) for number in numbers)


def _one_frame(here: Door, row: InstanceRow, number: int, offer: Offer) -> Response:
    body = _body(here, row, number, _wanted(row, offer))
    part = _part(here, row, number, body)
    if offer.is_multipart:
        return payload.multipart(media_types.frame_media_type(body.transfer_syntax_uid), [part])
    return _single(row, part, body.transfer_syntax_uid)


def _frame_parts(here: Door, row: InstanceRow, numbers: Sequence[int], offer: Offer) -> Iterator[Part]:
    wanted = _wanted(row, offer)
    if wanted is not None:  # one after the other: pixel workers are few
        return (_part(here, row, number, _frame(here, row, number, wanted)) for number in numbers)
    size_bytes = row.size_bytes // max(1, row.number_of_frames)
    found = ahead.each(here.archive, partial(_frame, here, row, wanted=None), numbers, lambda number: size_bytes)
    return (_part(here, row, number, body) for number, body in zip(numbers, found, strict=True))


def _wanted(row: InstanceRow, offer: Offer) -> str | None:
    """The Transfer Syntax to ask the archive for: None for the stored bitstream."""
    return None if offer.transfer_syntax_uid == row.transfer_syntax_uid else offer.transfer_syntax_uid


def _body(here: Door, row: InstanceRow, number: int, wanted: str | None) -> Body:
    large = retrieve.large_frame(here.archive, row, number, wanted)
    if large is not None:
        return large
    frame = retrieve.frame(here.archive, row, number, wanted)
    return Body(len(frame.data), iter((frame.data,)), frame.transfer_syntax_uid)


def _frame(here: Door, row: InstanceRow, number: int, wanted: str | None) -> Body:
    try:
        return _body(here, row, number, wanted)
    except NodeError as error:
        uid = row.ref.sop_instance_uid
        log.warning(fields(event="sent as stored", sop_instance_uid=uid, frame=number, error=error.message))
        return _body(here, row, number, None)


def _part(here: Door, row: InstanceRow, number: int, body: Body) -> Part:
    headers = _headers(body.transfer_syntax_uid, f"{here.url(row.ref)}/frames/{number}")
    return Part(headers, body.chunks, body.length)


def _headers(transfer_syntax_uid: str, location: str) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", _content_type(transfer_syntax_uid)), ("Content-Location", location))


@lru_cache(maxsize=256)
def _content_type(transfer_syntax_uid: str) -> str:
    own_type = media_types.frame_media_type(transfer_syntax_uid)
    return media_types.format_media_type(own_type, {"transfer-syntax": transfer_syntax_uid})


def _single(row: InstanceRow, part: Part, transfer_syntax_uid: str) -> Response:
    """The one part as an answer of its own."""
    assert part.size_bytes is not None
    headers = dict(part.headers)
    body = Body(part.size_bytes, iter(part.chunks), transfer_syntax_uid)
    return payload.single(single_of(row, body, headers["Content-Type"], headers["Content-Location"]))


def single_of(row: InstanceRow, body: Body, content_type: str, location: str) -> Single:
    """*body*, made of *row*, as an answer of one part."""
    etag = f"{row.digest.hex()[:32]}-{row.revision}-{body.transfer_syntax_uid}-{location.rpartition('/')[2]}"
    return Single(content_type, body.length, body.chunks, etag=etag, location=location)


def mime_type(ref: InstanceRef) -> str:
    """MIME Type of Encapsulated Document (0042,0012), "" if there is none."""
    attributes = retrieve.attributes(door().archive, principal(), ref)
    return (json_model.text(attributes, MIME_TYPE_OF_ENCAPSULATED_DOCUMENT) or "").strip().lower()
