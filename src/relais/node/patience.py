"""Cuts off uploads that come too slowly, and readers that stall. Knows sockets and what the kernel counts, not HTTP.

The HTTP server waits for a body as long as it takes, and tells nobody over which connection. So connections are told
apart by what the kernel knows: while an upload is overdue, one from its address is cut off that for as long has brought
less than it should, has been sent nothing, and has nothing left to be read. It is closed for reading only: the answer
still goes out. What waits for a long answer of ours looks alike: it may go with an overdue upload of its own address.
"""

import array
import fcntl
import logging
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relais.errors import TooSlow
from relais.telemetry.line import fields
from relais.web.record import Application, Environment
from relais.web.settings import WebSettings

PIECE_BYTES = 256 * 1024  # as web.body asks for at a time; a slow one is overdue when it has not come in time
LOOK_S = 1.0
INTERNET = (socket.AF_INET, socket.AF_INET6)
TCP_INFO_BYTES = 136
MAPPED = "::ffff:"  # how IPv4 addresses look at a socket for IPv6
COUNTS = struct.Struct("=120xQQ")  # bytes acknowledged by the peer, bytes received from it (linux/tcp.h, since 4.1)

Address = tuple[str, int]
Waiting = dict["Watched", tuple[str, float]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Count:
    """What the kernel had counted of a connection at some time."""

    at: float
    acknowledged: int
    received: int


class Watched:
    """A body to be read, with *patience_s* for each piece that is asked for.

    *waiting* holds it, with its address and since when, while somebody waits for it.
    """

    def __init__(self, stream: Any, address: str, patience_s: float, waiting: Waiting) -> None:
        self._stream, self._address = stream, address.removeprefix(MAPPED)
        self._patience_s, self._waiting = patience_s, waiting

    def read(self, size: int = -1) -> bytes:
        """As the stream's, which would wait for ever. Raises TooSlow when it has been cut off."""
        began_at = time.monotonic()
        self._waiting[self] = self._address, began_at
        try:
            data: bytes = self._stream.read(size)
        finally:
            del self._waiting[self]
        if len(data) < size and time.monotonic() - began_at > self._patience_s:
            raise TooSlow
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Patient:
    """A WSGI application around another, behind a server that listens on the port of *settings*.

    Its uploads come with at least min_upload_rate bytes a second, or are cut off; so is who stalls for stall_timeout_s.
    """

    def __init__(self, application: Application, settings: WebSettings) -> None:
        self._application, self._port, self._min_rate = application, settings.port, settings.min_upload_rate
        self._stall_timeout_s = settings.stall_timeout_s
        self._patience_s = PIECE_BYTES / self._min_rate
        self._waiting: Waiting = {}
        self._counts: dict[Address, Count] = {}  # by the peer, while an upload is late
        self._start = threading.Lock()
        self._is_started = False

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self._is_started:
            self._begin()
        if environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = Watched(
                environ["wsgi.input"], environ["REMOTE_ADDR"], self._patience_s, self._waiting
            )
        return self._application(environ, start_response)

    def _begin(self) -> None:
        """With the first request: before it, the worker may not have been forked, and the server not listen yet."""
        with self._start:
            if not self._is_started:
                cut_stalled_readers(self._port, self._stall_timeout_s)
                threading.Thread(target=self._run, name="patience", daemon=True).start()
                self._is_started = True

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_S)
            try:
                self.look()
            except Exception:  # the next look may see more
                log.exception("slow uploads could not be looked for")

    def look(self) -> None:
        """Cut off what is overdue. Counts from half the time on, so that there is something to compare with."""
        now, half_s = time.monotonic(), self._patience_s / 2
        late = {address for address, since in list(self._waiting.values()) if now - since > half_s}
        counts: dict[Address, Count] = {}
        for address, connection in _connections(self._port) if late else ():
            if address[0] in late:
                count = _count(connection, now)
                before = self._counts.get(address, count)
                if count.acknowledged != before.acknowledged or _unread(connection):
                    before = count
                counts[address] = before
                if now - before.at > half_s:
                    self._judge(connection, address, before, count)
        self._counts = counts

    def _judge(self, connection: socket.socket, address: Address, before: Count, count: Count) -> None:
        if count.received - before.received < self._min_rate * (count.at - before.at):
            log.warning(fields(event="upload cut off", address=address[0], received=count.received))
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)


def cut_stalled_readers(port: int, after_s: float) -> None:
    """Have the kernel close every connection to our *port* whose peer takes nothing of what we send for so long.

    Connections to come inherit it from the socket that listens.
    """
    for entry in Path("/proc/self/fd").iterdir():
        found = _socket_at(int(entry.name))
        if found is None:
            continue
        with found, suppress(OSError):  # of one that has ended
            if found.family in INTERNET and found.getsockname()[1] == port:
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(after_s * 1000))


def _connections(port: int) -> Iterator[tuple[Address, socket.socket]]:
    """Who is connected to our *port*, and the connection, which is only lent."""
    for entry in Path("/proc/self/fd").iterdir():
        connection = _socket_at(int(entry.name))
        if connection is None:
            continue
        with connection, suppress(OSError):  # of one that listens, or has ended
            if connection.family in INTERNET and connection.getsockname()[1] == port:
                peer = connection.getpeername()
                yield (peer[0].removeprefix(MAPPED), peer[1]), connection


def _socket_at(descriptor: int) -> socket.socket | None:
    """A handle of our own of what *descriptor* stands for; None if that is no socket, or none any more."""
    with suppress(OSError):
        own = os.dup(descriptor)
        try:
            return socket.socket(fileno=own)
        except OSError:
            os.close(own)
    return None


def _count(connection: socket.socket, now: float) -> Count:
    return Count(now, *COUNTS.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)))


def _unread(connection: socket.socket) -> int:
    """Bytes that have come and that nobody has taken yet."""
    found = array.array("i", [0])
    fcntl.ioctl(connection, termios.FIONREAD, found)
    return found[0]
