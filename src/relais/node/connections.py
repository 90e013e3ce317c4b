"""Who is connected to a port of this process, and what the kernel counts of each connection. Knows sockets, not HTTP.

For servers that tell nobody over which connection a request came.
"""

import array
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INTERNET = (socket.AF_INET, socket.AF_INET6)
TCP_INFO_BYTES = 136
MAPPED = "::ffff:"  # how IPv4 addresses look at a socket for IPv6
COUNTS = struct.Struct("=120xQQ")  # bytes acknowledged by the peer, bytes received from it (linux/tcp.h, since 4.1)
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: what is still to be sent is thrown away

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Count:
    """What the kernel had counted of a connection at some time."""

    at: float
    acknowledged: int
    received: int


def to(port: int) -> Iterator[tuple[Address, socket.socket]]:
    """Who is connected to our *port*, and the connection, which is only lent."""
    for entry in Path("/proc/self/fd").iterdir():
        connection = _socket_at(int(entry.name))
        if connection is None:
            continue
        with connection, suppress(OSError):  # of one that listens, or has ended
            if connection.family in INTERNET and connection.getsockname()[1] == port:
                peer = connection.getpeername()
                yield (plain(peer[0]), peer[1]), connection


def plain(address: str) -> str:
    """*address*, written the same way whether it was seen at a socket for IPv4 or for IPv6."""
    return address.removeprefix(MAPPED)


def count(connection: socket.socket, now: float) -> Count:
    """What has gone over *connection* until *now*."""
    return Count(now, *COUNTS.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)))


def unread(connection: socket.socket) -> int:
    """Bytes that have come and that nobody has taken yet."""
    return _asked(connection, termios.FIONREAD)


def unsent(connection: socket.socket) -> int:
    """Bytes that wait to be sent, or to be acknowledged by the peer."""
    return _asked(connection, termios.TIOCOUTQ)


def stop_reading(connection: socket.socket) -> None:
    """Whoever reads from *connection* finds its end; an answer can still go out."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


def break_off(connection: socket.socket) -> None:
    """Whoever writes to *connection* fails, and what still waits to be sent goes when it is closed."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        connection.shutdown(socket.SHUT_RDWR)


def _socket_at(descriptor: int) -> socket.socket | None:
    """A handle of our own of what *descriptor* stands for; None if that is no socket, or none any more."""
    with suppress(OSError):
        own = os.dup(descriptor)
        try:
            return socket.socket(fileno=own)
        except OSError:
            os.close(own)
    return None


def _asked(connection: socket.socket, what: int) -> int:
    found = array.array("i", [0])
    fcntl.ioctl(connection, what, found)
    return found[0]
