"""Runs a WSGI application behind granian. The only module that knows which HTTP server that is.

Granian starts the workers and starts dead ones again; each loads the application for itself, by calling *load*. Its TLS
is rustls, which speaks 1.2 and 1.3 and has no suite without ECDHE and AEAD: those of RFC 9325 and ChaCha20-Poly1305.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path, PosixPath
from socket import socket
from typing import Any, Self

from granian._granian import SocketHolder as _SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer, WorkerProcess

from relais.node.listen import BACKLOG
from relais.node.patience import Patient
from relais.web.settings import WebSettings

_holder: Callable[..., Any] = _SocketHolder  # its parameters differ between systems
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
DRAIN_S = 8  # requests that last longer than this after SIGTERM are cut off
SILENT_S = 25  # a connection on which no request comes, or not all of its header, is closed
BUFFER_BYTES = 192 * 1024  # of each connection: waiting to be sent, or to be read
IDLE_S = 8  # a thread without work for so long ends: what a crowd made us start is gone soon after it
QUEUE = (BACKLOG,) if sys.platform == "linux" else ()  # granian asks for it there only
LOGGING = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"handlers": [], "propagate": True}}}


def serve(settings: WebSettings, load: Callable[[], Application], listeners: Sequence[socket]) -> None:
    """Serve until SIGTERM. *load* is called once in every worker process and must survive pickling.

    *listeners* are the sockets of the address in *settings*, one for each worker, or one for all. A worker that dies
    leaves its own to its successor: who was not accepted yet waits there. They are closed when it is over.

    Call it in the main thread of a process that has imported what the application needs, but holds nothing yet: no
    database, no other thread. Where forking is safe the workers share what was imported and are ready sooner.
    """
    multiprocessing.set_start_method("fork" if sys.platform == "linux" else "spawn", force=True)
    _Server(
        listeners,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=SILENT_S * 1000, max_buffer_size=BUFFER_BYTES),
        workers=settings.workers,
        blocking_threads=settings.threads,
        blocking_threads_idle_timeout=IDLE_S,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_S,
        websockets=False,
        log_level=LogLevels.error,
        log_dictconfig=LOGGING,
        **_tls(settings),
    ).serve(target_loader=partial(_patient, load, settings), wrap_loader=False)


class _Server(MPServer):
    """granian on sockets that are there already. Its workers would make their own, and take them along when they die.

    What is overridden and set here is private to granian: tests/contract/test_granian_names.py looks after it.
    """

    def __init__(self, listeners: Sequence[socket], **settings: Any) -> None:
        super().__init__("relais", **settings)
        self._listeners = listeners

    def _init_shared_socket(self) -> None:
        """Nothing to be made."""

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> WorkerProcess:  # type: ignore[override]
        own = self._listeners[idx % len(self._listeners)]
        others = [one for one in self._listeners if one is not own]
        self._sso, self._shd = own, _holder(own.fileno(), False, *QUEUE)
        return super()._spawn_worker(idx, target, partial(_load_alone, callback_loader, own, others))

    def _drop_shared_socket(self) -> None:
        for one in self._listeners:
            one.close()


def _load_alone(load: Callable[[], Application], own: socket, others: Sequence[socket]) -> Application:
    """In the worker: leave its *own* socket to granian, and the *others*, which it was born with, to the others."""
    own.detach()
    for other in others:
        other.close()
    return load()


class _InMemory(PosixPath):
    """A file that is in no folder: its only name is that of the descriptor which holds it."""

    def resolve(self, strict: bool = False) -> Self:
        return self


def _tls(settings: WebSettings) -> dict[str, Any]:
    """Files are read when a worker starts."""
    if not settings.tls_certificate:
        return {}
    return {
        "ssl_cert": Path(settings.tls_certificate),
        "ssl_key": _key(settings.tls_key) if settings.tls_key else Path(settings.tls_certificate),
        "ssl_ca": Path(settings.tls_ca) if settings.tls_ca else None,
        "ssl_client_verify": bool(settings.tls_ca),
        "ssl_protocol_min": SSLProtocols.tls12,
    }


def _key(key: str) -> Path:
    """The file of *key*. One that is given as text is never written to a disk, and held for as long as we live."""
    if not key.startswith("-----BEGIN"):
        return Path(key)
    held = os.memfd_create("key", 0)
    os.write(held, key.encode())
    return _InMemory(f"/proc/self/fd/{held}")


def _patient(load: Callable[[], Application], settings: WebSettings) -> Application:
    return Patient(load(), settings)
