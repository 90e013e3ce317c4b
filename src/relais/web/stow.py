"""STOW-RS, the Store transaction (PS3.18 10.5): what is sent in, and the answer that tells what became of it.

Knows HTTP. What it means to store is archive.ingest's, and each instance's success is durable when it is told.

Reading: when a body of binary parts breaks off, the complete ones are kept and told; the answer then is 202, not 400.
Reading: 202 also tells that all is stored, but some with a Warning Reason (PS3.18 table 10.5.3-1). What is merely odd
in an instance that is kept as it came stands in the Warning header field, under 200.
Reading: an instance that is the whole body, not a part of it, comes with Content-Length; without it the answer is 411
(RFC 9110 15.5.12). Neither says a Data Set where it ends, nor the server whether the last chunk came.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from flask import Blueprint, Response, request

from relais.archive.admission import require_storing
from relais.dicomweb import media_types, multipart, native_xml, paths, store_response
from relais.dicomweb.media_types import DICOM, DICOM_JSON, DICOM_XML, JSON, MULTIPART, MediaType, Offer
from relais.dicomweb.store_response import Result
from relais.errors import InvalidRequest, NodeError, TooLarge, Unavailable, UnknownLength, UnsupportedMedia
from relais.web import errors, payload, stow_metadata, stow_parts
from relais.web.body import Body
from relais.web.door import Door, acceptable, door, origin
from relais.web.stow_metadata import METADATA

OFFERS = (Offer(DICOM_JSON), Offer(JSON), Offer(DICOM_XML))
MOST_REFUSED = 10_000  # instances of one request; beyond it the rest of the request is not taken
NO_LENGTH = (
    f"An instance alone in a body without Content-Length could break off unnoticed: send it with Content-Length, or in"
    f" {MULTIPART}, which says where it ends."
)
MAX_WARNINGS = 5  # sentences in the Warning header field; what else failed or is odd goes unmentioned

routes = Blueprint("stow", __name__)


@routes.post("/studies")
def store() -> Response:
    """Store instances of any study."""
    return _store(None)


@routes.post("/studies/<study>")
def store_in_study(study: str) -> Response:
    """Store instances of one study."""
    paths.ref(study)
    return _store(study)


def _store(study: str | None) -> Response:
    """Uploads hold no more than their share of the threads: a crowd of slow senders must not keep readers out."""
    here = door()
    if not here.uploads.acquire(blocking=False):
        raise Unavailable("Too many uploads at once; try again later.")
    try:
        return _store_now(here, study)
    finally:
        here.uploads.release()


def _store_now(here: Door, study: str | None) -> Response:
    body = Body(here.settings.max_body_bytes)
    try:
        require_storing(here.archive, origin())
        offer = media_types.select(acceptable(), OFFERS)
        content_type, payload_type = _content_type()
        results = _receive(here, body, _results(here, body, content_type, payload_type, study))
    except NodeError:
        body.drain(here.settings.drain_bytes)
        raise
    return _answer(results, offer)


def _content_type() -> tuple[MediaType, str]:
    """What the body is, and what its instances come as. Raises UnsupportedMedia for all that is not stored."""
    found = media_types.parse_media_type(request.headers.get("Content-Type", "") or "unknown/unknown")
    kind = found.essence
    if kind == MULTIPART:
        kind = found.parameters.get("type", DICOM).partition(";")[0].strip().lower()
    if kind != DICOM and kind not in METADATA:
        names = ", ".join((DICOM, *sorted(METADATA)))
        raise UnsupportedMedia(f"Instances are stored as one of {names}, in {MULTIPART} or alone.")
    return found, kind


def _results(here: Door, body: Body, content_type: MediaType, kind: str, study: str | None) -> Iterator[Result]:
    is_metadata = kind in METADATA
    if content_type.essence == MULTIPART:
        events = multipart.events(body.chunks(), multipart.boundary_of(content_type))
    elif is_metadata:
        events = stow_metadata.events_of_all(body.chunks(), kind)
    else:
        if not body.has_length:
            raise UnknownLength(NO_LENGTH)
        return stow_parts.result_of_all(here, body.chunks(), study)
    if is_metadata:
        return stow_metadata.results(here, events, study, kind)
    return stow_parts.results(here, events, study)


def _receive(here: Door, body: Body, coming: Iterator[Result]) -> list[Result]:
    """What became of each instance. Raises what was wrong with the body when nothing at all was stored before."""
    results: list[Result] = []
    refused = 0
    try:
        for result in coming:
            results.append(result)
            refused += result.failure is not None
            if refused > MOST_REFUSED:
                raise TooLarge(f"A request is left after {MOST_REFUSED} instances in it that cannot be kept.")
    except NodeError as error:
        if all(result.failure for result in results):
            raise
        results.append(Result(failure=error))
        body.drain(here.settings.drain_bytes)
    if not results:
        raise InvalidRequest("The request holds nothing to be stored.")
    return results


def _answer(results: Sequence[Result], offer: Offer) -> Response:
    """The Store Instances Response Module (PS3.18 I.2)."""
    studies = {result.retrieve_url.partition("/series/")[0] for result in results if result.retrieve_url}
    document = store_response.document(results, studies.pop() if len(studies) == 1 else "")
    status = errors.store_status(results)
    if offer.media_type == DICOM_XML:
        response = Response(native_xml.document(document), status, {"Cache-Control": payload.NO_CACHE})
        response.content_type = DICOM_XML
    else:
        response = payload.json_document(document, offer.media_type, status)
    return payload.add_warning(response, *islice(dict.fromkeys(_sentences(results)), MAX_WARNINGS))


def _sentences(results: Sequence[Result]) -> Iterator[str]:
    """Why instances were refused, each with its Failure Reason (PS3.18 10.5.3.2), then what is odd in those kept."""
    for result in results:
        if result.failure:
            yield f"{store_response.failure_reason(result.failure):04X}: {result.failure.message}"
    for result in results:
        yield from result.warnings
