"""Instances as metadata and bulk data, in JSON or XML (PS3.18 10.5.1.4). Knows parts, not answers.

All of a request must have come before its first instance can be stored, since bulk data stands behind the metadata: it
waits on the disk. Then each instance is put together and stored by itself, and fails by itself. A part that is named
again and again would make terabytes of a small request: what is drawn is bounded as what a compressed body opens to.

Reading: a part with a Content-Location is bulk data, whatever its type; one without is metadata.
Reading: a BulkDataURI and a Content-Location name the same if they do so relative to the request's own URL.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, takewhile
from typing import Protocol
from urllib.parse import urljoin

import orjson
from flask import request

from relais.archive import ingest
from relais.dicom import uids
from relais.dicom.json_model import JsonDataset
from relais.dicomweb import media_types, native_xml_reader
from relais.dicomweb.assemble import BulkPart, assembled
from relais.dicomweb.json_array import Splitter
from relais.dicomweb.media_types import DICOM_JSON, DICOM_XML, JSON, OCTET_STREAM
from relais.dicomweb.multipart import Event, PartBegins, PartData, PartEnds
from relais.dicomweb.store_response import COERCED, Result
from relais.errors import InvalidRequest, TooLarge
from relais.pixels.description import describe
from relais.web.body import FREE_BYTES, MOST_GROWTH
from relais.web.door import Door, origin
from relais.web.stow_parts import check_part, failure_of, kept, refused
from relais.web.stow_spool import Spool, Stretch

METADATA = frozenset({DICOM_JSON, DICOM_XML})
_SAID_AS = {JSON: DICOM_JSON, "application/xml": DICOM_XML, "text/xml": DICOM_XML}  # by parts that name no location
MAX_XML_BYTES = 16 * 1024**2  # of the metadata of one instance; with more the body is TooLarge
MOST_DOCUMENTS = 100_000  # instances of one request; with more the body is TooLarge
MOST_NAME_BYTES = 32 * 1024**2  # of the locations and types of all bulk data of one request; with more it is TooLarge
PART_BYTES = 1024  # counted for each part that is named, besides its bytes
SOP_CLASS_UID, SOP_INSTANCE_UID = "00080016", "00080018"


def events_of_all(chunks: Iterable[bytes], media_type: str) -> Iterator[Event]:
    """A body that is metadata and nothing else, as if it were a part."""
    return chain([PartBegins({"content-type": media_type})], map(PartData, filter(None, chunks)), [PartEnds()])


def results(here: Door, events: Iterable[Event], study: str | None, media_type: str) -> Iterator[Result]:
    """What became of each instance whose metadata came as *media_type*.

    Raises what is wrong with the body as a whole before anything is stored.
    """
    with Spool(here.archive.settings.cache_dir) as spool:
        received = _Received(spool, media_type)
        received.take(events)
        for document in received.documents:
            yield _result(here, received, document, study)


def _result(here: Door, received: "_Received", document: Stretch, study: str | None) -> Result:
    json: JsonDataset = {}
    try:
        json = received.metadata(document)
        made = assembled(json, received.find, describe)
        claim = ingest.Claim(made.transfer_syntax_uid, study_instance_uid=study)
        stored = ingest.store(here.archive, claim, made.chunks, origin())
    except Exception as error:
        return refused(_announced(json, SOP_CLASS_UID), _announced(json, SOP_INSTANCE_UID), failure_of(error))
    return kept(here, stored, COERCED if made.is_coerced else None)


def _announced(json: JsonDataset, key: str) -> str:
    """A UID of metadata that nobody has checked, "" if it is none."""
    element = json.get(key)
    found = element.get("Value") if isinstance(element, dict) else None
    uid = found[0] if isinstance(found, list) and found else ""
    return uid if isinstance(uid, str) and uids.is_valid(uid) else ""


class _Received:
    """The parts of one request, on the disk: *documents* are the metadata of its instances, in their order."""

    def __init__(self, spool: Spool, media_type: str) -> None:
        self._spool, self._media_type = spool, media_type
        self._bulk: dict[str, list[BulkPart]] = {}
        self._drawn_bytes = self._name_bytes = 0
        self.documents: list[Stretch] = []

    def take(self, events: Iterable[Event]) -> None:
        """Take the whole request in."""
        part: _Part | None = None
        for event in events:
            match event:
                case PartBegins(headers):
                    part = self._begin(headers)
                case PartData(data) if part:
                    part.write(data)
                case PartEnds() if part:
                    part.end()
            if len(self.documents) > MOST_DOCUMENTS:
                raise TooLarge(f"A request may have the metadata of at most {MOST_DOCUMENTS} instances.")

    def metadata(self, document: Stretch) -> JsonDataset:
        text = self._spool.read(document)
        return native_xml_reader.parse(text) if self._media_type == DICOM_XML else _parsed(text)

    def find(self, uri: str) -> Sequence[BulkPart]:
        """The parts that came for *uri*, or for its frames in their order; () if there are none.

        Raises TooLarge once all that was found is out of proportion to what came.
        """
        if self._drawn_bytes > FREE_BYTES + MOST_GROWTH * self._spool.size_bytes:
            raise TooLarge(
                f"The metadata of a request may not name more than {MOST_GROWTH} times the bulk data it brings."
            )
        found = self._named(_resolved(uri))
        self._drawn_bytes += sum(PART_BYTES + part.size_bytes for part in found)
        return found

    def _named(self, place: str) -> Sequence[BulkPart]:
        frames = (self._bulk.get(f"{place}/frames/{number}", []) for number in count(1))
        return self._bulk.get(place) or [part for parts in takewhile(bool, frames) for part in parts]

    def _begin(self, headers: Mapping[str, str]) -> "_Part":
        check_part(headers)
        location = headers.get("content-location", "")
        default = OCTET_STREAM if location else self._media_type
        content_type = media_types.parse_media_type(headers.get("content-type", default))
        if location or _SAID_AS.get(content_type.essence, content_type.essence) != self._media_type:
            return self._begin_bulk(location, content_type)
        make = _Xml if self._media_type == DICOM_XML else _Json
        return make(self._spool, self.documents)

    def _begin_bulk(self, location: str, content_type: media_types.MediaType) -> "_Bulk":
        if not location:
            raise InvalidRequest("A part of bulk data needs a Content-Location, which the metadata names.")
        place, syntax = _resolved(location), content_type.parameters.get("transfer-syntax", "")
        self._name_bytes += len(place) + len(content_type.essence) + len(syntax)
        if self._name_bytes > MOST_NAME_BYTES:
            raise TooLarge(
                f"The Content-Locations and types of a request's bulk data may have at most {MOST_NAME_BYTES} bytes."
            )
        return _Bulk(self._spool, content_type.essence, syntax, self._bulk.setdefault(place, []))


class _Part(Protocol):
    """One part on its way to the disk."""

    def write(self, data: bytes | memoryview) -> None: ...

    def end(self) -> None: ...


class _Json:
    """Metadata of any number of instances (PS3.18 F.2.1)."""

    def __init__(self, spool: Spool, documents: list[Stretch]) -> None:
        self._spool, self._documents, self._splitter = spool, documents, Splitter()

    def write(self, data: bytes | memoryview) -> None:
        for text in self._splitter.feed(data):
            _parsed(text)
            self._spool.write(text)
            self._documents.append(self._spool.since(self._spool.size_bytes - len(text)))

    def end(self) -> None:
        self._splitter.close()


class _Xml:
    """Metadata of one instance (PS3.19 A.1)."""

    def __init__(self, spool: Spool, documents: list[Stretch]) -> None:
        self._spool, self._documents, self._start = spool, documents, spool.size_bytes

    def write(self, data: bytes | memoryview) -> None:
        self._spool.write(data)
        if self._spool.size_bytes - self._start > MAX_XML_BYTES:
            raise TooLarge(f"The metadata of an instance may have at most {MAX_XML_BYTES} bytes; use bulk data.")

    def end(self) -> None:
        self._documents.append(self._spool.since(self._start))


class _Bulk:
    """Bulk data, found by its Content-Location."""

    def __init__(self, spool: Spool, essence: str, syntax: str, parts: list[BulkPart]) -> None:
        self._spool, self._start = spool, spool.size_bytes
        self._essence, self._syntax, self._parts = essence, syntax, parts

    def write(self, data: bytes | memoryview) -> None:
        self._spool.write(data)

    def end(self) -> None:
        stretch = self._spool.since(self._start)
        read = _Reading(self._spool, stretch.offset, stretch.size_bytes)
        self._parts.append(BulkPart(self._essence, self._syntax, stretch.size_bytes, read))


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads one part of bulk data when it is called. As small as can be: a request may have very many of them."""

    spool: Spool
    offset: int
    size_bytes: int

    def __call__(self) -> Iterator[bytes]:
        return self.spool.chunks(Stretch(self.offset, self.size_bytes))


def _parsed(text: bytes) -> JsonDataset:
    try:
        found: JsonDataset = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest("The metadata is not JSON.") from exc
    return found


def _resolved(uri: str) -> str:
    try:
        return urljoin(request.base_url, uri.strip())
    except ValueError as exc:
        raise InvalidRequest("A name of bulk data is no URI.") from exc
