"""What this door can do: the Retrieve Capabilities transaction (PS3.18 8.9) and the table behind it. Knows routes.

The resources come from the very map that routes requests, so that none is missing here and none is made up; what the
kinds of resources take and make comes from what their views negotiate with.

Reading: the target of OPTIONS is the base URI; here it may be any resource, and what is below it is described.
A preflight of CORS is not answered with a description: browsers do not look at it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from flask import Flask, Response, current_app, request
from werkzeug.routing import Rule

from relais.dicom.attributes import TABLE, Level, Use, levels_above
from relais.dicomweb import media_types, params, wadl
from relais.dicomweb.media_types import DICOM, OCTET_STREAM, ZIP, Offer, frame_media_types
from relais.dicomweb.wadl import Method, Parameter, Resource
from relais.web import metadata, payload, qido, stow, stow_metadata, thumbnails
from relais.web.door import ROOT, acceptable, door
from relais.web.pictures import STILL
from relais.web.readable import DOCUMENTS, HTML, PLAIN, RTF, XML

OFFERS = (Offer(wadl.MEDIA_TYPE), Offer(media_types.JSON))

# How the variables of routes are called in the standard's templates (PS3.18 8.2).
TEMPLATES = {
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
    "numbers": "FrameList",
    "path": "BulkdataReference",
}
_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
STORE_FAILURES = (400, 403, 406, 408, 409, 411, 413, 415, 503, 507)
OURS = "-"  # instead of a clause: an extension
LEVELS = {"patients": Level.PATIENT, "studies": Level.STUDY, "series": Level.SERIES, "instances": Level.IMAGE}


@dataclass(frozen=True, slots=True)
class Kind:
    """What resources of one kind have in common: *clause* of PS3.18, media types, parameters, statuses."""

    clause: str
    takes: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (200,)
    failures: tuple[int, ...] = (400, 404, 406, 410, 412, 503)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One method on one resource: *template* is like "studies/{StudyInstanceUID}/series"."""

    template: str
    kind: str
    method: Method


def register(app: Flask) -> None:
    """Make *app* describe its resources of DICOMweb when it is asked by OPTIONS."""
    plain = app.make_default_options_response

    def options() -> Response:
        response = plain()
        is_preflight = "Access-Control-Request-Method" in request.headers
        return response if is_preflight or not request.path.startswith(ROOT) else _described(response)

    app.make_default_options_response = options  # type: ignore[method-assign]
    app.add_url_rule(f"{ROOT}/", "capabilities", options, methods=["OPTIONS"])


def transactions(app: Flask) -> list[Transaction]:
    """Every method on every resource of DICOMweb that *app* routes, in the order of their paths."""
    rules = (rule for rule in app.url_map.iter_rules() if rule.rule.startswith(f"{ROOT}/"))
    found = [one for rule in rules for one in _transactions(app, rule)]
    return sorted(found, key=lambda one: (one.template, one.method.name))


@cache
def kinds() -> dict[str, Kind]:
    """Every kind of resource, by the last fixed segment of its path or by what is done to it."""
    frames = (OCTET_STREAM, *frame_media_types())
    dicom = (_in_parts(DICOM), DICOM)
    storable = (*dicom, *(each for name in sorted(stow_metadata.METADATA) for each in (_in_parts(name), name)))
    readable = (HTML, PLAIN, XML, RTF, *dict.fromkeys(DOCUMENTS.values()))
    shown = (*STILL, *readable, *(each for each in frame_media_types() if each.startswith("video/")))
    rendering = ("quality", "viewport", "window", "iccprofile", "annotation")
    return {
        "search": Kind("10.6", makes=_names(qido.OFFERS), failures=(400, 406, 412, 413, 503)),
        "store": Kind("10.5", storable, _names(stow.OFFERS), (), (200, 202), STORE_FAILURES),
        "delete": Kind(OURS, (), (), ("reason",), (204,), (400, 403, 404, 410, 412, 503)),
        "retrieve": Kind("10.4", makes=(*dicom, ZIP), statuses=(200, 206)),
        "metadata": Kind("10.4", makes=_names(metadata.OFFERS)),
        "frames": Kind("10.4", makes=(*map(_in_parts, frames), *frames), statuses=(200, 206)),
        "bulkdata": Kind("10.4", makes=(_in_parts(OCTET_STREAM), OCTET_STREAM), statuses=(200, 206)),
        "pixeldata": Kind("10.4", makes=(*map(_in_parts, frames),), statuses=(200, 206)),
        "rendered": Kind("10.4", makes=(*shown, *map(_in_parts, shown)), parameters=rendering),
        "thumbnail": Kind("10.4", makes=_names(thumbnails.OFFERS), parameters=("viewport",)),
    }


