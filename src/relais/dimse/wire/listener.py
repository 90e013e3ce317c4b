"""Takes connections and gives each that speaks a thread. Knows sockets and limits, not what an association is.

1. Accepting never blocks: a connection costs a file descriptor until its first byte, and a thread only from then on.
2. A connection that says nothing is closed after a time limit, or earlier when there are too many: the oldest first, so
   that those who hold connections open do not keep out those who use them.
3. What takes long (a TLS handshake, the first PDU) is done in the connection's own thread: see *welcome*.
4. Of several processes that share the listening socket, who has fewest connections takes the next: the others hesitate.
"""

import logging
import select
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Protocol

from relais.telemetry.line import fields

PAUSE_S = 0.05  # after an accept that failed, for instance because there are no file descriptors left
HESITATION_S = 0.05  # at most: for other processes to be faster, also on a busy machine
GLANCE_S = 0.001
IDLE_S = 2.0  # a thread without work waits so long for the next connection: to start another costs 0.1 ms
NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"  # so a node that wants one asks itself whether it is ready
GONE = (ConnectionError, ssl.SSLEOFError)  # so balancers ask: they come and go every few seconds

Address = Any  # as the socket module has it: (host, port, ...)

log = logging.getLogger(__name__)


class Served(Protocol):
    """What a connection becomes."""

    is_established: bool

    def serve(self) -> None:
        """Until it is over; in the connection's own thread."""

    def abort(self, block: bool = True) -> None:
        """End it, from any thread."""


class Share(Protocol):
    """What the processes that share a listening socket know of each other."""

    @property
    def is_another_freer(self) -> bool: ...

    def have_connections(self, number: int, /) -> None: ...


Make = Callable[[socket.socket, Address], Served]
Welcome = Callable[[socket.socket, Address], tuple[socket.socket, Address]]


@dataclass(frozen=True, slots=True)
class Limits:
    """*silent* connections and *threads* of those that speak, in total; *silent_s* until the first byte."""

    silent: int = 256
    threads: int = 320
    silent_s: float = 20.0


