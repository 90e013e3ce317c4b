"""Frames and other bulk data of an instance (PS3.18 10.4.1.1.5, 10.4.1.1.6). Knows HTTP and rows, not pixels.

Frames leave as stored bitstreams or as native Explicit VR Little Endian, each in a part of its own that says which.
A frame in the middle of a list that cannot be decoded leaves as stored, so that it does not cut the others short.
"""

import logging
from collections.abc import Sequence

from flask import Blueprint, Response

from relais.archive import documents, retrieve
from relais.archive.retrieve import Body, Frame
from relais.dicom import json_model, uids
from relais.dicom.refs import InstanceRef
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import OCTET_STREAM, PDF, Offer
from relais.dicomweb.multipart import Part
from relais.errors import NodeError
from relais.index.rows import InstanceRow
from relais.telemetry.line import fields
from relais.web import payload
from relais.web.door import Door, acceptable, door, principal
from relais.web.offers import frame_offers
from relais.web.payload import Single

PIXEL_DATA = "7FE00010"
ENCAPSULATED_DOCUMENT = "00420011"
MIME_TYPE_OF_ENCAPSULATED_DOCUMENT = 0x00420012

log = logging.getLogger(__name__)
routes = Blueprint("frames", __name__)


@routes.get("/studies/<study>/series/<series>/instances/<instance>/frames/<numbers>")
def frames(study: str, series: str, instance: str, numbers: str) -> Response:
    """Frames by their numbers from 1, in the order asked."""
    ref, asked = paths.instance_ref(study, series, instance), paths.frame_numbers(numbers)
    ranges = acceptable()
    row = retrieve.instances(door().archive, principal(), ref)[0]
    return _frames(row, asked, media_types.select(ranges, frame_offers(row, may_be_single=len(asked) == 1)))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/bulkdata/<path:path>")
def bulkdata(study: str, series: str, instance: str, path: str) -> Response:
    """The value that a BulkDataURI names."""
    ref = paths.instance_ref(study, series, instance)
    ranges = acceptable()
    row = retrieve.instances(door().archive, principal(), ref)[0]
    if path == PIXEL_DATA and _is_framed(row):
        asked = range(1, row.number_of_frames + 1)
        return _frames(row, asked, media_types.select(ranges, frame_offers(row, may_be_single=len(asked) == 1)))
    offer = media_types.select(ranges, _bulk_offers(ref, path))
    body = documents.bulkdata(door().archive, row, path)
    location = f"{door().url(ref)}/bulkdata/{path}"
    if offer.is_multipart:
        headers = (("Content-Type", offer.media_type), ("Content-Location", location))
        return payload.multipart(offer.media_type, [Part(headers, body.chunks, body.length)])
    return payload.single(_single(row, body, offer.media_type, location))


def _is_framed(row: InstanceRow) -> bool:
    """Whether Pixel Data has no value of its own that could leave, only frames."""
    return uids.is_encapsulated(row.transfer_syntax_uid) or uids.is_big_endian(row.transfer_syntax_uid)


def _frames(row: InstanceRow, numbers: Sequence[int], offer: Offer) -> Response:
    """The highest frame is read first: with it, all of them are known to exist."""
    here, wanted = door(), _wanted(row, offer)
    if len(numbers) == 1:
        return _one_frame(here, row, numbers[0], offer)
    retrieve.frame(here.archive, row, max(numbers))
    own_type = media_types.frame_media_type(offer.transfer_syntax_uid)
    parts = (_part(here, row, number, _frame(here, row, number, wanted)) for number in numbers)
    return payload.multipart(own_type, parts, is_lazy=True)


def _one_frame(here: Door, row: InstanceRow, number: int, offer: Offer) -> Response:
    frame = retrieve.frame(here.archive, row, number, _wanted(row, offer))
    part = _part(here, row, number, frame)
    if offer.is_multipart:
        return payload.multipart(media_types.frame_media_type(frame.transfer_syntax_uid), [part])
    body = Body(len(frame.data), iter((frame.data,)), frame.transfer_syntax_uid)
    (_, content_type), (_, location) = part.headers
    return payload.single(_single(row, body, content_type, location))


def _wanted(row: InstanceRow, offer: Offer) -> str | None:
    """The Transfer Syntax to ask the archive for: None for the stored bitstream."""
    return None if offer.transfer_syntax_uid == row.transfer_syntax_uid else offer.transfer_syntax_uid


def _frame(here: Door, row: InstanceRow, number: int, wanted: str | None) -> Frame:
    try:
        return retrieve.frame(here.archive, row, number, wanted)
    except NodeError as error:
        uid = row.ref.sop_instance_uid
        log.warning(fields(event="sent as stored", sop_instance_uid=uid, frame=number, error=error.message))
        return retrieve.frame(here.archive, row, number)


def _part(here: Door, row: InstanceRow, number: int, frame: Frame) -> Part:
    syntax = frame.transfer_syntax_uid
    content_type = media_types.format_media_type(media_types.frame_media_type(syntax), {"transfer-syntax": syntax})
    location = f"{here.url(row.ref)}/frames/{number}"
    headers = (("Content-Type", content_type), ("Content-Location", location))
    return Part(headers, (frame.data,), len(frame.data))


def _bulk_offers(ref: InstanceRef, path: str) -> tuple[Offer, ...]:
    """PDF documents under their own type; nothing else that a stored Data Set calls itself is believed."""
    names = [OCTET_STREAM]
    if path == ENCAPSULATED_DOCUMENT and mime_type(ref) == PDF:
        names.insert(0, PDF)
    return tuple(Offer(name, is_multipart=multi) for multi in (True, False) for name in names)


def mime_type(ref: InstanceRef) -> str:
    """MIME Type of Encapsulated Document (0042,0012), "" if there is none."""
    attributes = retrieve.attributes(door().archive, principal(), ref)
    return (json_model.text(attributes, MIME_TYPE_OF_ENCAPSULATED_DOCUMENT) or "").strip().lower()


def _single(row: InstanceRow, body: Body, content_type: str, location: str) -> Single:
    etag = f"{row.digest.hex()[:32]}-{row.revision}-{body.transfer_syntax_uid}-{location.rpartition('/')[2]}"
    return Single(content_type, body.length, body.chunks, etag=etag, location=location)
