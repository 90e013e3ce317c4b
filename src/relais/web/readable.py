"""Instances that are no images, as what a browser shows: reports as text, documents and video as they are.

Knows HTTP, not how reports are built (PS3.18 8.7.4). Text is UTF-8 unless another character set is asked for.

Reading: text/xml of a structured report is the Native DICOM Model (PS3.19 A.1) of its metadata.
"""

import codecs
from collections.abc import Sequence
from contextlib import suppress

import orjson
from flask import Response, request
from werkzeug.datastructures import CharsetAccept
from werkzeug.http import parse_accept_header

from relais.archive import documents, reports, video
from relais.archive.retrieve import Body
from relais.dicom.refs import StudyRef
from relais.dicom.report import Reference
from relais.dicomweb import media_types, native_xml, report_rtf, report_text
from relais.dicomweb.media_types import PDF, MediaRange, Offer, covers
from relais.dicomweb.multipart import Part
from relais.errors import InvalidRequest, NotAcceptable
from relais.index.rows import InstanceRow
from relais.web import payload
from relais.web.door import door, query_parameters
from relais.web.frames import mime_type
from relais.web.payload import Single

HTML, PLAIN, XML, RTF = "text/html", "text/plain", "text/xml", "text/rtf"

_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."
# By SOP Class: what the document inside is. What the Data Set calls it is not believed, but for a PDF to be none.
DOCUMENTS = {
    f"{_ENCAPSULATED}1": PDF,
    f"{_ENCAPSULATED}2": XML,  # CDA
    f"{_ENCAPSULATED}3": "model/stl",
    f"{_ENCAPSULATED}4": "model/obj",
    f"{_ENCAPSULATED}5": "model/mtl",
}
CHARACTER_SETS = frozenset({"utf-8", "ascii", "utf-16", *(f"iso8859-{part}" for part in range(1, 17))})

# Nothing in a report or document may run or load anything here.
POLICY = {HTML: "default-src 'none'; style-src 'unsafe-inline'; sandbox", XML: "default-src 'none'; sandbox"}


def media_types_of(row: InstanceRow) -> tuple[str, ...]:
    """What *row* can be shown as, best first; () for an image and for what cannot be read at all."""
    if video.is_video(row):
        media_type = video.media_type_of(door().archive, row)
        return (media_type,) if media_type else ()
    if row.layout.pixel_offset is not None:
        return ()
    if row.sop_class_uid in DOCUMENTS:
        document = DOCUMENTS[row.sop_class_uid]
        return (document,) if document != PDF or mime_type(row.ref) in ("", PDF) else ()
    return (HTML, PLAIN, XML, RTF) if reports.report(door().archive, row) else ()


def answer(row: InstanceRow, ranges: tuple[MediaRange, ...]) -> Response | None:
    """*row* in the best readable form that is acceptable; None if it has none at all. Raises NotAcceptable."""
    names = media_types_of(row)
    if not names:
        return None
    offer = media_types.select(ranges, _offers(*names))
    if video.is_video(row):
        return _single(row, offer, video.stream(door().archive, row))
    if row.sop_class_uid in DOCUMENTS:
        return _single(row, offer, reports.document(door().archive, row))
    return _report(row, offer, [one.character_set for one in ranges if covers(one.media_type, offer.media_type)])


def _offers(*names: str) -> tuple[Offer, ...]:
    return tuple(Offer(name, is_multipart=multi) for multi in (False, True) for name in names)


def _single(row: InstanceRow, offer: Offer, body: Body, content_type: str = "") -> Response:
    content_type, location = content_type or offer.media_type, f"{door().url(row.ref)}/rendered"
    if offer.is_multipart:
        headers = (("Content-Type", content_type), ("Content-Location", location))
        return payload.multipart(offer.media_type, [Part(headers, body.chunks, body.length)])
    etag = f"{row.digest.hex()[:32]}-{row.revision}-{content_type.replace(' ', '').replace(';', '-')}"
    response = payload.single(Single(content_type, body.length, body.chunks, etag, location))
    if offer.media_type in POLICY:
        response.headers["Content-Security-Policy"] = POLICY[offer.media_type]
    return response


def _report(row: InstanceRow, offer: Offer, character_sets: Sequence[str]) -> Response:
    """*character_sets* are those that were asked for with the media type; they go before all others (PS3.18 8.8.5)."""
    if offer.media_type == XML:
        document = next(documents.metadata(door().archive, [row]))
        return _text(row, offer, "utf-8", native_xml.document(orjson.loads(document)))
    report = reports.report(door().archive, row)
    assert report is not None
    if offer.media_type == RTF:
        return _data(row, offer, report_rtf.rtf(report, _link), RTF)
    charset, codec = _charset(character_sets)
    if offer.media_type == HTML:
        page = report_text.html(report, _link, charset)
        return _text(row, offer, charset, page.encode(codec, "xmlcharrefreplace"))
    return _text(row, offer, charset, _plain(report_text.plain(report), codec))


def _text(row: InstanceRow, offer: Offer, charset: str, data: bytes) -> Response:
    return _data(row, offer, data, f"{offer.media_type}; charset={charset}")


def _data(row: InstanceRow, offer: Offer, data: bytes, content_type: str) -> Response:
    return _single(row, offer, Body(len(data), iter((data,)), ""), content_type)


def _link(reference: Reference) -> str:
    """Where the instance that a report refers to is rendered."""
    if not reference.series_instance_uid:
        return ""
    series = StudyRef(reference.study_instance_uid).series(reference.series_instance_uid)
    frames = f"/frames/{','.join(map(str, reference.frames))}" if len(reference.frames) == 1 else ""
    return f"{door().url(series.instance(reference.sop_instance_uid))}{frames}/rendered"


def _charset(first: Sequence[str]) -> tuple[str, str]:
    """The first of *first* that is made, else the best acceptable one, as it was asked for and as Python calls it
    (PS3.18 8.8.5).

    Raises InvalidRequest if there is none in the query parameter (PS3.18 8.3.3.2), NotAcceptable if none in the header
    field.
    """
    asked = query_parameters().get("charset", "")
    if found := _known(first):
        return found
    wanted = parse_accept_header(asked, CharsetAccept) if asked else request.accept_charsets
    names = ["utf-8" if name == "*" else name for name, quality in wanted if quality > 0]
    if found := _known(names or ["utf-8"]):
        return found
    if asked:
        raise InvalidRequest("charset names no character set that is made here.")
    raise NotAcceptable("None of the acceptable character sets is made here.")


def _known(names: Sequence[str]) -> tuple[str, str] | None:
    for name in names:
        with suppress(LookupError):
            if (codec := codecs.lookup(name).name) in CHARACTER_SETS:
                return name, codec
    return None


def _plain(text: str, codec: str) -> bytes:
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        raise NotAcceptable("The text has characters that are not in the acceptable character set.") from error
