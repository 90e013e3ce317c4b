"""A connection read through one buffer, where every wait has an end. Knows sockets, not what goes over them.

1. Bytes are asked of the kernel in large pieces and given on as slices of the buffer: nothing is copied to be parsed.
2. Memory is taken for what has come, never for what was announced.
3. Segments are acknowledged at once: a sender with Nagle's algorithm would else wait 40 ms with every message.
"""

import select
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from relais.peers.wire.patience import LONGEST_WAIT_S, Patience

BUFFER_BYTES = 256 * 1024
MAX_BUFFERS = 512  # handed to the kernel at once, of which Linux takes 1024
LINGER_S = 1.0  # how long what still comes is dropped, so that closing does not destroy what we sent last

QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class ConnectionLost(OSError):
    """The peer has closed the connection, or it broke."""


class Connection:
    """One connected socket. Used by one thread, but for `interrupt`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(connected, select.POLLIN)
        self._writable.register(connected, select.POLLOUT)
        self._patience = Patience(connected)
        self._is_tcp = connected.family in {socket.AF_INET, socket.AF_INET6}
        self._is_plain = type(connected) is socket.socket
        connected.setblocking(False)  # what is there costs one system call; for the rest there is poll
        if self._is_tcp:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_filled(self) -> bool:
        """Whether something was read that nobody has taken."""
        return self._end > self._start

    @property
    def has_data(self) -> bool:
        """Whether something can be read without waiting, be it the end."""
        if self._end > self._start:
            return True
        pending: Any = getattr(self._socket, "pending", None)  # of TLS, decrypted already
        return bool(pending and pending()) or bool(self._readable.poll(0))

    def wait(self, deadline: float) -> bool:
        """Whether a byte comes before *deadline*. Raises ConnectionLost."""
        try:
            if self._end == self._start:
                self._fill(deadline)
        except TimeoutError:
            return False
        return True

    def read(self, count: int, deadline: float) -> bytes:
        """Exactly *count* bytes. Raises ConnectionLost, TimeoutError."""
        if self._end - self._start >= count:
            taken = bytes(self._buffer[self._start : self._start + count])
            self._start += count
            return taken
        return b"".join([bytes(piece) for piece in self.slices(count, deadline)])

    def slices(self, count: int, deadline: float) -> Iterator[memoryview]:
        """The same in pieces, each of which is valid until the next one is asked for."""
        while count:
            if self._end == self._start:
                self._fill(deadline)
            taken = min(count, self._end - self._start)
            piece = self._buffer[self._start : self._start + taken]
            self._start += taken
            count -= taken
            yield piece

    def send(self, buffers: Sequence[bytes | bytearray | memoryview], timeout_s: float) -> None:
        """Send all of *buffers*, waiting while the network is behind. Raises ConnectionLost, TimeoutError.

        The wait has an end if the peer takes nothing for *timeout_s*, or too little: see Patience.
        """
        if self._is_plain:
            self._send_pieces(list(buffers), timeout_s)
        else:
            self._send_joined(memoryview(b"".join(buffers)), timeout_s)

    def interrupt(self) -> None:
        """End the wait of the thread that reads, now and for ever: it sees the end of the connection. For others."""
        with suppress(OSError):
            self._shut(socket.SHUT_RD)

    def drain(self) -> None:
        """Say that we are done, and drop what still comes, until the peer is done too or LINGER_S are over."""
        deadline = time.monotonic() + LINGER_S
        with suppress(OSError):
            self._shut(socket.SHUT_WR)
            while True:
                self._start = self._end = 0
                self._fill(deadline)

    def close(self) -> None:
        """Let go of socket and buffer. May be called again."""
        with suppress(OSError):
            self._shut(socket.SHUT_RDWR)
        with suppress(OSError):
            self._socket.close()
        self._buffer, self._start, self._end = memoryview(b""), 0, 0

    def _shut(self, how: int) -> None:
        """Of the connection below TLS: SSLSocket.shutdown would forget its keys and go on in the clear."""
        socket.socket.shutdown(self._socket, how)

    def _fill(self, deadline: float) -> None:
        """Ask the network for as much as fits. Only with an empty buffer."""
        self._start = self._end = 0
        while True:
            if time.monotonic() >= deadline:
                raise TimeoutError
            try:
                self._end = self._socket.recv_into(self._buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                if QUICKACK is not None and self._is_tcp:
                    self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
                _wait(self._readable, deadline)
            except ssl.SSLWantWriteError:
                _wait(self._writable, deadline)
            else:
                break
        if not self._end:
            raise ConnectionLost("closed by the peer")

    def _send_pieces(self, pieces: list[bytes | bytearray | memoryview], timeout_s: float) -> None:
        at = 0
        while at < len(pieces):
            try:
                sent = self._socket.sendmsg(pieces[at : at + MAX_BUFFERS])
            except BlockingIOError:
                self._patience.wait(self._writable, timeout_s)
                continue
            while at < len(pieces) and sent >= len(pieces[at]):
                sent -= len(pieces[at])
                at += 1
            if sent:
                pieces[at] = memoryview(pieces[at])[sent:]

    def _send_joined(self, rest: memoryview, timeout_s: float) -> None:
        """Over TLS, which takes one buffer at a time."""
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except ssl.SSLWantWriteError:
                self._patience.wait(self._writable, timeout_s)
            except ssl.SSLWantReadError:
                self._patience.wait(self._readable, timeout_s)


def _wait(event: select.poll, deadline: float) -> None:
    """Until *event*, or for a good while. Raises TimeoutError."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    event.poll(min(remaining, LONGEST_WAIT_S) * 1000)
