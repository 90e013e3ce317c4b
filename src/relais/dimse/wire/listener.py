"""Takes connections and gives each that speaks a thread. Knows sockets and limits, not what an association is.

1. Accepting never blocks: a connection costs a file descriptor until its first byte, and a thread only from then on.
2. A connection that says nothing is closed after a time limit, or earlier when there are too many: the oldest first, so
   that those who hold connections open do not keep out those who use them. So is, where all threads are taken, one that
   has said something but is no association yet, be it still in the midst of its TLS handshake.
3. What takes long (a TLS handshake, the first PDU) is done in the connection's own thread: see *welcome*.
4. Of several processes that share the listening socket, who has fewest connections takes the next: the others hesitate.
"""

import logging
import select
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


class _Visit:
    """A connection that has a thread: in its *welcome* or *served*, of which `make_way` may end either."""

    def __init__(self, connection: socket.socket, address: Address) -> None:
        self.connection, self.address = connection, address
        self.welcomed: socket.socket | None = None  # a handle of our own: the handshake puts its own in the place of it
        self.served: Served | None = None
        self.goes = False

    def make_way(self) -> bool:
        """Have it end soon, from any thread; whether it will, and was not to before."""
        if self.goes or (self.served and self.served.is_established):
            return False
        if self.served:
            self.served.abort(block=False)
        elif self.welcomed:
            with suppress(OSError):  # it has ended
                self.welcomed.shutdown(socket.SHUT_RDWR)
        self.goes = bool(self.served or self.welcomed)
        return self.goes


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
        self._visits: dict[_Visit, None] = {}  # oldest first
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
            return [visit.served for visit in self._visits if visit.served]

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
            self._make_room(address)

    def _make_room(self, refused: Address) -> None:
        """For the next: of those that have not asked for an association yet, the oldest must go."""
        with self._lock:
            gone = next((visit.address[0] for visit in self._visits if visit.make_way()), "nobody")
        log.warning("%s", fields(event="no thread", refused=refused[0], ended=gone))

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
        visit = _Visit(connection, address)
        with self._lock:
            self._visits[visit] = None
        try:
            if self._is_welcome(visit):
                with suppress(OSError):  # it may be broken by now
                    self._serve(visit)
        except Exception:
            log.exception("a connection could not be served")
        finally:
            visit.connection.close()
            with self._lock:
                del self._visits[visit]
                self._threads -= 1
            self._tell()

    def _is_welcome(self, visit: _Visit) -> bool:
        """Whether it is to be served; then *visit* has the connection for that, and from where it really comes."""
        if self._welcome is None:
            return True
        is_from_here = False
        try:
            is_from_here = visit.connection.getsockname()[0] == visit.address[0]
            visit.connection.settimeout(self._limits.silent_s)
            with self._held(visit):
                visit.connection, visit.address = self._welcome(visit.connection, visit.address)
        except OSError as exc:
            why = _why(exc)
            is_check = isinstance(exc, GONE) or (is_from_here and why == NO_CERTIFICATE)
            level = logging.DEBUG if is_check else logging.WARNING
            log.log(level, "%s", fields(event="no welcome", address=visit.address[0], error=why))
            return False
        return True

    @contextmanager
    def _held(self, visit: _Visit) -> Iterator[None]:
        """Meanwhile the listener's thread can end it."""
        with visit.connection.dup() as handle:
            with self._lock:
                visit.welcomed = handle
            try:
                yield
            finally:
                with self._lock:
                    visit.welcomed = None

    def _serve(self, visit: _Visit) -> None:
        served = self._make(visit.connection, visit.address)
        with self._lock:
            visit.served = served
        served.serve()


def _why(exc: OSError) -> str:
    """What OpenSSL says of the other end's certificate or of the handshake, else what the failure says of itself."""
    said = (getattr(exc, "verify_message", ""), getattr(exc, "reason", ""), str(exc))
    return next((text for text in said if text), type(exc).__name__)
