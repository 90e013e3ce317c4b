"""Signals as something to wait for. Knows which signals matter to a process, not what it does about them.

A handler may run between any two instructions, so it only counts; the wake-up pipe does the waking. An Event set by a
handler could meet its own lock.

One wish to end may come as several signals: a terminal's Ctrl-C reaches a whole process group, and so does what ends
`timeout make run`, after which make passes it on. What comes within APART_S of one that was counted is part of it.

A terminal that is closed sends SIGHUP: that is such a wish, unless we were started so that it is ignored (nohup).
"""

import os
import select
import signal
import time
from types import FrameType, TracebackType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
APART_S = 1.0  # a person who does not want to wait takes that long to notice


class Signals:
    """Counts how often this process is asked to end. A context manager, in the main thread only."""

    def __init__(self) -> None:
        self.told_to_end = 0
        self.told_by = ""  # the name of the signal that did it first
        self._told_at = 0.0

    def __enter__(self) -> "Signals":
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(self._writable, False)
        heeded = [number for number in ENDING if not _is_to_be_ignored(number)]
        self._former = {number: signal.signal(number, self._count) for number in heeded}
        self._former[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._former_fd = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._former_fd)
        for number, handler in self._former.items():
            signal.signal(number, handler)
        os.close(self._readable)
        os.close(self._writable)

    def is_ending(self) -> bool:
        """Whether this process has been told to end."""
        return self.told_to_end > 0

    def is_hurried(self) -> bool:
        """Whether it has been told so again, since it did not end soon enough."""
        return self.told_to_end > 1

    def wait(self, timeout_s: float | None = None) -> None:
        """Until a signal comes, of which the end of a child is one, or *timeout_s* is over."""
        readable, _, _ = select.select(
            [self._readable], [], [], timeout_s if timeout_s is None else max(0.0, timeout_s)
        )
        if readable:
            os.read(self._readable, 4096)

    def sleep(self, timeout_s: float) -> None:
        """*timeout_s*, or less if this process has been told to end."""
        if not self.is_ending():
            self.wait(timeout_s)

    def wait_for_end(self) -> None:
        """Until this process is told to end."""
        while not self.is_ending():
            self.wait()

    def _count(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.told_to_end == 0 or now - self._told_at >= APART_S:
            self.told_to_end += 1
            self.told_by = self.told_by or signal.Signals(number).name
            self._told_at = now


def _is_to_be_ignored(number: int) -> bool:
    """Whether whoever started us said so; of the others it is no wish: shells do it to what runs in the background."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
