"""WADO-RS: retrieving studies, series and instances as application/dicom (PS3.18 10.4). Knows HTTP, not files.

An instance as it is stored leaves as the very bytes that are kept. One that should be transcoded but cannot be decoded
leaves as stored, under the Transfer Syntax that it has: nothing is left out in silence, and no other is cut short.

Deviation: that instance then is not in an acceptable Transfer Syntax (PS3.18 8.7.8); alone it is a 406.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace

from flask import Blueprint, Response, request

from relais.archive import retrieve
from relais.archive.retrieve import Body
from relais.dicom.refs import InstanceRef, Ref
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import DICOM, MediaRange, Offer
from relais.dicomweb.multipart import Part
from relais.errors import InvalidRequest, NodeError, NotAcceptable
from relais.index.rows import InstanceRow
from relais.telemetry.line import fields
from relais.web import payload
from relais.web.door import Door, acceptable, door, principal
from relais.web.offers import instance_offers
from relais.web.payload import Single

SMALL_BYTES = 1024 * 1024  # a single instance up to this size is read before the answer begins
LEFT_OUT = "Some instances are left out: they cannot be made in an acceptable Transfer Syntax."

log = logging.getLogger(__name__)
routes = Blueprint("wado_rs", __name__)


@routes.get("/studies/<study>")
def study(study: str) -> Response:
    """All instances of a study."""
    return _retrieve(paths.ref(study))


@routes.get("/studies/<study>/series/<series>")
def series(study: str, series: str) -> Response:
    """All instances of a series."""
    return _retrieve(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>")
def instance(study: str, series: str, instance: str) -> Response:
    """One instance."""
    return _retrieve(paths.ref(study, series, instance))


def one_instance(row: InstanceRow, offer: Offer) -> Response:
    """One instance, in the form that was selected for it."""
    here = door()
    if request.method == "HEAD" and _is_transcoded(row, offer):
        return Response(content_type=_content_type(offer.transfer_syntax_uid))
    body = _whole(here, row, offer)
    if offer.is_multipart:
        return payload.multipart(DICOM, [_part(here, row, body)])
    return payload.single(
        Single(
            _content_type(body.transfer_syntax_uid),
            body.length,
            body.chunks,
            etag=f"{row.digest.hex()[:32]}-{row.revision}-{body.transfer_syntax_uid}",
            location=here.url(row.ref),
            filename=f"{row.ref.sop_instance_uid}.dcm",
        )
    )


def _whole(here: Door, row: InstanceRow, offer: Offer) -> Body:
    """The instance, already read if it is not large, so that damage is an error and not a connection that breaks."""
    try:
        body = retrieve.part10(here.archive, row, offer.transfer_syntax_uid)
    except InvalidRequest as error:  # it was not the request that was wrong
        raise NotAcceptable(error.message) from error
    if body.length > SMALL_BYTES:
        return body
    return replace(body, chunks=iter((b"".join(body.chunks),)))


def _retrieve(ref: Ref) -> Response:
    ranges = acceptable()
    rows = retrieve.instances(door().archive, principal(), ref)
    if isinstance(ref, InstanceRef):
        return one_instance(rows[0], media_types.select(ranges, instance_offers(rows[0], may_be_single=True)))
    chosen = _choose(ranges, rows)
    is_lazy = any(_is_transcoded(row, offer) for row, offer in chosen)
    is_partial = len(chosen) < len(rows)
    response = payload.multipart(DICOM, _parts(door(), chosen), is_lazy=is_lazy, status=206 if is_partial else 200)
    return payload.add_warning(response, *([LEFT_OUT] if is_partial else []))


def _choose(ranges: tuple[MediaRange, ...], rows: list[InstanceRow]) -> list[tuple[InstanceRow, Offer]]:
    """The rows that can be had in an acceptable form, with that form. NotAcceptable if there is none."""
    by_syntax: dict[str, Offer | NotAcceptable] = {}
    for row in rows:
        if row.transfer_syntax_uid not in by_syntax:
            try:
                by_syntax[row.transfer_syntax_uid] = media_types.select(
                    ranges, instance_offers(row, may_be_single=False)
                )
            except NotAcceptable as error:
                by_syntax[row.transfer_syntax_uid] = error
    found = [(row, by_syntax[row.transfer_syntax_uid]) for row in rows]
    chosen = [(row, offer) for row, offer in found if isinstance(offer, Offer)]
    if not chosen:
        raise next(offer for _, offer in found if isinstance(offer, NotAcceptable))
    return chosen


def _parts(here: Door, chosen: list[tuple[InstanceRow, Offer]]) -> Iterator[Part]:
    return (_part(here, row, _body(here, row, offer)) for row, offer in chosen)


def _body(here: Door, row: InstanceRow, offer: Offer) -> Body:
    try:
        return retrieve.part10(here.archive, row, offer.transfer_syntax_uid)
    except NodeError as error:
        uid = row.ref.sop_instance_uid
        log.warning(fields(event="sent as stored", sop_instance_uid=uid, error=error.message))
        return retrieve.part10(here.archive, row)


def _is_transcoded(row: InstanceRow, offer: Offer) -> bool:
    return offer.transfer_syntax_uid != row.transfer_syntax_uid


def _part(here: Door, row: InstanceRow, body: Body) -> Part:
    headers = (("Content-Type", _content_type(body.transfer_syntax_uid)), ("Content-Location", here.url(row.ref)))
    return Part(headers, body.chunks, body.length)


def _content_type(transfer_syntax_uid: str) -> str:
    return media_types.format_media_type(DICOM, {"transfer-syntax": transfer_syntax_uid})
