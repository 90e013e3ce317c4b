"""/health/live, /health/ready and /metrics. Knows that there are checks, not what they look at."""

import logging
from collections.abc import Callable

import orjson
from flask import Blueprint, Response

from relais.telemetry import metrics
from relais.telemetry.line import fields
from relais.web.door import door

log = logging.getLogger(__name__)
routes = Blueprint("health", __name__)


@routes.get("/health/live")
def live() -> Response:
    """This process answers."""
    return _answer(200, {"status": "live"})


@routes.get("/health/ready")
def ready() -> Response:
    """200 only when every part does its work, 503 otherwise, with the names of the parts, and notes on some."""
    asked = {name: _asked(name, check) for name, check in door().checks.items()}
    is_ready = all(passes for passes, _ in asked.values())
    found: dict[str, object] = {name: passes for name, (passes, _) in asked.items()}
    notes = {name: note for name, (_, note) in asked.items() if note}
    answer = {"status": "ready" if is_ready else "not ready", "parts": found} | ({"notes": notes} if notes else {})
    return _answer(200 if is_ready else 503, answer)


@routes.get("/metrics")
def exposition() -> Response:
    """Counters of all processes of the node, for Prometheus."""
    body, content_type = metrics.exposition()
    return Response(body, content_type=content_type)


def _asked(name: str, check: Callable[[], str | None]) -> tuple[bool, str | None]:
    """Whether a part does its work, and what it says besides."""
    try:
        return True, check()
    except Exception as error:  # whatever is wrong, the part is not ready
        log.warning(fields(event="not ready", part=name, error=str(error)))
        return False, None


def _answer(status: int, content: object) -> Response:
    response = Response(orjson.dumps(content), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
