"""The pages: study list, study, instance, node. Knows Flask and the verbs; what is shown is made in ui.rows.

`install` is the one entry: node hands over the application, the archive and the facts about the node.
"""

from datetime import date, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Flask, Response, render_template, request
from werkzeug.routing import PathConverter

from relais.access.policy import Mode
from relais.archive import Archive, documents, holdings, retrieve, search, zipped
from relais.archive.overview import overview
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query
from relais.dicom.query_keys import match_from_text
from relais.dicom.refs import SeriesRef, StudyRef
from relais.dicomweb import paths
from relais.errors import InvalidRequest, NotFound
from relais.ui import attributes, context, failures, filters, headers, ohif, rows, show, viewer
from relais.ui.context import Pages
from relais.ui.facts import NodeFacts
from relais.ui.filters import Filters

MAX_SERIES = 500  # of one study on its page; more are told
MAX_PRIORS = 50  # other studies of the patient, likewise
MAX_INSTANCES = 1000  # of one series on its page, likewise
CHIPS = ("CT", "MR", "US", "XA", "CR", "DX", "MG", "PT", "NM", "SR", "DOC")
SERIES_KEYS = frozenset(
    map(show.tag, ("SeriesDescription", "BodyPartExamined", "Manufacturer", "ManufacturerModelName", "InstitutionName"))
)

routes = Blueprint("ui", __name__, template_folder="templates", static_folder="static", static_url_path="/static")


class _PagePath(PathConverter):
    """Any address but those of machines, whose errors are not pages."""

    regex = r"(?!(?:dicom-web|wado|api|health|metrics)(?:/|$)).+"


def install(app: Flask, archive: Archive, facts: NodeFacts) -> None:
    """Give *app* the pages of *archive*, on the node that *facts* describe."""
    app.extensions |= context.put(Pages(archive, facts))
    app.url_map.converters["page_path"] = _PagePath
    app.jinja_env.filters.update(count=show.count, plural=show.plural)
    app.register_blueprint(routes)
    app.register_blueprint(ohif.routes)
    app.add_url_rule("/<page_path:path>", "ui.nowhere", _nowhere, methods=["GET"])


def _everywhere() -> dict[str, Any]:
    """What every template may use."""
    here = context.facts()
    return {
        "facts": here,
        "look": _look(),
        "has_viewer": viewer.installed(here.viewer_dir),
        "meaning": rows.MODALITIES,
        "is_enforced": context.archive().policy.mode is Mode.ENFORCED,
    }


@cache
def _look() -> str:
    """What static files are told by: browsers keep them until one of them is another."""
    folder = Path(__file__).parent / "static"
    return sha256(b"".join(file.read_bytes() for file in sorted(folder.iterdir()))).hexdigest()[:12]


def _nowhere(path: str) -> Response:
    del path
    return failures.page(NotFound("There is no such page."))


@routes.after_request
def _protect(response: Response) -> Response:
    if request.endpoint == "ui.static":
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if "v" in request.args else "no-cache"
    return headers.protect(response)


@routes.get("/")
def study_list() -> Response:
    """The studies, newest first, as far as the form narrows them."""
    problem = ""
    asked = filters.parse(request.args, request.args.getlist("modality"))
    try:
        found, more = _studies(filters.query(asked))
    except InvalidRequest as error:
        found, more, problem = [], False, error.message
    return _page("studies.html", asked=asked, studies=found, more=more, problem=problem, **_around_list(asked))


def _around_list(asked: Filters) -> dict[str, Any]:
    today = context.now().date()
    return {
        "chips": (*CHIPS, *(chosen for chosen in asked.modalities if chosen not in CHIPS)),
        "spans": tuple(
            _span(asked, label, days, today) for label, days in (("Today", 0), ("7 days", 7), ("30 days", 30))
        ),
        "held": overview(context.archive(), context.principal()),
        "show": show,
        "page_sizes": filters.PAGE_SIZES,
    }


def _span(asked: Filters, label: str, days: int, today: date) -> tuple[str, str, bool]:
    """A link to the last days: its words, its query string, and whether it is in force. A second click ends it."""
    first = (today - timedelta(days=days)).isoformat()
    is_on = asked.date_from == first and not asked.date_to
    return label, asked.query_string(date_from="" if is_on else first, date_to="", offset=0), is_on


def _studies(query: Query) -> tuple[list[rows.StudyRow], bool]:
    found = search.search(context.archive(), context.principal(), query)
    studies = list(found.rows)
    refs = [StudyRef(show.text(json, "StudyInstanceUID")) for json in studies]
    held = holdings.studies(context.archive(), context.principal(), refs)
    now = context.now()
    return [rows.study(json, held.get(ref), now) for json, ref in zip(studies, refs, strict=True)], found.more


