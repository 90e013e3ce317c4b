"""The body of a request, read in pieces and counted. Knows WSGI, not what the bytes mean.

Content-Length is not believed: a body that ends early is an InvalidRequest, whatever the server made of the lost
connection. A body without Content-Length is read where the server ends it by itself (chunked transfer coding).
"""

from collections.abc import Iterator

from flask import request

from relais.errors import InvalidRequest, TooLarge, UnsupportedMedia

CHUNK_BYTES = 256 * 1024


class Body:
    """The body of the current request."""

    def __init__(self, max_bytes: int) -> None:
        self._stream = request.environ["wsgi.input"]
        self._announced = request.content_length
        self._encoding = request.headers.get("Content-Encoding", "").strip().lower()
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._is_at_end = self._announced is None and not request.environ.get("wsgi.input_terminated")

    def chunks(self) -> Iterator[bytes]:
        """The body, in pieces. Raises InvalidRequest if it ends early, TooLarge beyond the limit, announced or not.

        Raises UnsupportedMedia for a compressed body: its size would be a stranger's word.
        """
        if self._encoding not in ("", "identity"):
            raise UnsupportedMedia("The body of a request must not be compressed (Content-Encoding).")
        if (self._announced or 0) > self._max_bytes:
            raise TooLarge(f"The body of a request may have at most {self._max_bytes} bytes.")
        while chunk := self._next(CHUNK_BYTES):
            if self._read_bytes > self._max_bytes:
                raise TooLarge(f"The body of a request may have at most {self._max_bytes} bytes.")
            yield chunk
        if self._announced is not None and self._read_bytes < self._announced:
            raise InvalidRequest("The body of the request is shorter than its Content-Length.")

    def drain(self, limit_bytes: int) -> None:
        """Read the rest of a body that was refused, so that its sender comes to read the answer.

        Not if it is known to be more than *limit_bytes*: then the connection breaks, as it must.
        """
        if self._announced is not None and self._announced - self._read_bytes > limit_bytes:
            return
        while limit_bytes > 0 and (chunk := self._next(min(CHUNK_BYTES, limit_bytes))):
            limit_bytes -= len(chunk)

    def _next(self, wanted: int) -> bytes:
        if self._announced is not None:
            wanted = min(wanted, self._announced - self._read_bytes)
        chunk: bytes = b"" if self._is_at_end or wanted <= 0 else self._stream.read(wanted)
        self._is_at_end = not chunk
        self._read_bytes += len(chunk)
        return chunk
