"""Cross-Origin Resource Sharing: which web pages of other origins may read what the node answers (Fetch 3.2), or store.

Preflights are answered without authentication. A wild card is never combined with credentials.

Browsers let any page POST whatever a preflight says of methods, and remember of one for GET that it may say of what
type its content is (Fetch 4.8, 4.9): so a POST that may not be is not only not granted, it is refused.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from flask import Flask, Response, request

from relais.errors import Forbidden
from relais.web.door import door

READING, STORING = ("GET", "HEAD", "OPTIONS"), ("GET", "HEAD", "POST", "OPTIONS")
REQUEST_HEADERS = (
    "accept, accept-encoding, authorization, content-type, if-match, if-none-match, if-range, range, x-requested-with"
)
RESPONSE_HEADERS = "Content-Disposition, Content-Length, Content-Location, Content-Range, ETag, Warning"
MAX_AGE_S = 86_400


def register(app: Flask, origins: Collection[str], *, may_store: bool = False) -> None:
    """Let pages of *origins* read, and store if they *may_store*; none, if it is empty."""
    if not origins:
        return
    methods = STORING if may_store else READING
    app.before_request(lambda: _require(origins, methods))
    app.after_request(lambda response: _allow(response, origins, methods))


def _require(origins: Collection[str], methods: Collection[str]) -> None:
    """Raises Forbidden if a page of another origin asks for what those of *origins* may not."""
    origin = request.headers.get("Origin", "")
    if request.method not in methods and _is_one_of(origin, origins) and not _is_own(origin):
        raise Forbidden("Pages of other origins may not do this here.")


def _is_one_of(origin: str, origins: Collection[str]) -> bool:
    return bool(origin) and (origin in origins or "*" in origins)


def _is_own(origin: str) -> bool:
    """Whether it is that of the node's own pages, as they were asked for or as they are known."""
    return urlsplit(origin).netloc in {request.host, urlsplit(door().public_url).netloc}


def _allow(response: Response, origins: Collection[str], methods: Collection[str]) -> Response:
    response.vary.add("Origin")
    origin = request.headers.get("Origin", "")
    wanted = request.headers.get("Access-Control-Request-Method", "GET") if request.method == "OPTIONS" else "GET"
    if not _is_one_of(origin, origins) or wanted not in methods:
        return response
    named = origin in origins
    response.headers["Access-Control-Allow-Origin"] = origin if named else "*"
    if named:
        response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
        response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
    return response
