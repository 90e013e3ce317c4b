"""Rendered resources (PS3.18 10.4.1.1.3): images, documents, reports and video as what people look at.

Knows HTTP and parameters, not pixels. A study or series comes in parts, even if it is one image (PS3.18 10.4.4).

Reading: instances of a study or series that are no images are left out of it, unless nothing else is there. Parameters
that concern images change nothing in text, documents and video, which is said in a Warning.
"""

from flask import Blueprint, Response

from relais.archive import presented, retrieve
from relais.dicom.refs import InstanceRef, Ref
from relais.dicomweb import paths
from relais.errors import NotAcceptable, NotFound
from relais.index.rows import InstanceRow
from relais.pixels.workers import SHOWN_STATES
from relais.web import payload, pictures, readable, rendering
from relais.web.door import acceptable, door, principal, query_parameters
from relais.web.pictures import Picture

IGNORED = "The following parameters have no meaning for this instance and were ignored: {}."

routes = Blueprint("rendered", __name__)


@routes.get("/studies/<study>/rendered")
def study(study: str) -> Response:
    """The images of a study."""
    return _rendered(paths.ref(study))


@routes.get("/studies/<study>/series/<series>/rendered")
def series(study: str, series: str) -> Response:
    """The images of a series."""
    return _rendered(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/rendered")
def instance(study: str, series: str, instance: str) -> Response:
    """The image, document, report or video of an instance, or the images that a presentation state shows."""
    return _rendered(paths.ref(study, series, instance))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/frames/<numbers>/rendered")
def frames(study: str, series: str, instance: str, numbers: str) -> Response:
    """Frames as images, in the order asked."""
    ref, wanted = paths.instance_ref(study, series, instance), paths.frame_numbers(numbers)
    ranges, asked = acceptable(), rendering.parse(query_parameters())
    row = retrieve.instances(door().archive, principal(), ref)[0]
    if row.layout.pixel_offset is not None and max(wanted) > max(row.number_of_frames, 1):
        raise NotFound(f"The instance has {max(row.number_of_frames, 1)} frames.")
    chosen = [Picture(row, number) for number in wanted]
    offers = pictures.offers(chosen, is_one_instance=True, may_be_first=False)
    return pictures.answer(chosen, asked, ranges, offers)


def state_pictures(row: InstanceRow) -> list[Picture]:
    """The images that the presentation state *row* shows."""
    return [Picture(*found) for found in presented.images(door().archive, principal(), row)]


def is_state(row: InstanceRow) -> bool:
    """Whether *row* is a presentation state that can be applied here."""
    return row.sop_class_uid in SHOWN_STATES


def unused(response: Response, *names: str) -> Response:
    """Say that the query parameters *names*, as far as they were given, changed nothing."""
    given = [name for name in names if query_parameters().get(name)]
    return payload.add_warning(response, IGNORED.format(", ".join(given))) if given else response


def _rendered(ref: Ref) -> Response:
    ranges, asked = acceptable(), rendering.parse(query_parameters())
    rows = retrieve.instances(door().archive, principal(), ref)
    if not isinstance(ref, InstanceRef):
        return pictures.answer(pictures.of(_images(rows)), asked, ranges, pictures.IN_PARTS)
    row = rows[0]
    if is_state(row):
        chosen = state_pictures(row)
        offers = pictures.offers(chosen, is_one_instance=False, may_be_first=False)
        return pictures.answer(chosen, asked.for_state(), ranges, offers)
    if found := readable.answer(row, ranges):
        return unused(found, *rendering.NAMES)
    chosen = pictures.of([row])
    offers = pictures.offers(chosen, is_one_instance=True, may_be_first=True)
    return pictures.answer(chosen, asked, ranges, offers)


def _images(rows: list[InstanceRow]) -> list[InstanceRow]:
    found = [row for row in rows if row.layout.pixel_offset is not None]
    if not found:
        raise NotAcceptable("There are no images to be rendered.")
    return found
