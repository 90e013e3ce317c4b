"""Cross-Origin Resource Sharing: which web pages of other origins may read what the node answers (Fetch 3.2).

Preflights are answered without authentication. A wild card is never combined with credentials.
"""

from collections.abc import Collection

from flask import Flask, Response, request

METHODS = "GET, HEAD, POST, OPTIONS"
REQUEST_HEADERS = (
    "accept, accept-encoding, authorization, content-type, if-match, if-none-match, if-range, range, x-requested-with"
)
RESPONSE_HEADERS = "Content-Disposition, Content-Length, Content-Location, Content-Range, ETag, Warning"
MAX_AGE_S = 86_400


def register(app: Flask, origins: Collection[str]) -> None:
    """Let pages of *origins* read; none, if it is empty."""
    if origins:
        app.after_request(lambda response: _allow(response, origins))


def _allow(response: Response, origins: Collection[str]) -> Response:
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin is None or not (origin in origins or "*" in origins):
        return response
    named = origin in origins
    response.headers["Access-Control-Allow-Origin"] = origin if named else "*"
    if named:
        response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
    return response
