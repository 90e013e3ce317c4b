"""WADO-URI: one instance by query parameters (PS3.18 9). Knows HTTP and parameters, not files or pixels.

What contentType names is made if it can be, else what the Accept header field names (PS3.18 8.7.8.1). Without
contentType the last resort is image/jpeg for a single-frame image, text/html for a report, the document or video
itself, and application/dicom for everything else (PS3.18 9.1.2.2.1).

A file is application/dicom without its Transfer Syntax, which is forbidden here (PS3.18 8.7.3.5.2): it tells by itself.

A parameter that is not known is ignored, and told (PS3.18 8.3); one that is written like anonymize, such as Anonymize
or anonymise, is a 400.

Reading: a parameter without a value was not given; forms and templates leave them so.

Deviation: frameNumber=1 is taken for an image of one frame, too; PS3.18 9.5.2 wants a 400.
"""

from collections.abc import Sequence

from flask import Blueprint, Response, request

from relais.archive import deidentified, presented, retrieve
from relais.dicom import json_model, uids
from relais.dicom.refs import InstanceRef
from relais.dicomweb import media_types, paths
from relais.dicomweb.media_types import DICOM, MediaRange, Offer
from relais.errors import InvalidRequest, NotAcceptable
from relais.index.rows import InstanceRow
from relais.web import payload, pictures, readable, rendering, unknown, wado_rs
from relais.web.door import acceptable, door, principal, query_parameters
from relais.web.offers import EXPLICIT
from relais.web.payload import Single
from relais.web.pictures import GIF, STILL, Picture
from relais.web.rendered import is_state, state_pictures, unused
from relais.web.rendering import Rendering

ROWS, COLUMNS = 0x00280010, 0x00280011

OF_IMAGES = (
    "frameNumber",
    "imageAnnotation",
    "annotation",
    "imageQuality",
    "rows",
    "columns",
    "region",
    "windowCenter",
    "windowWidth",
    "presentationUID",
    "presentationSeriesUID",
)
OF_FILES = ("transferSyntax",)
OF_ALL = ("requestType", "studyUID", "seriesUID", "objectUID", "contentType", "anonymize", *unknown.EVERYWHERE)
KNOWN = frozenset({*OF_ALL, *OF_IMAGES, *OF_FILES})

routes = Blueprint("wado_uri", __name__)


@routes.get("/wado")
def wado() -> Response:
    """One instance, as a file, as an image, or as what else people can look at."""
    asked = query_parameters()
    return unknown.name(_answer(asked), asked.keys() - KNOWN)


def _answer(asked: dict[str, str]) -> Response:
    ref = _instance(asked)
    is_anonymous = _is_anonymous(asked)
    wanted = asked.get("contentType", "")
    ranges = media_types.acceptable(request.headers.get("Accept", ""), wanted) if wanted.strip() else ()
    row = _row(ref, is_anonymous=is_anonymous)
    media_type = _media_type(row, ranges, () if ranges else acceptable())
    if media_type == DICOM:
        return unused(_anonymous_file(row, asked) if is_anonymous else _file(row, asked), *OF_IMAGES)
    if media_type in STILL:
        if is_anonymous:
            _require_no_text(row, asked)
        return unused(_image(row, asked, media_type), *OF_FILES)
    if is_anonymous:
        raise NotAcceptable("Only images and files are made anonymous.")
    found = readable.answer(row, media_types.parse_accept(media_type))
    assert found is not None
    return unused(found, *OF_IMAGES, *OF_FILES)


def _instance(asked: dict[str, str]) -> InstanceRef:
    if asked.get("requestType") != "WADO":
        raise InvalidRequest("requestType must be WADO.")
    missing = [name for name in ("studyUID", "seriesUID", "objectUID") if not asked.get(name)]
    if missing:
        raise InvalidRequest(f"{missing[0]} is missing.")
    return paths.instance_ref(asked["studyUID"], asked["seriesUID"], asked["objectUID"])


def _is_anonymous(asked: dict[str, str]) -> bool:
    """PS3.18 9.4.1.2.1. What may be meant for it is not ignored: that would tell who it is."""
    strange = [name for name in asked if "anonymi" in name.casefold() and name != "anonymize"]
    if strange:
        raise InvalidRequest("A parameter is written like anonymize, and is not it.")
    if not asked.get("anonymize"):
        return False
    if asked["anonymize"] != "yes":
        raise InvalidRequest("anonymize must be yes.")
    return True


def _row(ref: InstanceRef, *, is_anonymous: bool) -> InstanceRow:
    here, who = door().archive, principal()
    return deidentified.instance(here, who, ref) if is_anonymous else retrieve.instances(here, who, ref)[0]


def _require_no_text(row: InstanceRow, asked: dict[str, str]) -> None:
    """What is written into a picture would undo that it is anonymous: names, but also hospital, dates and descriptions.

    A presentation state brings text of its own, which may say anything, and images that nobody has looked at.
    """
    if asked.get("imageAnnotation") or asked.get("annotation"):
        raise InvalidRequest("An image cannot be anonymous and annotated.")
    if is_state(row) or asked.get("presentationUID") or asked.get("presentationSeriesUID"):
        raise NotAcceptable("An image is not anonymous with a presentation state, whose text may say who it is.")


