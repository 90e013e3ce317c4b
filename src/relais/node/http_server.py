"""Runs a WSGI application behind granian. The only module that knows which HTTP server that is.

Granian starts the workers and starts dead ones again; each loads the application for itself, by calling *load*.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from relais.node.patience import Patient
from relais.web.settings import WebSettings

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
DRAIN_S = 8  # requests that last longer than this after SIGTERM are cut off
LOGGING = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"handlers": [], "propagate": True}}}


def serve(settings: WebSettings, load: Callable[[], Application]) -> None:
    """Serve until SIGTERM. *load* is called once in every worker process and must survive pickling.

    Call it in the main thread of a process that has imported what the application needs, but holds nothing yet: no
    database, no other thread. Where forking is safe the workers share what was imported and are ready sooner.
    """
    multiprocessing.set_start_method("fork" if sys.platform == "linux" else "spawn", force=True)
    Granian(
        "relais",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=settings.workers,
        blocking_threads=settings.threads,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_S,
        websockets=False,
        log_level=LogLevels.error,
        log_dictconfig=LOGGING,
    ).serve(target_loader=partial(_patient, load, settings), wrap_loader=False)


def _patient(load: Callable[[], Application], settings: WebSettings) -> Application:
    return Patient(load(), settings)
