"""WADO-RS: retrieving studies, series and instances as application/dicom or zip (PS3.18 10.4). Knows HTTP, not files.

An instance as it is stored leaves as the very bytes that are kept. One of many that should be transcoded but cannot be
when its turn comes (it is damaged, or no pixel worker is free in time) leaves as stored, under the Transfer Syntax that
it has: nothing is left out in silence, and no other is cut short. What is known beforehand to have no acceptable form
is left out, and the answer says so.

Deviation: that instance is not in an acceptable Transfer Syntax (PS3.18 8.7.8); alone it is an error.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from flask import Blueprint, Response, request

from relais.archive import retrieve, zipped
from relais.archive.readers import READERS
from relais.archive.retrieve import Body
from relais.dicom.refs import InstanceRef, Ref
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import DICOM, OCTET_STREAM, ZIP, MediaRange, Offer
from relais.dicomweb.multipart import Part
from relais.errors import InvalidRequest, NodeError, NotAcceptable
from relais.index.rows import InstanceRow
from relais.telemetry.line import fields
from relais.web import bulkdata, payload
from relais.web.door import Door, acceptable, door, principal
from relais.web.offers import NEVER_SENT, Targets, instance_offers, targets_for_instances, zip_offers
from relais.web.payload import Single

SMALL_BYTES = 640 * 1024  # a single instance up to this size is read before the answer begins
BULK = Offer(OCTET_STREAM, is_multipart=True)

log = logging.getLogger(__name__)
routes = Blueprint("wado_rs", __name__)


class _Chosen(NamedTuple):
    """One instance in the form that was selected for it."""

    row: InstanceRow
    transfer_syntax_uid: str

    @property
    def is_stored(self) -> bool:
        return self.transfer_syntax_uid == self.row.transfer_syntax_uid


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
    """One instance as application/dicom, in the form that was selected for it."""
    here, syntax = door(), offer.transfer_syntax_uid
    is_made = request.method != "HEAD" or _Chosen(row, syntax).is_stored
    if offer.is_multipart and not is_made:
        return payload.multipart(DICOM, iter(()), is_lazy=True)
    etag = f"{row.digest.hex()[:32]}-{row.revision}-{syntax}"
    filename = f"{row.ref.sop_instance_uid}.dcm"
    alone = Single(_content_type(syntax), 0, (), etag, here.url(row.ref), filename)
    if not is_made:
        return payload.unmade(alone)
    if not offer.is_multipart and payload.is_unchanged(etag):
        return payload.not_modified(etag)
    body = _whole(here, row, syntax)
    if offer.is_multipart:
        return payload.multipart(DICOM, [_part(here, row, body)])
    return payload.single(replace(alone, size_bytes=body.length, chunks=body.chunks))


def file_offers(row: InstanceRow, ranges: tuple[MediaRange, ...]) -> tuple[Offer, ...]:
    """What one instance can be had as, if *ranges* are what is acceptable."""
    (targets,) = targets_for_instances(door().archive, [row], ranges)
    return instance_offers(row, may_be_single=True, targets=targets)


def _whole(here: Door, row: InstanceRow, transfer_syntax_uid: str) -> Body:
    """The instance, already read if it is not large, so that damage is an error and not a connection that breaks."""
    try:
        body = retrieve.part10(here.archive, row, transfer_syntax_uid)
    except InvalidRequest as error:  # it was not the request that was wrong
        raise NotAcceptable(error.message) from error
    if body.length > SMALL_BYTES:
        return body
    return replace(body, chunks=iter((b"".join(body.chunks),)))


def _retrieve(ref: Ref) -> Response:
    ranges, here = acceptable(), door()
    rows = retrieve.instances(here.archive, principal(), ref)
    targets = targets_for_instances(here.archive, rows, ranges)
    is_one = isinstance(ref, InstanceRef)
    in_dicom = [instance_offers(row, may_be_single=is_one, targets=each) for row, each in _pairs(rows, targets)]
    in_zip = [zip_offers(row, targets=each) for row, each in _pairs(rows, targets)]
    first = media_types.select(ranges, (*_distinct(in_dicom), *_distinct(in_zip), BULK))
    if first == BULK:
        return bulkdata.every_value(rows, ranges)
    if first.media_type == ZIP:
        return _zip(here, ref, _choose(ranges, rows, in_zip), len(rows))
    if is_one:
        return one_instance(rows[0], first)
    return _many(here, _choose(ranges, rows, in_dicom), len(rows))


def _many(here: Door, chosen: list[_Chosen], count: int) -> Response:
    """Instances as parts, with the length of the whole if none has to be transcoded."""
    is_lazy = not all(one.is_stored for one in chosen)
    parts = _parts(here, chosen, _bodies(here, chosen, is_lazy=is_lazy))
    response = payload.multipart(DICOM, parts, is_lazy=is_lazy)
    return payload.partial(response) if len(chosen) < count else response


def _zip(here: Door, ref: Ref, chosen: list[_Chosen], count: int) -> Response:
    names = zipped.names(here.archive, principal(), [one.row for one in chosen])
    is_lazy = not all(one.is_stored for one in chosen)
    named = zip(names, chosen, _bodies(here, chosen, is_lazy=is_lazy), strict=True)
    files = (zipped.File(name, one.row.stored_at, body) for name, one, body in named)
    response = Response(READERS.one_more(zipped.chunks(files)), content_type=ZIP, direct_passthrough=True)
    sizes = (one.row.size_bytes for one in chosen)
    if not is_lazy and (length := zipped.length(zip(names, sizes, strict=True))):
        response.content_length = length
    response.headers["Cache-Control"] = payload.NO_CACHE
    response.headers["Content-Disposition"] = f'attachment; filename="{_last_uid(ref)}.zip"'
    response.headers["Content-Location"], response.headers["Vary"] = here.url(ref), "Accept"
    return payload.partial(response) if len(chosen) < count else response


def _last_uid(ref: Ref) -> str:
    return paths.format_ref(ref).rpartition("/")[2]


def _pairs(rows: Sequence[InstanceRow], targets: Sequence[Targets]) -> Iterator[tuple[InstanceRow, Targets]]:
    return zip(rows, targets, strict=True)


def _distinct(offers: Iterable[tuple[Offer, ...]]) -> list[Offer]:
    """Every offer once: instances of one Transfer Syntax have the same."""
    return [offer for group in dict.fromkeys(offers) for offer in group]


def _choose(
    ranges: tuple[MediaRange, ...], rows: list[InstanceRow], offers: Sequence[tuple[Offer, ...]]
) -> list[_Chosen]:
    """The rows that can be had in an acceptable form, with its Transfer Syntax."""
    selected: dict[tuple[Offer, ...], str] = {}
    for group in dict.fromkeys(offers):
        try:
            selected[group] = media_types.select(ranges, group).transfer_syntax_uid
        except NotAcceptable:
            selected[group] = ""
    found = (_Chosen(row, selected[group]) for row, group in zip(rows, offers, strict=True))
    return [one for one in found if one.transfer_syntax_uid]


def _bodies(here: Door, chosen: list[_Chosen], *, is_lazy: bool) -> Iterable[Body]:
    """What is sent of each. *is_lazy* ones are made when their turn comes."""
    if is_lazy:
        return (_body(here, one) for one in chosen)
    return retrieve.part10s(here.archive, [one.row for one in chosen])


def _parts(here: Door, chosen: list[_Chosen], bodies: Iterable[Body]) -> Iterator[Part]:
    begun = () if request.method == "HEAD" else chosen[:1]
    pairs = zip(chosen, bodies, strict=True)
    return (_part(here, one.row, _begun(body) if one in begun else body) for one, body in pairs)


def _begun(body: Body) -> Body:
    """*body*, of which the beginning is read: what cannot be had now is an error and not a connection that breaks."""
    return replace(body, chunks=chain((next(body.chunks, b""),), body.chunks))


def _body(here: Door, one: _Chosen) -> Body:
    try:
        return retrieve.part10(here.archive, one.row, one.transfer_syntax_uid)
    except NodeError as error:
        if one.row.transfer_syntax_uid in NEVER_SENT:
            raise
        uid = one.row.ref.sop_instance_uid
        log.warning(fields(event="sent as stored", sop_instance_uid=uid, error=error.message))
        return retrieve.part10(here.archive, one.row)


def _part(here: Door, row: InstanceRow, body: Body) -> Part:
    headers = (("Content-Type", _content_type(body.transfer_syntax_uid)), ("Content-Location", here.url(row.ref)))
    return Part(headers, body.chunks, body.length)


@lru_cache(maxsize=256)
def _content_type(transfer_syntax_uid: str) -> str:
    return media_types.format_media_type(DICOM, {"transfer-syntax": transfer_syntax_uid})