def _media_type(row: InstanceRow, asked: tuple[MediaRange, ...], by_header: tuple[MediaRange, ...]) -> str:
    offers = [Offer(name) for name in _made_of(row)]
    if asked:
        return media_types.select(asked, offers).media_type
    try:
        return media_types.select(by_header, offers).media_type
    except NotAcceptable:
        return offers[0].media_type


def _made_of(row: InstanceRow) -> Sequence[str]:
    """The media types of *row*, the default one first."""
    if names := readable.media_types_of(row):
        return (*names, DICOM)
    if is_state(row):
        return (DICOM, *STILL)
    if row.layout.pixel_offset is None:
        return (DICOM,)
    return (*STILL, DICOM) if row.number_of_frames <= 1 else (DICOM, *STILL)


def _file(row: InstanceRow, asked: dict[str, str]) -> Response:
    ranges = _syntax(asked)
    forms = [offer for offer in wado_rs.file_offers(row, ranges) if not offer.is_multipart]
    response = wado_rs.one_instance(row, media_types.select(ranges, forms))
    response.content_type = DICOM
    return response


def _syntax(asked: dict[str, str]) -> tuple[MediaRange, ...]:
    """A list, in which the first one is as good as the others (PS3.18 8.7.3.6)."""
    syntaxes = [syntax.strip() for syntax in asked.get("transferSyntax", "").split(",") if syntax.strip()]
    return tuple(MediaRange(DICOM, transfer_syntax_uid=_uid(syntax)) for syntax in syntaxes) or (MediaRange(DICOM),)


def _uid(syntax: str) -> str:
    if syntax != media_types.AS_STORED and not uids.is_valid(syntax):
        raise InvalidRequest("transferSyntax must be UIDs or *.")
    return syntax


def _anonymous_file(row: InstanceRow, asked: dict[str, str]) -> Response:
    """Always uncompressed: compressed bitstreams have comments of their own."""
    media_types.select(_syntax(asked), (Offer(DICOM, transfer_syntax_uid=EXPLICIT),))
    if request.method == "HEAD":
        return payload.unmade(Single(DICOM, 0, ()))
    made = deidentified.part10(door().archive, row)
    name = f"{made.sop_instance_uid}.dcm"
    return payload.single(Single(DICOM, made.body.length, made.body.chunks, filename=name))


def _image(row: InstanceRow, asked: dict[str, str], media_type: str) -> Response:
    if is_state(row):
        wanted = rendering.parse_uri_state(asked)
        return pictures.warn(pictures.still(state_pictures(row)[0], wanted.request(media_type)), wanted, media_type)
    number = _frame_number(row, asked)
    if asked.get("presentationUID") or asked.get("presentationSeriesUID"):
        wanted = rendering.parse_uri_state(asked)
        picture = Picture(row, number or 1, presented.applied_to(door().archive, _state(row, asked), row.ref))
        return pictures.warn(pictures.still(picture, wanted.request(media_type)), wanted, media_type)
    return _frame(row, number, _parameters(row, asked), media_type)


def _frame(row: InstanceRow, number: int | None, wanted: Rendering, media_type: str) -> Response:
    """Frame *number*; without one all in motion where that can be, else the first."""
    chosen = pictures.of([row]) if number is None and media_type == GIF else [Picture(row, number or 1)]
    return pictures.answer(chosen, wanted, media_types.parse_accept(media_type), (Offer(media_type),))


def _parameters(row: InstanceRow, asked: dict[str, str]) -> Rendering:
    attributes = retrieve.attributes(door().archive, principal(), row.ref)
    size = [int((json_model.values(attributes, tag) or [1])[0]) for tag in (ROWS, COLUMNS)]
    return rendering.parse_uri(asked, *size)


def _frame_number(row: InstanceRow, asked: dict[str, str]) -> int | None:
    """PS3.18 9.5.2: one number, of a frame that there is; None where none is asked for."""
    if not asked.get("frameNumber"):
        return None
    numbers = paths.frame_numbers(asked["frameNumber"])
    if len(numbers) != 1 or numbers[0] > max(row.number_of_frames, 1):
        raise InvalidRequest("frameNumber must be the number of one frame of the instance.")
    return numbers[0]


def _state(row: InstanceRow, asked: dict[str, str]) -> InstanceRow:
    """The presentation state that was named; it is of the same study (PS3.18 9.5.1.2.7)."""
    missing = [name for name in ("presentationSeriesUID", "presentationUID") if not asked.get(name)]
    if missing:
        raise InvalidRequest("presentationUID and presentationSeriesUID go together.")
    ref = paths.instance_ref(row.ref.study_instance_uid, asked["presentationSeriesUID"], asked["presentationUID"])
    found = retrieve.instances(door().archive, principal(), ref)[0]
    if not is_state(found):
        raise InvalidRequest("presentationUID is not a presentation state that can be applied here.")
    return found
