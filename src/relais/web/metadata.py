"""Metadata of studies, series and instances as DICOM JSON (PS3.18 10.4.1.1.2). Knows HTTP, not Data Sets.

The documents were made once and are kept; here they are only joined, their bulk data made absolute, and compressed.
"""

from collections.abc import Iterator
from itertools import chain

import orjson
from flask import Blueprint, Response

from relais.archive import documents, retrieve
from relais.archive.documents import BULK_PREFIX
from relais.dicom.refs import Ref
from relais.dicomweb import media_types, native_xml, paths
from relais.dicomweb.media_types import DICOM_JSON, DICOM_XML, JSON, Offer
from relais.dicomweb.multipart import Part
from relais.index.rows import InstanceRow
from relais.web import payload
from relais.web.door import Door, acceptable, door, principal

OFFERS = (Offer(DICOM_JSON), Offer(JSON), Offer(DICOM_XML, is_multipart=True))

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
    offer = media_types.select(acceptable(), OFFERS)
    rows = retrieve.instances(door().archive, principal(), ref)
    etag = f"{max(row.revision for row in rows)}-{len(rows)}"
    if payload.is_unchanged(etag):
        return payload.not_modified(etag, is_weak=True)
    found = _documents(door(), rows)
    found = chain((next(found),), found)  # so that a first one that cannot be read is an error, not a cut answer
    if offer.is_multipart:
        return payload.multipart(DICOM_XML, map(_xml_part, found), is_lazy=True)
    return payload.compressed(payload.json_array(found), offer.media_type, etag)


def _documents(here: Door, rows: list[InstanceRow]) -> Iterator[bytes]:
    """The rows' documents with absolute URLs."""
    for row, document in zip(rows, documents.metadata(here.archive, rows), strict=True):
        absolute = f'"BulkDataURI":"{here.url(row.ref)}/{BULK_PREFIX}'.encode()
        yield document.replace(RELATIVE, absolute)


def _xml_part(document: bytes) -> Part:
    text = native_xml.document(orjson.loads(document))
    return Part((("Content-Type", DICOM_XML),), (text,), len(text))
