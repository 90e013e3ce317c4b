"""What each process of the node does. The supervisor starts them with their Orders on standard input."""

import functools
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relais.config import Config, from_json, to_json
from relais.errors import NodeError
from relais.node import compose, http_server, lifeline, log, samples
from relais.node.background import Background
from relais.node.signals import Signals
from relais.telemetry.line import fields

DRAIN_S = 8.0  # associations that last longer than this after SIGTERM are aborted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a child must know.

    *listener_fd* is the DIMSE door's socket, which outlives the process behind it. *samples* is a folder, or "".
    """

    parent_pid: int
    config: Config
    listener_fd: int | None = None
    samples: str = ""

    def to_json(self) -> str:
        return json.dumps([self.parent_pid, to_json(self.config), self.listener_fd, self.samples])


def read_orders(text: str) -> Orders:
    """What `Orders.to_json` gave."""
    parent_pid, config, listener_fd, samples = json.loads(text)
    return Orders(parent_pid, from_json(config), listener_fd, samples)


def run(role: str) -> int:
    """Be the process *role* ("dimse", "web", "background") until SIGTERM, and return its exit code."""
    orders = read_orders(sys.stdin.read())
    lifeline.end_with_parent(orders.parent_pid)
    log.configure(orders.config.node.log_level)
    try:
        ROLES[role](orders)
    except NodeError as exc:
        logger.error(fields(event="role failed", role=role, error=exc.message))
        return 1
    return 0


def _dimse(orders: Orders) -> None:
    assert orders.listener_fd is not None
    with Signals() as signals, compose.archive_of(orders.config) as archive:
        server = compose.dimse_server(orders.config, archive)
        server.start(socket.socket(fileno=orders.listener_fd))
        signals.wait_for_end()
        server.stop(DRAIN_S)


def _web(orders: Orders) -> None:
    http_server.serve(orders.config.web, functools.partial(_web_worker, orders.config, os.getpid()))


def _web_worker(config: Config, parent_pid: int) -> http_server.Application:
    """What every HTTP worker loads, in its own process."""
    lifeline.end_with_parent(parent_pid)
    log.configure(config.node.log_level)
    return compose.web_application(config, compose.open_archive(config))


def _background(orders: Orders) -> None:
    with Signals() as signals, compose.archive_of(orders.config) as archive:
        Background(archive, signals.is_ending, signals.sleep).run()


def _samples(orders: Orders) -> None:
    """Not supervised: runs once."""
    sys.stdout.write(samples.store_into_empty(orders.config, Path(orders.samples)) + "\n")


ROLES: dict[str, Callable[[Orders], None]] = {
    "dimse": _dimse,
    "web": _web,
    "background": _background,
    "samples": _samples,
}
