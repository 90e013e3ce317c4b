"""Thumbnails of a study, series, instance or frame (PS3.18 10.4.1.1.4). Knows HTTP and parameters, not pixels."""

import zlib
from dataclasses import replace

from flask import Blueprint, Response, request

from relais.archive import render
from relais.archive.render import THUMBNAIL
from relais.dicom.refs import Ref
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import JPEG, PNG, Offer
from relais.errors import InvalidRequest, NotAcceptable
from relais.web import payload, rendering
from relais.web.door import acceptable, door, principal, query_parameters
from relais.web.payload import Single
from relais.web.pictures import GIF

OFFERS = (Offer(JPEG), Offer(PNG), Offer(GIF))

routes = Blueprint("thumbnails", __name__)


@routes.get("/studies/<study>/thumbnail")
def study(study: str) -> Response:
    """A small image that stands for a study."""
    return _thumbnail(paths.ref(study))


@routes.get("/studies/<study>/series/<series>/thumbnail")
def series(study: str, series: str) -> Response:
    """A small image that stands for a series."""
    return _thumbnail(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/thumbnail")
def instance(study: str, series: str, instance: str) -> Response:
    """A small image that stands for an instance."""
    return _thumbnail(paths.ref(study, series, instance))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/frames/<numbers>/thumbnail")
def frame(study: str, series: str, instance: str, numbers: str) -> Response:
    """A small image of one frame."""
    asked = paths.frame_numbers(numbers)
    if len(asked) > 1:
        raise InvalidRequest("A thumbnail shows one frame.")
    return _thumbnail(paths.instance_ref(study, series, instance), asked[0])


def _thumbnail(ref: Ref, number: int | None = None) -> Response:
    offer = media_types.select(acceptable(), OFFERS)
    wanted = replace(THUMBNAIL, media_type=offer.media_type)
    if viewport := rendering.parse_thumbnail(query_parameters()):
        wanted = replace(wanted, viewport=viewport, max_size=None)
    try:
        data = render.thumbnail(door().archive, principal(), ref, number, wanted)
    except InvalidRequest as error:  # the parameters were right: it is the instance that is no image
        raise NotAcceptable(error.message) from error
    etag = f"{zlib.crc32(data):08x}-{len(data)}"
    location = door().public_url + request.path
    return payload.single(Single(offer.media_type, len(data), (data,), etag=etag, location=location))
