"""Answers as bytes: JSON, one part or many, ranges, compression, validators. Knows HTTP, not what the bytes mean."""

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import orjson
import zstandard
from flask import Response, request
from werkzeug.datastructures import Range
from werkzeug.http import parse_range_header

from relais.archive.readers import READERS
from relais.dicomweb.media_types import DICOM_JSON
from relais.dicomweb.multipart import Part, Writer
from relais.errors import NotAcceptable
from relais.web import errors

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers

NO_CACHE = "private, no-cache"  # kept by the user agent, but asked about each time: instances can go
PIECE_BYTES = 64 * 1024  # small documents leave together
MOST_NAMES = 20  # in one Warning; how many there are besides is told
VARY_TEXT = "Accept, Accept-Encoding"  # of what may come compressed; said of the same resource whether it does or not
GZIP_LEVEL = 5
ZSTD_LEVEL = 3
LEFT_OUT = "Some of it is left out: it cannot be made in an acceptable media type or Transfer Syntax."
_NOT_PLAIN = re.compile(r"[^ !#-\[\]-~]")  # what a quoted string of a header field does not hold as it is
GZIP_WINDOW = 31  # zlib's way of saying gzip with the largest window


@dataclass(frozen=True, slots=True)
class Single:
    """An answer of one part: *size_bytes* of *content_type*, in *chunks*.

    *etag* is an unquoted strong validator. *location* becomes Content-Location.
    """

    content_type: str
    size_bytes: int
    chunks: Iterable[bytes]
    etag: str = ""
    location: str = ""
    filename: str = ""


class _Ready(Response):
    """An answer whose header fields say all there is to say, such as its length where that is known.

    Werkzeug would go through them again, and turn a Content-Location into the URI that it is.
    """

    def __init__(self, chunks: Iterable[bytes], status: int, fields: Sequence[tuple[str, str]]) -> None:
        super().__init__(chunks, status, fields, direct_passthrough=True)

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> "Headers":
        return self.headers


def json_document(content: object, media_type: str = DICOM_JSON, status: int = 200) -> Response:
    """*content* as JSON."""
    return json_bytes(json_text(content), media_type, status)


def json_bytes(body: bytes, media_type: str = DICOM_JSON, status: int = 200) -> Response:
    """A JSON document that is already text."""
    return Response(body, status, {"Cache-Control": NO_CACHE}, content_type=media_type)


def json_text(content: object) -> bytes:
    """*content* as the text of a JSON document."""
    try:
        return orjson.dumps(content)
    except TypeError:  # integers beyond 64 bits, and lone surrogates
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def multipart(media_type: str, parts: Iterable[Part], *, is_lazy: bool = False) -> Response:
    """*parts* under a fresh boundary, with Content-Length if that is known. *is_lazy* parts are made as they go out."""
    writer = Writer(media_type)
    parts = parts if is_lazy else list(parts)
    chunks = writer.chunks(parts)
    if not isinstance(parts, list) or len(parts) > 1:
        chunks = READERS.one_more(chunks)
    fields = [("Content-Type", writer.content_type), ("Cache-Control", NO_CACHE), ("Vary", "Accept")]
    if isinstance(parts, list) and (length := writer.content_length(parts)) is not None:
        fields.append(("Content-Length", str(length)))
    return _Ready(chunks, 200, fields)


def begun(parts: Iterator[Part]) -> Iterator[Part]:
    """*parts*, the first of which is made: if it cannot be, that is an error and not an answer that breaks off.

    Raises NotAcceptable if there is none.
    """
    if request.method == "HEAD":
        return parts
    first = next(parts, None)
    if first is None:
        raise NotAcceptable
    return chain((first,), parts)


def single(body: Single) -> Response:
    """*body*, or the range of it that was asked for (RFC 9110 14). Several ranges are answered with the whole."""
    if body.etag and is_unchanged(body.etag):
        return not_modified(body.etag)
    fields, wanted = _fields(body), _range(body)
    if wanted == ():
        return _beyond(body.size_bytes)
    status, chunks, size_bytes = 200, body.chunks, body.size_bytes
    if wanted:
        start, stop = wanted
        status, chunks, size_bytes = 206, _slice(body.chunks, start, stop), stop - start
        fields.append(("Content-Range", f"bytes {start}-{stop - 1}/{body.size_bytes}"))
    return _Ready(chunks, status, [*fields, ("Content-Length", str(size_bytes))])


def unmade(body: Single) -> Response:
    """What `single` answers to HEAD, without the length, which is not known before *body* is made (RFC 9110 9.3.2)."""
    if body.etag and is_unchanged(body.etag):
        return not_modified(body.etag)
    return _Ready(iter(()), 200, _fields(body))


def _fields(body: Single) -> list[tuple[str, str]]:
    fields = [("Content-Type", body.content_type), ("Cache-Control", NO_CACHE), ("Accept-Ranges", "bytes")]
    fields.append(("Vary", "Accept"))
    if body.etag:
        fields.append(("ETag", f'"{body.etag}"'))
    if body.location:
        fields.append(("Content-Location", body.location))
    if body.filename:
        fields.append(("Content-Disposition", f'attachment; filename="{body.filename}"'))
    return fields


def _beyond(size_bytes: int) -> Response:
    """416, with how much there is (RFC 9110 15.5.17)."""
    response = errors.answer(416, f"There is no such range: there are {size_bytes} bytes.")
    response.headers["Content-Range"] = f"bytes */{size_bytes}"
    return response


