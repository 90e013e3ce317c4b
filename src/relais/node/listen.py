"""Ports: taken, or refused with a sentence. Knows sockets, not protocols."""

import errno
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from relais.errors import Unavailable

BACKLOG = 1024  # so many wait until somebody accepts; who comes beyond them is not heard, and tries again
PATIENCE_S = 2.0  # how long a port may still be held by a node that was killed a moment ago


def listener(host: str, port: int, door: str, patience_s: float = PATIENCE_S) -> socket.socket:
    """A socket that listens on *host* and *port* (0: any free one). Raises Unavailable, naming *door*, if it cannot."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return _bound(host, port)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise Unavailable(_sentence(exc, host, port, door)) from exc
        time.sleep(0.1)


@contextmanager
def listeners(
    host: str, port: int, door: str, count: int, patience_s: float = PATIENCE_S
) -> Iterator[list[socket.socket]]:
    """*count* sockets that listen on *host* and *port* (0: any free one) until the end of the context.

    The kernel gives each connection to one of them, by chance. Where it cannot, outside Linux, there is only one.
    The port is ours alone: it counts as taken by who listens there already, willing to share it or not.
    Raises as `listener` does.
    """
    with ExitStack() as taken:
        first = taken.enter_context(listener(host, port, door, patience_s))
        made = [first]
        if count > 1 and sys.platform == "linux":
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # only now: see above
            made += [taken.enter_context(_beside(first)) for _ in range(1, count)]
        for one in made:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections have it from their listener
        yield made


def free_port(host: str, port: int, door: str) -> int:
    """*port* if it can be taken, or a free one for 0, left free for a server that binds by itself."""
    with listener(host, port, door) as taken:
        return int(taken.getsockname()[1])


def answers(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether somebody accepts connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout_s):
        return True
    return False


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return _listening(socket.socket(family, kind, protocol), where, socket.SO_REUSEADDR)


def _beside(first: socket.socket) -> socket.socket:
    """One more at the address of *first*."""
    made = socket.socket(first.family, first.type, first.proto)
    return _listening(made, first.getsockname(), socket.SO_REUSEADDR, socket.SO_REUSEPORT)


def _listening(made: socket.socket, where: tuple[Any, ...], *options: int) -> socket.socket:
    try:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind(where)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _sentence(exc: OSError, host: str, port: int, door: str) -> str:
    reasons = {
        errno.EADDRINUSE: "another program is using it",
        errno.EACCES: "ports below 1024 need privileges that this user lacks",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    why = reasons.get(exc.errno or 0, exc.strerror or str(exc))
    return f"The {door} door cannot listen on {host}:{port}: {why}. Set [{door}] host and port, or stop the other one."
