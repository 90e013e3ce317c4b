"""What went wrong, as a page. The only place of the pages where an error becomes a status code.

One sentence for a person, never a traceback, a path or SQL.
"""

import logging

from flask import Blueprint, Response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from relais.errors import Forbidden, Gone, Internal, InvalidRequest, Missing, NodeError, NotFound, TooLarge, Unavailable
from relais.telemetry.line import fields
from relais.ui import headers

# The first line that fits counts; 500 where none does.
_STATUS: tuple[tuple[type[NodeError], int], ...] = (
    (InvalidRequest, 400),
    (Gone, 410),
    (Missing, 503),
    (NotFound, 404),
    (Forbidden, 403),
    (TooLarge, 413),
    (Unavailable, 503),
)

_TITLES = {400: "This address cannot be read", 404: "Not found", 410: "Deleted", 503: "Not available now"}
_PLAIN: dict[type[NodeError], str] = {  # where the error has no words of its own
    NotFound: "This study, series or image is not in this archive, or its address is not complete.",
    Gone: "This study, series or image was in this archive and has been deleted.",
}

log = logging.getLogger(__name__)


def register(blueprint: Blueprint) -> None:
    """Make *blueprint* answer every error with a page."""
    blueprint.register_error_handler(NodeError, page)
    blueprint.register_error_handler(HTTPException, _http_exception)
    blueprint.register_error_handler(Exception, _unexpected)


def page(error: NodeError) -> Response:
    """An error as a page."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status == 500 or isinstance(error, Internal):
        return _unexpected(error)
    kind = type(error)
    return _render(status, _PLAIN.get(kind, error.message) if error.message == kind().message else error.message)


def _http_exception(error: HTTPException) -> Response:
    return _render(
        error.code or 500, "There is no such page." if error.code == 404 else error.description or error.name
    )


def _unexpected(error: Exception) -> Response:
    route = request.url_rule.rule if request.url_rule else "-"
    log.error(fields(event="page failed", route=route, error=type(error).__name__), exc_info=error)
    return _render(500, "Something went wrong inside the node; its log says more.")


def _render(status: int, message: str) -> Response:
    title = _TITLES.get(status) or HTTP_STATUS_CODES.get(status, "Error")
    body = render_template("failure.html", status=status, title=title, message=message)
    return headers.protect(Response(body, status, content_type="text/html; charset=utf-8"))
