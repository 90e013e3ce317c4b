"""Metadata of studies, series and instances as DICOM JSON (PS3.18 10.4.1.1.2). Knows HTTP, not Data Sets.

The documents were made once and are kept; here they are joined, their bulk data made absolute, and compressed. The
result stays in memory for the next who asks, under the revision that it was made of.

Reading: application/zip of metadata holds them in JSON, one array in one file, whose URIs lead back here
(PS3.18 8.6.1.3, 10.4.4).
"""

from collections.abc import Iterator
from itertools import chain

import orjson
from flask import Blueprint, Response

from relais.archive import documents, retrieve, zipped
from relais.archive.documents import BULK_PREFIX
from relais.dicom.refs import InstanceRef, Ref
from relais.dicomweb import media_types, native_xml, paths
from relais.dicomweb.media_types import DICOM_JSON, DICOM_XML, JSON, ZIP, Offer
from relais.dicomweb.multipart import Part
from relais.index.rows import InstanceRow
from relais.web import payload
from relais.web.door import Door, acceptable, door, principal
from relais.web.payload import Encoded, Single

XML_PARTS, ZIPPED = Offer(DICOM_XML, is_multipart=True), Offer(ZIP)
ONE_XML = Offer(DICOM_XML)  # of one instance only (PS3.18 10.4.4)
OFFERS = (Offer(DICOM_JSON), Offer(JSON), XML_PARTS, ZIPPED)
IN_ZIP = "metadata.json"

# As it stands in a document; inside a text value the quotation marks would be escaped.
RELATIVE = f'"BulkDataURI":"{BULK_PREFIX}'.encode()

routes = Blueprint("metadata", __name__)


@routes.get("/studies/<study>/metadata")
def study(study: str) -> Response:
    """The metadata of all instances of a study."""
    return _metadata(paths.ref(study))


@routes.get("/studies/<study>/series/<series>/metadata")
def series(study: str, series: str) -> Response:
    """The metadata of all instances of a series."""
    return _metadata(paths.ref(study, series))


@routes.get("/studies/<study>/series/<series>/instances/<instance>/metadata")
def instance(study: str, series: str, instance: str) -> Response:
    """The metadata of one instance."""
    return _metadata(paths.ref(study, series, instance))


def _metadata(ref: Ref) -> Response:
    here, is_one = door(), isinstance(ref, InstanceRef)
    offer = media_types.select(acceptable(), (*OFFERS, ONE_XML) if is_one else OFFERS)
    revision = retrieve.revision(here.archive, principal(), ref)
    location = _location(here, ref)
    etag = here.validators.of(revision, offer)
    if payload.is_unchanged(etag):
        return payload.not_modified(etag, is_weak=True)
    if offer.media_type not in (DICOM_JSON, JSON):
        rows, found = _documents(here, ref)
        response = _zip(found) if offer == ZIPPED else _xml(here, rows, found, offer)
        response.headers["ETag"], response.headers["Content-Location"] = f'W/"{etag}"', location
        response.headers["Vary"] = payload.VARY_TEXT
        return response
    encoding = payload.content_encoding()
    key = (ref, revision, encoding)
    answer = here.kept.get(key)
    if answer:
        retrieve.record_again(here.archive, principal(), ref, answer.instances)
        body = Encoded(offer.media_type, encoding, (answer.body,), etag, len(answer.body), location)
        return payload.encoded(body)
    rows, found = _documents(here, ref)
    chunks = here.kept.keeping(key, len(rows), payload.encode(encoding, payload.json_array(found)))
    return payload.encoded(Encoded(offer.media_type, encoding, chunks, etag, location=location))


def _documents(here: Door, ref: Ref) -> tuple[list[InstanceRow], Iterator[bytes]]:
    """The instances and their documents. The first one is read at once: if it cannot be, nothing is sent yet."""
    rows = retrieve.instances(here.archive, principal(), ref)
    found = _absolute(here, rows)
    return rows, chain((next(found),), found)


def _absolute(here: Door, rows: list[InstanceRow]) -> Iterator[bytes]:
    """The rows' documents with absolute URLs."""
    for row, document in zip(rows, documents.metadata(here.archive, rows), strict=True):
        absolute = f'"BulkDataURI":"{here.url(row.ref)}/{BULK_PREFIX}'.encode()
        yield document.replace(RELATIVE, absolute)


def _xml(here: Door, rows: list[InstanceRow], found: Iterator[bytes], offer: Offer) -> Response:
    if not offer.is_multipart:
        text = native_xml.document(orjson.loads(next(found)))
        return payload.single(Single(DICOM_XML, len(text), (text,)))
    parts = (_xml_part(_location(here, row.ref), document) for row, document in zip(rows, found, strict=True))
    return payload.multipart(DICOM_XML, parts, is_lazy=True)


def _zip(found: Iterator[bytes]) -> Response:
    response = Response(zipped.one_text(IN_ZIP, payload.json_array(found)), content_type=ZIP, direct_passthrough=True)
    response.headers["Cache-Control"] = payload.NO_CACHE
    response.headers["Content-Disposition"] = 'attachment; filename="metadata.zip"'
    return response


def _xml_part(location: str, document: bytes) -> Part:
    text = native_xml.document(orjson.loads(document))
    return Part((("Content-Type", DICOM_XML), ("Content-Location", location)), (text,), len(text))


def _location(here: Door, ref: Ref) -> str:
    return f"{here.url(ref)}/metadata"
