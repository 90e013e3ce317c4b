"""A DICOMweb origin server as the other archive: QIDO-RS and WADO-RS as user agent (PS3.18 10.4, 10.6).

Knows HTTP and queries, not what we hold.
"""

import base64
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, Request, build_opener

import orjson

from relais.dicom import json_model
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query
from relais.dicom.refs import Ref
from relais.dicomweb import multipart, paths
from relais.dicomweb.media_types import DICOM, DICOM_JSON, MULTIPART, parse_media_type
from relais.dicomweb.params import format_search
from relais.errors import InvalidRequest, NotFound, TooLarge, Unavailable
from relais.peers.association import NotAssociated
from relais.peers.base import Refused
from relais.peers.settings import PeerSettings

STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018
PAGE = 500  # answers asked for at a time: every origin server allows so many
LEAST_LIMIT = 100  # no origin server gives fewer than it has below it: a shorter page is the last one
MAX_PAGE_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
AS_STORED = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
UNCOMPRESSED = f'multipart/related; type="{DICOM}"'
NOT_ALLOWED, NOT_UNDERSTOOD, TOO_MUCH = 0x0124, 0xA900, 0xA700  # as a DIMSE peer says it (PS3.7 C, PS3.4 C.4.1.1.4)

_PATHS = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}
_KEYS = {Level.STUDY: STUDY_INSTANCE_UID, Level.SERIES: SERIES_INSTANCE_UID, Level.IMAGE: SOP_INSTANCE_UID}


class DicomwebPeer:
    """One origin server. Safe in many threads. Raises Unavailable, Refused, and NotAssociated where nobody answers."""

    def __init__(self, settings: PeerSettings) -> None:
        self.settings = settings
        self._base = settings.url.rstrip("/")
        self._opener = build_opener(HTTPSHandler(context=ssl.create_default_context(cafile=settings.tls_ca or None)))

    @property
    def name(self) -> str:
        return self.settings.name

    def echo(self) -> None:
        """Return if it answers a search."""
        with self._present():
            self._page("studies?limit=1")

    @contextmanager
    def searching(self) -> "Iterator[Callable[[Query], Iterator[JsonDataset]]]":
        """As `search`: there is no association to keep."""
        yield self.search

    def search(self, query: Query) -> Iterator[JsonDataset]:
        """What it answers to *query*, page by page. The study that a query below it names belongs to the path.

        Ends before its end where the server gives the same page again: it knows no offset. That there is nothing of a
        study or a series (404) is an answer; that there is nothing where studies are searched is none.
        """
        above = [match for match in query.matches if match.tag in _KEYS.values() and match.tag != _KEYS[query.level]]
        path = "/".join(f"{_path_of(match.tag)}/{match.values[0]}" for match in above)
        path = f"{path}/{_PATHS[query.level]}" if path else _PATHS[query.level]
        below = replace(query, matches=tuple(match for match in query.matches if match not in above), limit=PAGE)
        given, first = 0, ""
        while True:
            page = self._found(f"{path}?{format_search(replace(below, offset=given))}", is_below=bool(above), at=given)
            uid = json_model.text(page[0], _KEYS[query.level]) if page else None
            if uid is None or uid == first:
                return
            yield from page
            if len(page) < LEAST_LIMIT:
                return
            given, first = given + len(page), uid

    def retrieve(self, ref: Ref, *, as_stored: bool) -> Iterator[multipart.Event]:
        """The instances of *ref* as Part 10 files, one part each; uncompressed unless *as_stored*. Raises NotFound."""
        with self._opened(paths.format_ref(ref), AS_STORED if as_stored else UNCOMPRESSED) as answer:
            try:
                content_type = parse_media_type(answer.headers.get("Content-Type", ""))
                if content_type.essence != MULTIPART:
                    raise Unavailable(f"{self.name} does not answer as an origin server does.")
                yield from multipart.events(self._chunks(answer), multipart.boundary_of(content_type))
            except (InvalidRequest, TooLarge) as exc:
                raise Unavailable(f"{self.name} broke off: {exc.message}") from exc

    def _found(self, path: str, *, is_below: bool, at: int) -> list[JsonDataset]:
        """A page of a search, from answer *at* on, *is_below* something that the server may not have."""
        if not is_below and not at:
            with self._present():
                return self._page(path)
        try:
            return self._page(path)
        except NotFound as exc:
            if at:
                raise Unavailable(f"{exc.message} It had told {at} before.") from exc
            return []

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Raise Refused if nothing is there: every origin server has studies, or none, and says so."""
        try:
            yield
        except NotFound as exc:
            raise Refused(f"{exc.message} There is no origin server at {self._base}.", NOT_UNDERSTOOD) from exc

    def _page(self, path: str) -> list[JsonDataset]:
        with self._opened(path, DICOM_JSON) as answer:
            body = answer.read(MAX_PAGE_BYTES + 1)
        try:
            found = orjson.loads(body) if body else []
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Unavailable(f"{self.name} does not answer as an origin server does.")
        return cast(list[JsonDataset], found)

    @contextmanager
    def _opened(self, path: str, accept: str) -> Iterator[HTTPResponse]:
        request = Request(f"{self._base}/{path}", headers={"Accept": accept})  # noqa: S310 - http and https, by settings
        if authorization := self._authorization():
            request.add_unredirected_header("Authorization", authorization)
        try:
            with self._opener.open(request, timeout=self.settings.timeout_s) as answer:
                yield answer
        except HTTPError as exc:
            with exc:
                raise self._refusal(exc.code) from exc
        except URLError as exc:
            raise NotAssociated(f"{self.name} at {self._base} does not answer: {exc.reason}.") from exc
        except (OSError, HTTPException) as exc:
            raise Unavailable(f"{self.name} does not answer, or broke off.") from exc

    def _authorization(self) -> str:
        """Of a user with a password, or of who has a token: it is read anew each time, for tokens do not last."""
        secret = self.settings.secret()
        if not self.settings.user:
            return f"Bearer {secret}" if secret else ""
        return "Basic " + base64.b64encode(f"{self.settings.user}:{secret}".encode()).decode("ascii")

    def _refusal(self, status: int) -> InvalidRequest | NotFound | Unavailable:
        said = f"{self.name} answered with HTTP status {status}."
        if status in {401, 403}:
            return Refused(f"{self.name} refuses our user, password or token (HTTP status {status}).", NOT_ALLOWED)
        if status in {404, 410}:
            return NotFound(said)
        if status == 413:
            return Refused(said, TOO_MUCH)
        return Refused(said, NOT_UNDERSTOOD) if 400 <= status < 500 and status not in {408, 429} else Unavailable(said)

    def _chunks(self, answer: HTTPResponse) -> Iterator[bytes]:
        while chunk := answer.read1(CHUNK_BYTES):
            yield chunk


def _path_of(tag: int) -> str:
    return _PATHS[next(level for level, key in _KEYS.items() if key == tag)]
