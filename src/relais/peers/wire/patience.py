"""How long a peer is waited for that takes what we send slowly. Knows what the kernel counts, not what is sent.

A time limit for all that is handed over at once would cut off who takes it steadily over a slow line; none but for
silence would let who takes a byte a minute hold a thread and a seat for ever. So each byte that is taken buys time.
"""

import array
import fcntl
import select
import socket
import termios
import time

MIN_RATE = 8192  # bytes a second, as [web] min_download_rate; who takes less for longer than the time limit is given up
LOOKS = 10  # in the time limit, at what has been taken: the kernel tells that there is room only when there is much
LONGEST_WAIT_S = 3600.0  # in one call


class Patience:
    """With who is at the other end of *connected*: as long as the time limit, less what was waited, and more again for
    each byte that it took meanwhile and for the time in which nobody waited."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self._used_s, self._waited_at = 0.0, 0.0

    def wait(self, event: select.poll, timeout_s: float) -> None:
        """Until *event*, which is that we can go on sending. Raises TimeoutError when patience is at an end."""
        at, unsent = time.monotonic(), self._unsent()
        self._used_s = max(0.0, self._used_s - (at - self._waited_at))
        is_over = False
        while not is_over:
            remaining_s = timeout_s - self._used_s
            if remaining_s <= 0:
                raise TimeoutError
            is_over = bool(event.poll(min(remaining_s, timeout_s / LOOKS, LONGEST_WAIT_S) * 1000))
            before, unsent_before, at, unsent = at, unsent, time.monotonic(), self._unsent()
            bought_s = max(0, unsent_before - unsent) / MIN_RATE
            self._used_s = max(0.0, self._used_s + at - before - bought_s)
        self._waited_at = at

    def _unsent(self) -> int:
        """Bytes that wait to be sent, or to be acknowledged by the peer."""
        found = array.array("i", [0])
        fcntl.ioctl(self._connected, termios.TIOCOUTQ, found)
        return found[0]
