"""Ends waits for a server that hangs. Knows sockets and clocks, not what is waited for.

The limits that PostgreSQL keeps itself (statement_timeout, lock_timeout) say nothing where it stands still: its machine
is frozen, its disk hangs, or the network swallows all packets. So who waits notes until when, and one thread of the
process looks at these notes: whoever is overdue loses the connection, which ends the wait as any lost connection does.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

EVERY_S = 1.0  # between two looks
NEVER = float("inf")


class Line:
    """The way to the server of one connection, and until when somebody waits on it, by the monotonic clock."""

    __slots__ = ("_socket", "due", "is_cut")

    def __init__(self, fd: int) -> None:
        """*fd* is the connection's socket; ours is another name of it, which stays ours if that one is closed."""
        self.due = NEVER
        self.is_cut = False
        self._socket = socket.socket(fileno=os.dup(fd))

    def cut(self) -> None:
        """End the connection under whoever waits on it."""
        self.is_cut = True
        with suppress(OSError):  # the server has ended it
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


class Watch:
    """The lines of one process to one server. *on_cut* is called when one was overdue."""

    def __init__(self, on_cut: Callable[[], None]) -> None:
        self._on_cut = on_cut
        self._mutex = threading.Lock()
        self._lines: set[Line] = set()
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, fd: int) -> Line:
        """Watch over the connection whose socket is *fd*."""
        line = Line(fd)
        with self._mutex:
            self._lines.add(line)
            if self._thread is None and not self._is_closed.is_set():
                self._thread = threading.Thread(target=self._run, name="index-watch", daemon=True)
                self._thread.start()
        return line

    def remove(self, line: Line) -> None:
        """Watch over it no more."""
        with self._mutex:
            self._lines.discard(line)
            line.close()

    def close(self) -> None:
        """End the thread. What is still in use has its server's limits only."""
        self._is_closed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        before: dict[Line, float] = {}
        while not self._is_closed.wait(EVERY_S):
            before = self._look(before)

    def _look(self, before: dict[Line, float]) -> dict[Line, float]:
        """Cut what was overdue *before* and still is: an answer may be here and its thread not yet have had its turn,
        when all of this process stood still. Returns what is overdue now.
        """
        now = time.monotonic()
        with self._mutex:
            late = {line: line.due for line in self._lines if line.due < now and not line.is_cut}
            overdue = [line for line, due in late.items() if before.get(line) == due]
            for line in overdue:
                line.cut()
        if overdue:
            self._on_cut()
        return late
