"""The web door as one Flask application. Knows which routes there are, not what they do; any WSGI server can run it."""

from collections.abc import Callable
from functools import cached_property
from ipaddress import ip_network
from threading import Semaphore
from typing import Any

from flask import Flask, Request, Response, request
from werkzeug.routing import MapAdapter

from relais.archive import Archive
from relais.errors import InvalidRequest
from relais.web import (
    bulkdata,
    capabilities,
    changes,
    cors,
    deletion,
    errors,
    frames,
    health,
    hosts,
    metadata,
    payload,
    qido,
    rendered,
    stow,
    thumbnails,
    unknown,
    wado_rs,
    wado_uri,
)
from relais.web.door import API, ROOT, Checks, Door, install
from relais.web.forwarded import Behind
from relais.web.kept import Kept
from relais.web.record import ROUTE, Recorder
from relais.web.routing import Adapter, Known
from relais.web.settings import WebSettings
from relais.web.validators import Validators

WAITING_SHARE = 8  # one thread in so many may be held by who waits for something to happen
DICOMWEB = (qido, wado_rs, metadata, frames, bulkdata, rendered, thumbnails, stow, deletion)


class _Application(Flask):
    """Flask, but for what it would find out anew with every request."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Where the route of *request* is looked up."""
        return Adapter(self.url_map, request, self._known) if request is not None else super().create_url_adapter(None)

    @cached_property
    def _known(self) -> Known:
        return {}

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """*func* as it is: none here is a coroutine, and Flask would look for one several times in each request."""
        return func


def create_app(archive: Archive, settings: WebSettings, checks: Checks, *, public_url: str = "") -> Flask:
    """The application. *public_url* is the base of every absolute URL that it emits, its own address if "".

    *checks* tell /health/ready about each part by its name: a check returns if its part answers, else it raises.
    """
    app = routed()
    base_url = (public_url or _own_address(settings)).rstrip("/")
    uploads, waiters = Semaphore(settings.uploads), Semaphore(settings.threads // WAITING_SHARE)
    kept, validators = Kept(settings.kept_bytes), Validators(archive.db, base_url)
    install(app, Door(archive, settings, base_url, checks, kept, uploads, waiters, validators))
    errors.register(app)
    app.before_request(_check_host)
    cors.register(app, settings.cors_origins, may_store=settings.cors_may_store)
    app.after_request(_finish)
    app.after_request(unknown.warn)
    app.wsgi_app = Recorder(app.wsgi_app)  # type: ignore[method-assign]
    if settings.proxies:
        networks = [ip_network(proxy) for proxy in settings.proxies]
        behind = Behind(app.wsgi_app, networks, settings.certificate_field)
        app.wsgi_app = behind  # type: ignore[method-assign]
    return app


def routed() -> Flask:
    """All routes with nothing behind them: for create_app, and for those who only say what can be asked."""
    app = _Application("relais.web", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    for module in DICOMWEB:
        app.register_blueprint(module.routes, url_prefix=ROOT)
    app.register_blueprint(wado_uri.routes)
    app.register_blueprint(deletion.notes, url_prefix=API)
    app.register_blueprint(changes.routes, url_prefix=API)
    app.register_blueprint(health.routes)
    capabilities.register(app)
    return app


def _check_host() -> None:
    """Who does not say whom he means is refused, whatever he asks (RFC 9112 3.2)."""
    if request.environ["SERVER_PROTOCOL"] == "HTTP/1.1" and not hosts.is_one(request.environ.get("HTTP_HOST", "")):
        raise InvalidRequest("A request of HTTP/1.1 must have one Host header field, with one name.")


def _finish(response: Response) -> Response:
    """What every answer carries, and the route for the log line."""
    if not payload.has_match(response):
        response.close()
        response = errors.answer(412, "What there is is not what If-Match asks for.")
    response.headers["X-Content-Type-Options"] = "nosniff"
    if (rule := request.url_rule) is not None:
        request.environ[ROUTE] = rule.rule
    return response


def _own_address(settings: WebSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{settings.scheme}://{host}:{settings.port}"
