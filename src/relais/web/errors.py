"""What went wrong, as an HTTP answer: the only place of this door where an error becomes a status code.

The body is JSON or, where that is preferred, plain text: one sentence for a person, never a traceback, a path or SQL.
"""

import logging
from collections.abc import Sequence

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from relais.dicomweb.store_response import Result
from relais.errors import (
    Conflict,
    Forbidden,
    Gone,
    Internal,
    InvalidDataSet,
    InvalidRequest,
    Mismatch,
    Missing,
    Nearline,
    NodeError,
    NotAcceptable,
    NotFound,
    OutOfResources,
    TooLarge,
    TooSlow,
    Unavailable,
    UnknownLength,
    UnsupportedMedia,
    UnsupportedSOPClass,
    UnsupportedTransferSyntax,
)
from relais.telemetry import context
from relais.telemetry.line import fields
from relais.web.record import ERROR

# PS3.18 tables 8.5-1, 10.4.3-1, 10.5.3-1, 10.6.3-1. The first line that fits counts.
_STATUS: tuple[tuple[type[NodeError], int], ...] = (
    (InvalidDataSet, 406),  # one that is kept, but whose pixels cannot be decoded
    (Mismatch, 409),
    (TooSlow, 408),
    (UnknownLength, 411),
    (InvalidRequest, 400),
    (Gone, 410),
    (Missing, 503),  # what the index names: it may be back
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (NotAcceptable, 406),
    (UnsupportedSOPClass, 409),
    (UnsupportedTransferSyntax, 409),
    (UnsupportedMedia, 415),
    (TooLarge, 413),
    (OutOfResources, 507),
    (Unavailable, 503),
    (Internal, 500),
)
# Said of a whole Store transaction when all its parts failed alike; otherwise 409 (PS3.18 10.5.3).
_STORE_STATUS = frozenset({400, 403, 413, 415, 503, 507})

RETRY_AFTER_S = 5
NEARLINE_S = 3600  # slow storage takes hours

log = logging.getLogger(__name__)


def status_of(error: NodeError) -> int:
    """The status for *error*."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def table() -> list[tuple[int, str, str]]:
    """Every status that tells of an error, the kind of error, and what it says by default; by status."""
    return sorted((status, kind.__name__, kind().message) for kind, status in _STATUS)


def store_status(results: Sequence[Result]) -> int:
    """The status of a Store transaction: 200 all stored, 202 some or with warnings, else why none (table 10.5.3-1)."""
    failures = [result.failure for result in results if result.failure]
    if not failures and all(result.warning_reason is None for result in results):
        return 200
    if len(failures) < len(results):
        return 202
    common = {status_of(failure) for failure in failures}
    return common.pop() if len(common) == 1 and common <= _STORE_STATUS else 409


def register(app: Flask) -> None:
    """Make *app* answer every error in this way."""
    app.register_error_handler(NodeError, _node_error)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _unexpected)


def answer(status: int, message: str) -> Response:
    """An error as a response."""
    name = HTTP_STATUS_CODES.get(status, "Error")
    if _prefers_text():
        return Response(f"{message}\n", status, content_type="text/plain; charset=utf-8")
    body = {"status": status, "error": name, "message": message}
    if status == 500:
        body["request"] = context.current().get("request", "")
    return Response(orjson.dumps(body), status, content_type="application/json")


def _node_error(error: NodeError) -> Response:
    status = status_of(error)
    if status == 500:
        return _unexpected(error)
    request.environ[ERROR] = type(error).__name__
    response = answer(status, error.message)
    if status == 503:
        response.headers["Retry-After"] = str(NEARLINE_S if isinstance(error, Nearline) else RETRY_AFTER_S)
    return response


def _http_exception(error: HTTPException) -> Response:
    response = answer(error.code or 500, error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    route = request.url_rule.rule if request.url_rule else "-"
    log.error(fields(event="request failed", route=route, error=type(error).__name__), exc_info=error)
    return answer(500, "Something went wrong inside the node; its log says more.")


def _prefers_text() -> bool:
    best = request.accept_mimetypes.best_match(("application/json", "text/plain", "text/html"), "application/json")
    return best.startswith("text/")
