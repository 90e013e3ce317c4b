"""Work that another thread does meanwhile: what leaves the interpreter alone, such as digests and writes to files.

Knows no objects. Whoever needs an errand that nobody has begun runs it himself: a busy thread holds nobody up.
"""

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread


class Errand:
    """Something to be done once, by the helper or by whoever needs it first."""

    __slots__ = ("_begun", "_done", "_error", "_job")

    def __init__(self, job: Callable[[], None]) -> None:
        self._job = job
        self._begun, self._done = Lock(), Lock()
        self._done.acquire()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do it, unless somebody has begun it."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._job()
        except BaseException as exc:  # told to whoever waits
            self._error = exc
        finally:
            self._done.release()

    def wait(self) -> None:
        """Have it done. Raises what it raised, each time it is asked."""
        self.run()
        with self._done:
            if self._error is not None:
                raise self._error


class Helper:
    """A thread, started with its first errand. A process that was forked starts its own."""

    def __init__(self) -> None:
        self._process = 0
        self._starting = Lock()
        self._errands: SimpleQueue[Errand | None] = SimpleQueue()

    def send(self, job: Callable[[], None]) -> Errand:
        """Have *job* begun as soon as the thread is free."""
        errand = Errand(job)
        if self._process != os.getpid():
            self._start()
        self._errands.put(errand)
        return errand

    def close(self) -> None:
        """Let the thread end when it has done what it was sent; the next errand starts another."""
        with self._starting:
            if self._process == os.getpid():
                self._process = 0
                self._errands.put(None)

    def _start(self) -> None:
        with self._starting:
            if self._process != os.getpid():
                self._errands = SimpleQueue()
                Thread(target=_run, args=(self._errands,), name="helper", daemon=True).start()
                self._process = os.getpid()


def _run(errands: "SimpleQueue[Errand | None]") -> None:
    while (errand := errands.get()) is not None:
        errand.run()