class Listener:
    """A listening socket, which other processes may share, and all that came of it.

    *welcome* may put another socket in the place of one that is to be served, and say from where it really comes.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Make,
        limits: Limits,
        welcome: Welcome | None = None,
        share: Share | None = None,
    ) -> None:
        self._listening, self._make, self._limits, self._welcome, self._share = listening, make, limits, welcome, share
        listening.setblocking(False)
        self.server_address = listening.getsockname()
        self._selector = selectors.DefaultSelector()
        self._silent: dict[socket.socket, float] = {}  # until when, oldest first
        self._served: dict[Served, None] = {}  # oldest first
        self._threads = 0  # at work
        self._idle = 0
        self._next: SimpleQueue[tuple[socket.socket, Address] | None] = SimpleQueue()  # for those that are idle
        self._lock = Lock()
        self._wake, self._woken = socket.socketpair()
        self._is_closing = False
        self._has_ended = Event()

    @property
    def active_associations(self) -> list[Served]:
        """What is being served now."""
        with self._lock:
            return list(self._served)

    def serve_forever(self, look_s: float = 1.0) -> None:
        """Accept until shutdown. Looks at least every *look_s* whether a connection has been silent for too long."""
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, lambda: None)
        self._tell()
        try:
            while not self._is_closing:
                for key, _ in self._selector.select(look_s):
                    key.data()
                self._close_silent()
        finally:
            self._end()

    def shutdown(self) -> None:
        """Stop listening. What is being served goes on."""
        self._is_closing = True
        with suppress(OSError):  # ended already
            self._wake.send(b"\0")
        self._has_ended.wait()

    def _end(self) -> None:
        for connection in [*self._silent, self._listening, self._wake, self._woken]:
            connection.close()  # our own handle of the listening socket: others may share it
        self._selector.close()
        for _ in range(self._idle):
            self._next.put(None)
        self._has_ended.set()

    def _accept(self) -> None:
        self._hesitate()
        try:
            connection, address = self._listening.accept()
        except BlockingIOError:  # another process was faster
            return
        except OSError as exc:
            log.warning("a connection could not be accepted: %s", exc.strerror)
            self._drop_silent(1)
            time.sleep(PAUSE_S)
            return
        self._drop_silent(len(self._silent) + 1 - self._limits.silent)
        self._silent[connection] = time.monotonic() + self._limits.silent_s
        self._selector.register(connection, selectors.EVENT_READ, partial(self._start, connection, address))
        self._tell()

    def _hesitate(self) -> None:
        """Leave a connection to another process for a moment, if that has fewer."""
        deadline = time.monotonic() + HESITATION_S
        waiting = select.poll()
        waiting.register(self._listening, select.POLLIN)
        while self._share and self._share.is_another_freer and time.monotonic() < deadline and waiting.poll(0):
            time.sleep(GLANCE_S)

    def _tell(self) -> None:
        if self._share is not None:
            self._share.have_connections(len(self._silent) + self._threads)

    def _close_silent(self) -> None:
        now = time.monotonic()
        self._drop_silent(sum(1 for until in self._silent.values() if until <= now))

    def _drop_silent(self, count: int) -> None:
        """Close those *count* that have been silent for longest."""
        for connection in list(self._silent)[: max(0, count)]:
            self._forget(connection)
            connection.close()
            self._tell()

    def _forget(self, connection: socket.socket) -> None:
        del self._silent[connection]
        self._selector.unregister(connection)

    def _start(self, connection: socket.socket, address: Address) -> None:
        """Give *connection* a thread: it has something to say."""
        if connection not in self._silent:  # closed a moment ago
            return
        self._forget(connection)
        connection.setblocking(True)
        with self._lock:
            has_room = self._threads < self._limits.threads
            is_awaited = has_room and self._idle > 0
            self._threads += has_room
            self._idle -= is_awaited
        if is_awaited:
            self._next.put((connection, address))
        elif has_room:
            Thread(target=self._work, args=(connection, address), name="dimse", daemon=True).start()
        else:
            connection.close()
            self._abort_oldest()

    def _abort_oldest(self) -> None:
        """Make room for the next: of those that have not asked for an association yet, the oldest must go."""
        for served in self.active_associations:
            if not served.is_established:
                served.abort(block=False)
                return

    def _work(self, connection: socket.socket, address: Address) -> None:
        """Serve one connection after another."""
        given: tuple[socket.socket, Address] | None = (connection, address)
        while given is not None:
            self._run(*given)
            given = self._await_next()

    def _await_next(self) -> tuple[socket.socket, Address] | None:
        """The next connection for this thread; None if it is not needed."""
        with self._lock:
            if self._is_closing:
                return None
            self._idle += 1
        while True:
            try:
                return self._next.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if self._idle:  # else something was put a moment ago, for us unless another thread was faster
                        self._idle -= 1
                        return None

    def _run(self, connection: socket.socket, address: Address) -> None:
        try:
            welcomed = self._welcomed(connection, address)
            if welcomed is not None:
                connection, address = welcomed
                with suppress(OSError):  # it may be broken by now
                    self._serve(self._make(connection, address))
        except Exception:
            log.exception("a connection could not be served")
        finally:
            connection.close()
            with self._lock:
                self._threads -= 1
            self._tell()

    def _welcomed(self, connection: socket.socket, address: Address) -> tuple[socket.socket, Address] | None:
        """The connection that is to be served, and from where it comes; None if the welcome failed."""
        if self._welcome is None:
            return connection, address
        try:
            is_from_here = connection.getsockname()[0] == address[0]
            connection.settimeout(self._limits.silent_s)
            return self._welcome(connection, address)
        except OSError as exc:
            why = _why(exc)
            is_check = isinstance(exc, GONE) or (is_from_here and why == NO_CERTIFICATE)
            level = logging.DEBUG if is_check else logging.WARNING
            log.log(level, "%s", fields(event="no welcome", address=address[0], error=why))
            return None

    def _serve(self, served: Served) -> None:
        with self._lock:
            self._served[served] = None
        try:
            served.serve()
        finally:
            with self._lock:
                del self._served[served]


def _why(exc: OSError) -> str:
    """What OpenSSL says of the other end's certificate or of the handshake, else what the failure says of itself."""
    said = (getattr(exc, "verify_message", ""), getattr(exc, "reason", ""), str(exc))
    return next((text for text in said if text), type(exc).__name__)