@routes.get("/studies/<study>")
def study_page(study: str) -> Response:
    """One study: its facts, its series, a viewer."""
    ref = paths.ref(study)
    assert isinstance(ref, StudyRef)
    json = retrieve.shown(context.archive(), context.principal(), ref)
    held = holdings.studies(context.archive(), context.principal(), [ref])
    series, is_cut = _series(ref)
    return _page(
        "study.html",
        study=rows.study(json, held.get(ref), context.now()),
        series=series,
        is_cut=is_cut,
        others_of=_others(json, ref),
        chosen=request.args.get("series", ""),
        documents=rows.DOCUMENTS,
    )


def _series(ref: StudyRef) -> tuple[list[rows.SeriesRow], bool]:
    match = match_from_text(show.tag("StudyInstanceUID"), ref.study_instance_uid)
    assert match is not None
    query = Query(Level.SERIES, (match,), return_keys=SERIES_KEYS, limit=MAX_SERIES)
    found = search.search(context.archive(), context.principal(), query)
    held = holdings.series(context.archive(), context.principal(), ref)
    return [_series_row(ref, json, held) for json in found.rows], found.more


def _series_row(ref: StudyRef, json: JsonDataset, held: dict[SeriesRef, holdings.Holding]) -> rows.SeriesRow:
    return rows.series(json, held.get(ref.series(show.text(json, "SeriesInstanceUID"))))


def _others(json: JsonDataset, ref: StudyRef) -> list[rows.StudyRow]:
    """The patient's other studies, newest first."""
    query = filters.others_of_patient(show.text(json, "PatientID"), show.text(json, "IssuerOfPatientID"), MAX_PRIORS)
    return [] if query is None else [other for other in _studies(query)[0] if other.ref != ref]


@routes.get("/studies/<study>/series/<series>")
def series_page(study: str, series: str) -> Response:
    """The instances of one series as links: for browsers without scripts."""
    ref = paths.ref(study, series)
    assert isinstance(ref, SeriesRef)
    json = retrieve.shown(context.archive(), context.principal(), ref)
    keys = (("StudyInstanceUID", ref.study_instance_uid), ("SeriesInstanceUID", ref.series_instance_uid))
    matches = (match_from_text(show.tag(keyword), value) for keyword, value in keys)
    query = Query(Level.IMAGE, tuple(match for match in matches if match), limit=MAX_INSTANCES)
    found = search.search(context.archive(), context.principal(), query)
    instances = [rows.instance(one, ref) for one in found.rows]
    return _page("series.html", ref=ref, name=show.name(json, "PatientName"), instances=instances, is_cut=found.more)


@routes.get("/studies/<study>/series/<series>/instances/<instance>")
def instance_page(study: str, series: str, instance: str) -> Response:
    """All attributes of one instance; with ?panel only the table, to be put into a page."""
    archive, principal, ref = context.archive(), context.principal(), paths.instance_ref(study, series, instance)
    found = retrieve.instances(archive, principal, ref)
    json: JsonDataset = orjson.loads(next(iter(documents.metadata(archive, found))))
    listed = list(attributes.lines(json))
    return _page(
        "panel.html" if "panel" in request.args else "instance.html",
        ref=ref,
        row=found[0],
        lines=listed,
        is_cut=len(listed) == attributes.MAX_LINES,
        kind=rows.kind(found[0].sop_class_uid),
        syntax=rows.kind(found[0].transfer_syntax_uid),
        size=show.size(found[0].size_bytes),
        url=f"/dicom-web/{paths.format_ref(ref)}",
        name=show.name(json, "PatientName"),
    )


@routes.get("/studies/<study>/download")
@routes.get("/studies/<study>/series/<series>/download")
def download_zip(study: str, series: str | None = None) -> Response:
    """A study or series as a zip archive of Part 10 files."""
    archive, principal, ref = context.archive(), context.principal(), paths.ref(study, series)
    found = retrieve.instances(archive, principal, ref)
    response = Response(zipped.as_stored(archive, principal, found), content_type="application/zip")
    response.headers["Content-Disposition"] = f'attachment; filename="{(series or study)}.zip"'
    return response


@routes.get("/node")
def node_page() -> Response:
    """The node: how to reach it, what it holds, how busy it is."""
    held = overview(context.archive(), context.principal())
    return _page("node.html", held=held, show=show, now=context.now())


def _page(template: str, **values: Any) -> Response:
    return Response(render_template(template, **values), content_type="text/html; charset=utf-8")


for _blueprint in (routes, ohif.routes):  # once, however many applications are made in one process
    failures.register(_blueprint)
    _blueprint.context_processor(_everywhere)
