"""The body of a request, read in pieces, decompressed and counted. Knows WSGI, not what the bytes mean.

Content-Length is not believed: a body that ends early is an InvalidRequest, whatever the server made of the lost
connection. A body without Content-Length is read where the server ends it by itself (chunked transfer coding): where
it breaks off there looks like its end, so that only what says itself where it ends may be read of it. A compressed one
(RFC 9110 8.4) is counted as it comes and as it opens: beyond FREE_BYTES it may grow MOST_GROWTH times.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator

import zstandard
from flask import request

from relais.errors import InvalidRequest, TooLarge, UnsupportedMedia

CHUNK_BYTES = 256 * 1024
FREE_BYTES = 256 * 1024**2  # black images compress a thousandfold
MOST_GROWTH = 100
ZSTD_WINDOW_BYTES = 8 * 1024**2  # RFC 9659 allows no more; a body that wants more is refused
ZSTD_PIECE_BYTES = 128  # opened at a time: four bytes may become 128 KiB, and these are copied on their way
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib's way of saying: whichever of the two it is

NOT_WHOLE = "The body of the request is not compressed as it says, or not whole."


class Body:
    """The body of the current request."""

    def __init__(self, max_bytes: int) -> None:
        self._stream = request.environ["wsgi.input"]
        self._announced = request.content_length
        self._encoding = request.headers.get("Content-Encoding", "").strip().lower()
        self._is_waited_with = request.headers.get("Expect", "").lower() == "100-continue"
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._is_at_end = self._announced is None and not request.environ.get("wsgi.input_terminated")

    @property
    def has_length(self) -> bool:
        """Whether it is told how long the body is, compressed or not: only then is it seen if it breaks off."""
        return self._announced is not None

    def chunks(self) -> Iterator[bytes]:
        """The body, in pieces. Raises InvalidRequest if it ends early, TooLarge beyond the limit, announced or not.

        Raises UnsupportedMedia for a Content-Encoding other than gzip, deflate and zstd.
        """
        if self._encoding not in _OPENERS:
            raise UnsupportedMedia("The body of a request may be compressed by gzip, deflate or zstd only.")
        too_large = TooLarge(f"The body of a request may have at most {self._max_bytes} bytes.")
        if (self._announced or 0) > self._max_bytes:
            raise too_large
        given_bytes = 0
        for chunk in _OPENERS[self._encoding](self._raw()):
            given_bytes += len(chunk)
            if given_bytes > self._max_bytes:
                raise too_large
            if given_bytes > FREE_BYTES + MOST_GROWTH * self._read_bytes:
                raise TooLarge(f"The body of a request may not be compressed more than {MOST_GROWTH} times.")
            yield chunk
        if self._announced is not None and self._read_bytes < self._announced:
            raise InvalidRequest("The body of the request is shorter than its Content-Length.")

    def drain(self, limit_bytes: int) -> None:
        """Read the rest of a body that was refused, so that its sender comes to read the answer.

        Not if it is known to be more than *limit_bytes*: then the connection breaks, as it must. Nor if the sender
        waits with it until it is asked (RFC 9110 10.1.1).
        """
        if self._is_waited_with and not self._read_bytes:
            return
        if self._announced is not None and self._announced - self._read_bytes > limit_bytes:
            return
        while limit_bytes > 0 and (chunk := self._next(min(CHUNK_BYTES, limit_bytes))):
            limit_bytes -= len(chunk)

    def _raw(self) -> Iterator[bytes]:
        while chunk := self._next(CHUNK_BYTES):
            yield chunk

    def _next(self, wanted: int) -> bytes:
        if self._announced is not None:
            wanted = min(wanted, self._announced - self._read_bytes)
        chunk: bytes = b"" if self._is_at_end or wanted <= 0 else self._stream.read(wanted)
        self._is_at_end = not chunk
        self._read_bytes += len(chunk)
        return chunk


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What a gzip or zlib stream holds, or several one behind the other (RFC 1952 2.2)."""
    inflater = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                if inflater.eof:
                    inflater = zlib.decompressobj(GZIP_OR_ZLIB)
                yield inflater.decompress(rest, CHUNK_BYTES)
                rest = inflater.unconsumed_tail or inflater.unused_data
        while piece := inflater.decompress(b"", CHUNK_BYTES):
            yield piece
    except zlib.error as exc:
        raise InvalidRequest(NOT_WHOLE) from exc
    if not inflater.eof:
        raise InvalidRequest(NOT_WHOLE)


def _zstd_opened(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What a Zstandard stream holds, or several one behind the other (RFC 8878 3)."""
    maker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    opener = maker.decompressobj()
    try:
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                if opener.eof:
                    opener = maker.decompressobj()
                piece = rest[:ZSTD_PIECE_BYTES]
                yield opener.decompress(piece)
                rest = rest[len(piece) - len(opener.unused_data) :]
    except zstandard.ZstdError as exc:
        raise InvalidRequest(NOT_WHOLE) from exc
    if not opener.eof:
        raise InvalidRequest(NOT_WHOLE)


_OPENERS: dict[str, Callable[[Iterable[bytes]], Iterable[bytes]]] = {
    "": iter,
    "identity": iter,
    "gzip": _inflated,
    "x-gzip": _inflated,
    "deflate": _inflated,
    "zstd": _zstd_opened,
}