@dataclass(frozen=True, slots=True)
class Encoded:
    """A large text, encoded as *content_encoding* says ("" for plain). *etag* is an unquoted weak validator.

    *location* becomes Content-Location.
    """

    content_type: str
    content_encoding: str
    chunks: Iterable[bytes]
    etag: str
    size_bytes: int | None = None
    location: str = ""


def encoded(body: Encoded) -> Response:
    """*body*, which caches must not give to those who asked for another encoding."""
    fields = [("Content-Type", body.content_type), ("Cache-Control", NO_CACHE), ("ETag", f'W/"{body.etag}"')]
    fields.append(("Vary", VARY_TEXT))
    if body.location:
        fields.append(("Content-Location", body.location))
    if body.content_encoding:
        fields.append(("Content-Encoding", body.content_encoding))
    if body.size_bytes is not None:
        fields.append(("Content-Length", str(body.size_bytes)))
    return _Ready(body.chunks, 200, fields)


def encode(content_encoding: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
    """*chunks*, compressed as they go out."""
    return _ENCODERS[content_encoding](chunks)


def json_array(documents: Iterable[bytes]) -> Iterator[bytes]:
    """Ready JSON documents as one array, in pieces. An array that never closes tells of a failure on the way."""
    pieces, waiting_bytes, before = [b"["], 0, b""
    for document in documents:
        pieces += (before, document)
        waiting_bytes += len(document)
        before = b","
        if waiting_bytes >= PIECE_BYTES:
            yield b"".join(pieces)
            pieces, waiting_bytes = [], 0
    yield b"".join((*pieces, b"]"))


def is_unchanged(etag: str) -> bool:
    """Whether the user agent already has the representation *etag* (RFC 9110 13.1.2)."""
    return bool(request.if_none_match) and request.if_none_match.contains_weak(etag)


def has_match(response: Response) -> bool:
    """Whether *response*, to GET or HEAD, has a validator that If-Match names (RFC 9110 13.1.1). Weak ones never do.

    An error is none the less what it is (RFC 9110 13.2.1).
    """
    if "HTTP_IF_MATCH" not in request.environ or request.method not in {"GET", "HEAD"} or response.status_code >= 400:
        return True
    etag, is_weak = response.get_etag()
    return request.if_match.star_tag or (etag is not None and not is_weak and request.if_match.is_strong(etag))


def not_modified(etag: str, *, is_weak: bool = False) -> Response:
    """304: what the user agent has is what it would get. Validators of texts are weak (RFC 9110 15.4.5: their Vary)."""
    validator, vary = (f'W/"{etag}"', VARY_TEXT) if is_weak else (f'"{etag}"', "Accept")
    return Response(status=304, headers={"ETag": validator, "Cache-Control": NO_CACHE, "Vary": vary})


def partial(response: Response) -> Response:
    """Say that *response* has some, but not all of what was asked for (PS3.18 table 10.4.3-1)."""
    response.status_code = 206
    return add_warning(response, LEFT_OUT)


def add_warning(response: Response, *sentences: str) -> Response:
    """Say *sentences* in the Warning header field, besides what it says already (PS3.18 8.4.3)."""
    former = response.headers.get("Warning")
    warnings = [*filter(None, (former,)), *(f'299 relais "{_plain(sentence)}"' for sentence in sentences)]
    if warnings:
        response.headers["Warning"] = ", ".join(warnings)
    return response


def listed(names: Sequence[str]) -> str:
    """*names* for a Warning."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _plain(sentence: str) -> str:
    return _NOT_PLAIN.sub("?", sentence)


def _range(body: Single) -> tuple[int, int] | tuple[()] | None:
    """Start and end of the one range asked for, () if it cannot be had, None if there is none to be heeded."""
    asked = parse_range_header(request.headers.get("Range"))
    condition = request.headers.get("If-Range")
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or request.method != "GET":
        return None
    if condition and condition != f'"{body.etag}"':
        return None
    first, end = asked.ranges[0]  # first is negative where the last bytes are meant: all of them if there are fewer
    return Range("bytes", [(max(first, -body.size_bytes), end)]).range_for_length(body.size_bytes) or ()


def _slice(chunks: Iterable[bytes], start: int, stop: int) -> Iterator[bytes]:
    position = 0
    for chunk in chunks:
        piece = chunk[max(start - position, 0) : max(stop - position, 0)]
        position += len(chunk)
        if piece:
            yield piece
        if position >= stop:
            return


def content_encoding() -> str:
    """The most wanted encoding of those made here, of equals the smaller one, "" for none (RFC 9110 12.5.3)."""
    qualities = {name.lower(): quality for name, quality in request.accept_encodings}
    best = max(("zstd", "gzip"), key=lambda name: qualities.get(name, 0.0))
    return best if qualities.get(best, 0.0) > 0 else ""


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    encoder = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    for chunk in chunks:
        if piece := encoder.compress(chunk):
            yield piece
    yield encoder.flush()


def _zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    encoder = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    for chunk in chunks:
        if piece := encoder.compress(chunk):
            yield piece
    yield encoder.flush()


_ENCODERS: dict[str, Callable[[Iterable[bytes]], Iterable[bytes]]] = {"zstd": _zstd, "gzip": _gzip, "": iter}
