"""Cuts off uploads that come too slowly, and readers that take their answers too slowly. Knows bytes, not HTTP.

The HTTP server waits for either as long as it takes, and tells nobody over which connection. So connections are told
apart by what the kernel counts of them.

1. While an upload is overdue, one from its address is cut off that for as long has brought less than it should, has
   been sent nothing, and has nothing left to be read. It is closed for reading only: the answer still goes out. What
   waits for a long answer of ours looks alike: it may go with an overdue upload of its own address.
2. A connection that had something to take whenever it was looked at, and took less than it should, is broken off.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from socket import socket
from typing import Any

from relais.errors import TooSlow
from relais.node import connections
from relais.node.connections import Address, Count
from relais.telemetry.line import fields
from relais.web.record import Application, Environment
from relais.web.settings import WebSettings

PIECE_BYTES = 256 * 1024  # as web.body asks for at a time; a slow one is overdue when it has not come in time
LOOK_S = 1.0
LOOKS = 10  # at a reader, before it is judged

Waiting = dict["Watched", tuple[str, float]]

log = logging.getLogger(__name__)


class Watched:
    """A body to be read, with *patience_s* for each piece that is asked for.

    *waiting* holds it, with its address and since when, while somebody waits for it.
    """

    def __init__(self, stream: Any, address: str, patience_s: float, waiting: Waiting) -> None:
        self._stream, self._address = stream, connections.plain(address)
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

    Its uploads come with at least min_upload_rate bytes a second, or are cut off; so is who takes less than
    min_download_rate of its answers for stall_timeout_s.
    """

    def __init__(self, application: Application, settings: WebSettings) -> None:
        self._application = application
        self._uploads = Uploads(settings.port, settings.min_upload_rate)
        self._readers = Readers(settings.port, settings.min_download_rate, settings.stall_timeout_s)
        self._start = threading.Lock()
        self._is_started = False

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self._is_started:
            self._begin()
        if environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = self._uploads.watched(environ["wsgi.input"], environ["REMOTE_ADDR"])
        return self._application(environ, start_response)

    def _begin(self) -> None:
        """With the first request: before it, the worker may not have been forked, and the server not listen yet."""
        with self._start:
            if not self._is_started:
                for look, every_s in ((self._uploads.look, LOOK_S), (self._readers.look, self._readers.look_s)):
                    threading.Thread(target=_run, args=(look, every_s), name="patience", daemon=True).start()
                self._is_started = True


class Uploads:
    """The bodies that come over connections to *port*, each with at least *min_rate* bytes a second."""

    def __init__(self, port: int, min_rate: int) -> None:
        self._port, self._min_rate = port, min_rate
        self._patience_s = PIECE_BYTES / min_rate
        self._waiting: Waiting = {}
        self._counts: dict[Address, Count] = {}  # by the peer, while an upload is late

    def watched(self, stream: Any, address: str) -> Watched:
        """The body *stream* of somebody at *address*."""
        return Watched(stream, address, self._patience_s, self._waiting)

    def look(self) -> None:
        """Cut off what is overdue. Counts from half the time on, so that there is something to compare with."""
        now, half_s = time.monotonic(), self._patience_s / 2
        late = {address for address, since in list(self._waiting.values()) if now - since > half_s}
        counts: dict[Address, Count] = {}
        for address, connection in connections.to(self._port) if late else ():
            if address[0] in late:
                count = connections.count(connection, now)
                before = self._counts.get(address, count)
                if count.acknowledged != before.acknowledged or connections.unread(connection):
                    before = count
                counts[address] = before
                if now - before.at > half_s:
                    self._judge(connection, address, before, count)
        self._counts = counts

    def _judge(self, connection: socket, address: Address, before: Count, count: Count) -> None:
        if count.received - before.received < self._min_rate * (count.at - before.at):
            log.warning(fields(event="upload cut off", address=address[0], received=count.received))
            connections.stop_reading(connection)


class Readers:
    """Those who take answers over connections to *port*, each at least *min_rate* bytes a second over *patience_s*."""

    def __init__(self, port: int, min_rate: int, patience_s: float) -> None:
        self._port, self._min_rate, self._patience_s = port, min_rate, patience_s
        self.look_s = patience_s / LOOKS
        self._counts: dict[Address, Count] = {}  # by the peer, since it has not taken all that there is

    def look(self) -> None:
        """Break off who has taken too little."""
        now = time.monotonic()
        counts: dict[Address, Count] = {}
        for address, connection in connections.to(self._port):
            if not connections.unsent(connection):
                continue
            count = connections.count(connection, now)
            before = counts[address] = self._counts.get(address, count)
            if now - before.at >= self._patience_s:
                counts[address] = count
                self._judge(connection, address, before, count)
        self._counts = counts

    def _judge(self, connection: socket, address: Address, before: Count, count: Count) -> None:
        if count.acknowledged - before.acknowledged < self._min_rate * (count.at - before.at):
            log.warning(fields(event="answer cut off", address=address[0], taken=count.acknowledged))
            connections.break_off(connection)


def _run(look: Callable[[], None], every_s: float) -> None:
    while True:
        time.sleep(every_s)
        try:
            look()
        except Exception:  # the next look may see more
            log.exception("slow connections could not be looked for")