def kind_of(rule: str, method: str) -> str | None:
    """Which of `kinds` it is to do *method* on what *rule* routes, None where it is no transaction of DICOMweb."""
    if not rule.startswith(f"{ROOT}/") or method not in {"GET", "HEAD", "POST", "DELETE"}:
        return None
    segments = _segments(rule)
    return _kind_of("GET" if method == "HEAD" else method, segments) if segments else None


def _described(response: Response) -> Response:
    """*response* with the description of the resource that was asked for and of those below it."""
    offer = media_types.select(acceptable(), OFFERS)
    asked = _segments(request.url_rule.rule) if request.url_rule else []
    tree = Resource("")
    for one in transactions(current_app):
        tree.at(one.template.split("/")).methods.append(one.method)
    target = tree.at(asked)
    if asked:
        root = wadl.document(door().service, [Resource("/".join(asked), target.methods, target.children)])
    else:
        root = wadl.document(door().service, target.children.values())
    is_xml = offer.media_type == wadl.MEDIA_TYPE
    response.data = wadl.as_xml(root) if is_xml else payload.json_text(wadl.as_json(root))
    response.content_type = offer.media_type
    response.allow.add("OPTIONS")
    return response


def _transactions(app: Flask, rule: Rule) -> Iterator[Transaction]:
    segments = _segments(rule.rule)
    for name in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        kind = _kind_of(name, segments)
        about = kinds()[kind]
        title = (app.view_functions[rule.endpoint].__doc__ or "").partition("\n")[0]
        parameters = _search_parameters(LEVELS[segments[-1]]) if kind == "search" else map(Parameter, about.parameters)
        identifier = f"{name}.{rule.endpoint}"
        method = Method(
            name, identifier, title, tuple(parameters), about.takes, about.makes, about.statuses, about.failures
        )
        yield Transaction("/".join(segments), kind, method)


def _segments(rule: str) -> list[str]:
    """The segments of a rule below the base URI, its variables as the standard calls them."""
    path = _VARIABLE.sub(lambda found: "{" + TEMPLATES[found[1]] + "}", rule.removeprefix(ROOT))
    return [segment for segment in path.split("/") if segment]


def _kind_of(method: str, segments: list[str]) -> str:
    if method != "GET":
        return {"POST": "store", "DELETE": "delete"}[method]
    if segments[-1] in LEVELS:
        return "search"
    if not segments[-1].startswith("{"):
        return segments[-1]
    return segments[-2] if segments[-2] not in LEVELS else "retrieve"


def _search_parameters(level: Level) -> Iterator[Parameter]:
    """What a search at *level* can be asked (PS3.18 tables 8.3.4-1, 10.6.1-5): all attributes that it matches too."""
    yield Parameter("limit", type="xs:nonNegativeInteger")
    yield Parameter("offset", type="xs:nonNegativeInteger", default="0")
    for switch in params.SWITCHES:
        yield Parameter(switch, type="xs:boolean", options=("true", "false"), default="false")
    yield Parameter("includefield", is_repeating=True)
    for row in TABLE:
        if row.level in (*levels_above(level), level) and (row.is_matched or row.use is Use.UNIQUE):
            yield Parameter(row.keyword)


def _names(offers: tuple[Offer, ...]) -> tuple[str, ...]:
    return tuple(_in_parts(offer.media_type) if offer.is_multipart else offer.media_type for offer in offers)


def _in_parts(media_type: str) -> str:
    return media_types.format_media_type(media_types.MULTIPART, {"type": media_type})
