"""WADO-URI: one instance by query parameters (PS3.18 9). Knows HTTP and parameters, not files or pixels.

Without contentType, what the Accept header field names is made if it can be, else image/jpeg for a single-frame image
and application/dicom for everything else (PS3.18 9.1.2.2.1).
"""

from flask import Blueprint, Response

from relais.archive import retrieve
from relais.dicom import json_model
from relais.dicom.refs import InstanceRef
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import DICOM, JPEG, PNG, MediaRange, Offer
from relais.errors import InvalidRequest, NotAcceptable
from relais.index.rows import InstanceRow
from relais.web import rendered, rendering, wado_rs
from relais.web.door import acceptable, door, principal, query_parameters
from relais.web.offers import instance_offers

ROWS, COLUMNS = 0x00280010, 0x00280011

# Known to the standard and not done here: asking for them is refused, never ignored (PS3.18 9.1.2).
REFUSED = ("presentationUID", "presentationSeriesUID")

routes = Blueprint("wado_uri", __name__)


@routes.get("/wado")
def wado() -> Response:
    """One instance, as a file or as an image."""
    asked = query_parameters()
    ref = _instance(asked)
    _refuse(asked)
    ranges = media_types.parse_accept(asked["contentType"]) if asked.get("contentType") else ()
    by_header = () if ranges else acceptable()
    row = retrieve.instances(door().archive, principal(), ref)[0]
    media_type = _media_type(row, ranges, by_header)
    if media_type == DICOM:
        return _file(row, asked)
    return _image(row, asked, media_type)


def _instance(asked: dict[str, str]) -> InstanceRef:
    if asked.get("requestType") != "WADO":
        raise InvalidRequest("requestType must be WADO.")
    missing = [name for name in ("studyUID", "seriesUID", "objectUID") if not asked.get(name)]
    if missing:
        raise InvalidRequest(f"{missing[0]} is missing.")
    return paths.instance_ref(asked["studyUID"], asked["seriesUID"], asked["objectUID"])


def _refuse(asked: dict[str, str]) -> None:
    if asked.get("anonymize"):
        raise InvalidRequest("This node does not de-identify on retrieval (anonymize).")
    refused = [name for name in REFUSED if asked.get(name)]
    if refused:
        raise InvalidRequest(f"{refused[0]} is not supported.")


def _media_type(row: InstanceRow, asked: tuple[MediaRange, ...], by_header: tuple[MediaRange, ...]) -> str:
    is_image = row.layout.pixel_offset is not None
    default = JPEG if is_image and row.number_of_frames <= 1 else DICOM
    names = [default, *(name for name in (JPEG, PNG, DICOM) if name != default and (is_image or name == DICOM))]
    offers = [Offer(name) for name in names]
    if asked:
        return media_types.select(asked, offers).media_type
    try:
        return media_types.select(by_header, offers).media_type
    except NotAcceptable:
        return default


def _file(row: InstanceRow, asked: dict[str, str]) -> Response:
    syntax = asked.get("transferSyntax", "")
    forms = [offer for offer in instance_offers(row, may_be_single=True) if not offer.is_multipart]
    ranges = media_types.parse_accept(f"{DICOM}; transfer-syntax={syntax}" if syntax else DICOM)
    return wado_rs.one_instance(row, media_types.select(ranges, forms))


def _image(row: InstanceRow, asked: dict[str, str], media_type: str) -> Response:
    number = paths.frame_numbers(asked.get("frameNumber") or "1")
    if len(number) != 1:
        raise InvalidRequest("frameNumber must be one number.")
    attributes = retrieve.attributes(door().archive, principal(), row.ref)
    size = [int((json_model.values(attributes, tag) or [1])[0]) for tag in (ROWS, COLUMNS)]
    wanted = rendering.parse_uri(asked, *size)
    return rendered.warn(rendered.image(row, number[0], wanted.request(media_type)), wanted, media_type)
