"""What each process of the node does. The supervisor starts them with their Orders on standard input."""

import functools
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from relais.config import Config
from relais.dimse.seats import Seats
from relais.errors import NodeError
from relais.node import compose, http_server, lifeline, log, mounted, samples
from relais.node.background import Background
from relais.node.commitments import Commitments
from relais.node.orders import Orders, read_orders
from relais.node.signals import Signals
from relais.node.spool import SpoolMover
from relais.telemetry.line import fields

BACKGROUND_NICENESS = 10  # what is made ready in advance must not delay what is asked for now
COLLECT_AFTER = 20_000  # objects made: one search makes thousands, and none of them is in a circle
DRAIN_S = 8.0  # associations that last longer than this after SIGTERM are aborted

logger = logging.getLogger(__name__)


def run(role: str) -> int:
    """Be the process *role* ("dimse", "web", "background") until SIGTERM, and return its exit code."""
    orders = read_orders(sys.stdin.read())
    log.configure(orders.config.node.log_level)
    _settle()
    try:
        ROLES[role](orders)
    except NodeError as exc:
        logger.error(fields(event="role failed", role=role, error=exc.message))
        return 1
    except Exception:  # told on one line, like everything else
        logger.exception(fields(event="role failed", role=role))
        return 1
    return 0


def _dimse(orders: Orders) -> None:
    assert orders.listener_fd is not None
    settings = orders.config.dimse
    seats = Seats(settings.max_associations, orders.worker, settings.workers, orders.seats_fd)
    with Signals() as signals, compose.archive_of(orders.config) as archive:
        mounted.require(archive.db, archive.store)
        archive.store.prepare()
        server = compose.dimse_server(orders.config, archive, seats)
        server.start(socket.socket(fileno=orders.listener_fd))
        _settle()
        signals.wait_for_end()
        server.stop(DRAIN_S)


def _web(orders: Orders) -> None:
    listeners = [socket.socket(fileno=descriptor) for descriptor in orders.web_fds]
    http_server.serve(orders.config.web, functools.partial(_web_worker, orders.config, os.getpid()), listeners)


def _web_worker(config: Config, parent_pid: int) -> http_server.Application:
    """What every HTTP worker loads, in its own process."""
    lifeline.end_with_parent(parent_pid)
    log.configure(config.node.log_level)
    try:
        archive = compose.open_archive(config)
        mounted.require(archive.db, archive.store)
        application = compose.web_application(config, archive)
    except NodeError as exc:
        logger.error(fields(event="role failed", role="web worker", error=exc.message))
        sys.exit(1)
    _settle()
    return application


def _settle() -> None:
    """Spare the collector all that is loaded by now: looking at it again and again costs 20 ms in the midst of work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def _background(orders: Orders) -> None:
    os.nice(BACKGROUND_NICENESS)
    with Signals() as signals, compose.archive_of(orders.config) as archive:
        commitments = Commitments(archive, compose.registry(orders.config), signals.is_ending)
        telling = threading.Thread(target=commitments.run, name="commitments", daemon=True)
        telling.start()  # beside the rest: a peer that does not answer must hold up nothing else
        mover = SpoolMover(archive, signals.is_ending)
        threading.Thread(target=mover.run, name="spool", daemon=True).start()
        holder = f"{socket.gethostname()}:{orders.config.node.data_dir}"
        Background(archive, holder, signals.is_ending, signals.sleep).run()


def _samples(orders: Orders) -> None:
    """Not supervised: runs once."""
    sys.stdout.write(samples.store_into_empty(orders.config, Path(orders.samples)) + "\n")


ROLES: dict[str, Callable[[Orders], None]] = {
    "dimse": _dimse,
    "web": _web,
    "background": _background,
    "samples": _samples,
}
