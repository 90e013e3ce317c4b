"""Who asks: a token as `Authorization: Bearer`, or as the password of its name in HTTP Basic (RFC 6750, RFC 7617), or a
certificate that was shown to a balancer of ours (web.forwarded).

Knows HTTP, not what anybody may do. Where access is enforced nobody gets further without one, which must be good for
where he is, but for the two questions of balancers and for preflights (Fetch 4.8). An open node takes notice of who
shows one and asks nobody: so it answers only those who mean this machine (web.hosts).
"""

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request

from relais.access.policy import Mode
from relais.access.principals import PROOFS
from relais.access.tokens import Tokens
from relais.archive.admission import admits
from relais.web import hosts
from relais.web.door import door, principal
from relais.web.errors import answer

USER = "REMOTE_USER"  # in the WSGI environment (RFC 3875 4.1.11): what request.remote_user gives
FREE = frozenset({"/health/live", "/health/ready"})
MISDIRECTED = "This node answers to localhost, to addresses, and to the host in [node] public_url, not to this name."
CHALLENGES = ('Basic realm="Relais", charset="UTF-8"', 'Bearer realm="Relais"')


def register(app: Flask, tokens: Tokens, mode: Mode) -> None:
    """Find out who asks before anything else is done."""

    def authenticate() -> Response | None:
        environ = request.environ
        environ[USER] = name = _name(tokens, environ)
        if request.path in FREE:
            return None
        if mode is Mode.OPEN_LOOPBACK:
            return None if hosts.is_ours(environ.get("HTTP_HOST", ""), door().public_url) else answer(421, MISDIRECTED)
        if _is_preflight() or (name and admits(door().archive, principal())):
            return None
        response = answer(401, "Show a token of this node, as Bearer or as the password of its name.")
        for challenge in CHALLENGES:
            response.headers.add("WWW-Authenticate", challenge)
        return response

    app.before_request(authenticate)


def _name(tokens: Tokens, environ: Mapping[str, Any]) -> str:
    """Whom the request proves that it comes from; "" without proof."""
    shown = request.authorization if "HTTP_AUTHORIZATION" in environ else None
    if shown is None:
        return tokens.name_by(environ.get(PROOFS, frozenset()))
    if shown.type == "bearer":
        return tokens.name_of(shown.token or "")
    name = tokens.name_of(shown.password or "") if shown.type == "basic" else ""
    return name if name == shown.username else ""


def _is_preflight() -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
