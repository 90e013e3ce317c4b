"""STOW-RS, the Store transaction (PS3.18 10.5): application/dicom parts, streamed into the archive as they arrive.

Knows HTTP and parts. What it means to store is archive.ingest's, and each part's success is durable when it is told.

Reading: a part without Content-Type has the type that the request's `type` announces (RFC 2387 3.1).
Reading: when a body breaks off, the parts that were complete are kept and told; the answer then is 202, not 400.
"""

import logging
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Self

from flask import Blueprint, Response, request

from relais.archive import ingest
from relais.dicom import part10
from relais.dicom.origin import Channel
from relais.dicomweb import media_types, multipart, paths, store_response
from relais.dicomweb.media_types import DICOM, MULTIPART, MediaType
from relais.dicomweb.multipart import PartBegins, PartData, PartEnds
from relais.dicomweb.store_response import Result
from relais.errors import InvalidRequest, NodeError, Unavailable, UnsupportedMedia
from relais.telemetry import metrics
from relais.telemetry.line import fields
from relais.web import errors, payload
from relais.web.body import Body
from relais.web.door import Door, acceptable, door, origin
from relais.web.qido import OFFERS

START_BYTES = 64 * 1024  # of a part, kept to tell which instance it was when it fails
ENCODINGS = frozenset({"", "binary", "8bit", "7bit"})  # Content-Transfer-Encodings that change nothing

log = logging.getLogger(__name__)
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
        offer = media_types.select(acceptable(), OFFERS[:2])
        content_type = _content_type()
        results = _receive(here, body, content_type, study)
    except NodeError:
        body.drain(here.settings.drain_bytes)
        raise
    studies = {result.retrieve_url.partition("/series/")[0] for result in results if result.retrieve_url}
    document = store_response.document(results, studies.pop() if len(studies) == 1 else "")
    return payload.json_document(document, offer.media_type, errors.store_status(results))


def _content_type() -> MediaType:
    """What the body is. Raises UnsupportedMedia unless it is application/dicom, in parts or (leniently) alone."""
    found = media_types.parse_media_type(request.headers.get("Content-Type", "") or "unknown/unknown")
    part_type = found.parameters.get("type", DICOM).partition(";")[0].strip().lower()
    if found.essence == DICOM or (found.essence == MULTIPART and part_type == DICOM):
        return found
    raise UnsupportedMedia(f'Instances are stored as {MULTIPART}; type="{DICOM}".')


def _receive(here: Door, body: Body, content_type: MediaType, study: str | None) -> list[Result]:
    """What became of each part. Raises what was wrong with the body when nothing at all was stored before."""
    results: list[Result] = []
    try:
        for result in _results(here, body, content_type, study):
            results.append(result)
    except NodeError as error:
        if all(result.failure for result in results):
            raise
        results.append(Result(failure=error))
        body.drain(here.settings.drain_bytes)
    if not results:
        raise InvalidRequest("The request holds no part to be stored.")
    return results


def _results(here: Door, body: Body, content_type: MediaType, study: str | None) -> Iterator[Result]:
    if content_type.essence == DICOM:
        return _result_of_all(here, body, study)
    return _results_of_parts(here, _events(body, multipart.boundary_of(content_type)), study)


def _result_of_all(here: Door, body: Body, study: str | None) -> Iterator[Result]:
    with _Incoming(here, {}, study) as incoming:
        for chunk in body.chunks():
            incoming.write(chunk)
        yield incoming.finish()


def _results_of_parts(here: Door, events: Iterator[multipart.Event], study: str | None) -> Iterator[Result]:
    incoming: _Incoming | None = None
    try:
        for event in events:
            match event:
                case PartBegins(headers):
                    incoming = _Incoming(here, headers, study)
                case PartData(data) if incoming:
                    incoming.write(data)
                case PartEnds() if incoming:
                    yield incoming.finish()
    finally:
        if incoming:
            incoming.leave()


def _events(body: Body, boundary: str) -> Iterator[multipart.Event]:
    reader = multipart.Reader(boundary)
    for chunk in body.chunks():
        yield from reader.feed(chunk)
    yield from reader.close()


class _Incoming:
    """One part on its way into the archive. What goes wrong with it is its result and leaves the others alone."""

    def __init__(self, here: Door, headers: Mapping[str, str], study: str | None) -> None:
        self._here = here
        self._start = bytearray()
        self._failure: NodeError | None = None
        self._receiving: ingest.Part10Receiving | None = None
        try:
            _check_part(headers)
            self._receiving = ingest.receive_part10(here.archive, origin(), study)
        except NodeError as error:
            self._failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.leave()

    def write(self, data: bytes) -> None:
        """Take the next piece of the part, or let it pass if the part has failed."""
        self._start += data[: START_BYTES - len(self._start)]
        if self._receiving and not self._failure:
            try:
                self._receiving.write(data)
            except NodeError as error:
                self._failure = error

    def finish(self) -> Result:
        """What became of the part, now that it is complete."""
        try:
            if self._receiving and not self._failure:
                stored = self._receiving.finish()
                url = self._here.url(stored.ref)
                return Result(stored.sop_class_uid, stored.ref.sop_instance_uid, url)
        except NodeError as error:
            self._failure = error
        finally:
            self.leave()
        return self._refused()

    def leave(self) -> None:
        """Leave no trace of a part that was not finished."""
        if self._receiving:
            self._receiving.__exit__(None, None, None)

    def _refused(self) -> Result:
        assert self._failure
        sop_class_uid, sop_instance_uid = self._announced()
        metrics.store(Channel.WEB, "refused")
        log.warning(fields(event="refused", sop_instance_uid=sop_instance_uid, error=self._failure.message))
        return Result(sop_class_uid, sop_instance_uid, failure=self._failure)

    def _announced(self) -> tuple[str, str]:
        """SOP Class and Instance UID of the File Meta Information, "" where it cannot be read."""
        try:
            meta, _ = part10.read_head(BytesIO(self._start).read)
        except NodeError:
            return "", ""
        return meta.sop_class_uid, meta.sop_instance_uid


def _check_part(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedMedia for a part that is no plain application/dicom."""
    essence = media_types.parse_media_type(headers.get("content-type", DICOM)).essence
    if essence != DICOM:
        raise UnsupportedMedia(f"A part of type {essence} is not taken; instances are {DICOM}.")
    encoding = headers.get("content-transfer-encoding", "").lower()
    if encoding not in ENCODINGS or headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("A part must not be encoded or compressed.")
