"""One log line and one count per request, written when the answer has left. Knows WSGI; logs no value of a stranger's.

A small answer leaves in one piece, and is written down when the server has it.

The line names the route's rule, never the path or the query string: these may hold what a patient is called.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from relais.telemetry import context, metrics
from relais.telemetry.line import fields

ROUTE = "relais.route"  # the key in the WSGI environment under which the application leaves the rule that matched
ERROR = "relais.error"  # likewise, for the kind of error that was answered
SMALL_BYTES = 64 * 1024  # an answer of no more is one piece: each one costs the server a change of threads
QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})  # asked for every few seconds; told at DEBUG

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})

Environment = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environment, StartResponse], Iterable[bytes]]

log = logging.getLogger(__name__)


class Recorder:
    """A WSGI application around another, which writes down what became of each request."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        exchange = _Exchange(environ)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            exchange.begins(status)
            exchange.is_small = environ["REQUEST_METHOD"] != "HEAD" and 0 <= _length(headers) <= SMALL_BYTES
            return start_response(status, headers, *exc_info)

        with context.bound(request=exchange.id):
            body = _Body(exchange, self._application(environ, start))
        if not exchange.is_small:
            return body
        try:
            return list(body)
        finally:
            body.close()


class _Exchange:
    """What is known of one request and its answer."""

    def __init__(self, environ: Environment) -> None:
        self.id = context.new_id()
        self._environ = environ
        self._started_at = time.perf_counter()
        self._seconds = 0.0
        self._status = 0
        self.size_bytes = 0
        self.is_small = False

    def begins(self, status: str) -> None:
        self._status = int(status[:3])
        self._seconds = time.perf_counter() - self._started_at

    def ends(self, *, is_whole: bool) -> None:
        method = self._environ["REQUEST_METHOD"]
        method = method if method in _METHODS else "other"
        route = self._environ.get(ROUTE, "none")
        metrics.http_request(method, route, self._status, self._seconds)
        level = logging.DEBUG if route in QUIET else logging.INFO
        if not log.isEnabledFor(level):
            return
        text = fields(
            event="http",
            method=method,
            route=route,
            status=self._status,
            bytes=self.size_bytes,
            ms=(time.perf_counter() - self._started_at) * 1000,
            user=self._environ.get("REMOTE_USER") or None,
            error=self._environ.get(ERROR),
            cut=None if is_whole else "yes",
        )
        log.log(level, text)


def _length(headers: list[tuple[str, str]]) -> int:
    """What the answer says of its length, -1 if nothing."""
    return next((int(value) for name, value in headers if name == "Content-Length"), -1)


class _Body:
    """The answer's body, counted. The server closes it, however far it read."""

    def __init__(self, exchange: _Exchange, body: Iterable[bytes]) -> None:
        self._exchange, self._body, self._chunks = exchange, body, iter(body)
        self._bound = context.bound(request=exchange.id)
        self._is_whole = False
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._bound:
            chunk = next(self._chunks, None)
        if chunk is None:
            self._is_whole = True
            raise StopIteration
        self._exchange.size_bytes += len(chunk)
        return chunk

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        with self._bound:
            if close := getattr(self._body, "close", None):
                close()
            self._exchange.ends(is_whole=self._is_whole)
