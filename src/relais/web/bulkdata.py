"""Bulk data: the values that BulkDataURIs name, one of them or all (PS3.18 10.4.1.1.5). Knows HTTP, not Data Sets."""

from collections.abc import Iterator, Sequence

from flask import Blueprint, Response

from relais.archive import documents, retrieve
from relais.dicom.refs import InstanceRef, Ref
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import OCTET_STREAM, PDF, MediaRange, Offer
from relais.dicomweb.multipart import Part
from relais.errors import NotAcceptable, NotFound
from relais.index.rows import InstanceRow
from relais.web import frames, payload
from relais.web.door import Door, acceptable, door, principal
from relais.web.frames import ENCAPSULATED_DOCUMENT, PIXEL_PATHS
from relais.web.offers import targets_for_frames

routes = Blueprint("bulkdata", __name__)


@routes.get("/studies/<study>/bulkdata")
def study(study: str) -> Response:
    """All bulk data of a study."""
    return _of(paths.ref(study))


@routes.get("/studies/<study>/series/<series>/bulkdata")
def series(study: str, series: str) -> Response:
    """All bulk data of a series."""
    return _of(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/bulkdata")
def instance(study: str, series: str, instance: str) -> Response:
    """All bulk data of an instance."""
    return _of(paths.ref(study, series, instance))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/bulkdata/<path:path>")
def value(study: str, series: str, instance: str, path: str) -> Response:
    """The value that a BulkDataURI names; its tags may be written in small letters."""
    ref, ranges, here = paths.instance_ref(study, series, instance), acceptable(), door()
    path = path.upper()
    row = retrieve.instances(here.archive, principal(), ref)[0]
    if path in PIXEL_PATHS and row.layout.pixel_offset is not None:
        return frames.one_value(here, row, ranges)
    offer = media_types.select(ranges, _offers(ref, path))
    body = documents.bulkdata(here.archive, row, path)
    location = _location(here, ref, path)
    if offer.is_multipart:
        headers = (("Content-Type", offer.media_type), ("Content-Location", location))
        return payload.multipart(offer.media_type, [Part(headers, body.chunks, body.length)])
    return payload.single(frames.single_of(row, body, offer.media_type, location))


def every_value(rows: list[InstanceRow], ranges: tuple[MediaRange, ...]) -> Response:
    """All bulk data of *rows*, a part for each value (PS3.18 10.4.3.3.5). Raises NotFound if there is none."""
    here, has_left_out = door(), False
    targets = targets_for_frames(here.archive, rows, ranges)
    chosen: list[tuple[InstanceRow, str, Offer]] = []
    for row, each, document in zip(rows, targets, documents.metadata(here.archive, rows), strict=True):
        for path in documents.bulk_paths(document):
            is_pixels = path in PIXEL_PATHS
            offer = frames.choose(row, ranges, each) if is_pixels else _choose(row.ref, path, ranges)
            has_left_out = has_left_out or offer is None
            chosen += [(row, path, offer)] if offer else []
    if not chosen:
        raise NotAcceptable if has_left_out else NotFound("There is no bulk data.")
    own_type = chosen[0][2].media_type
    response = payload.multipart(own_type, payload.begun(_parts(here, chosen)), is_lazy=True)
    return payload.partial(response) if has_left_out else response


def _of(ref: Ref) -> Response:
    ranges = acceptable()
    return every_value(retrieve.instances(door().archive, principal(), ref), ranges)


def _choose(ref: InstanceRef, path: str, ranges: tuple[MediaRange, ...]) -> Offer | None:
    try:
        return media_types.select(ranges, [offer for offer in _offers(ref, path) if offer.is_multipart])
    except NotAcceptable:
        return None


def _offers(ref: InstanceRef, path: str) -> tuple[Offer, ...]:
    """PDF documents under their own type; nothing else that a stored Data Set calls itself is believed."""
    names = [OCTET_STREAM]
    if path == ENCAPSULATED_DOCUMENT and frames.mime_type(ref) == PDF:
        names.insert(0, PDF)
    return tuple(Offer(name, is_multipart=multi) for multi in (True, False) for name in names)


def _parts(here: Door, chosen: Sequence[tuple[InstanceRow, str, Offer]]) -> Iterator[Part]:
    pixel_parts = frames.parts_of_many if len(chosen) > 1 else frames.pixel_parts
    for row, path, offer in chosen:
        if path in PIXEL_PATHS:
            yield from pixel_parts(here, row, offer)
            continue
        body = documents.bulkdata(here.archive, row, path)
        headers = (("Content-Type", offer.media_type), ("Content-Location", _location(here, row.ref, path)))
        yield Part(headers, body.chunks, body.length)


def _location(here: Door, ref: InstanceRef, path: str) -> str:
    return f"{here.url(ref)}/bulkdata/{path}"
