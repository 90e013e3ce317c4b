"""One worker process, seen from the pool: started, asked, ended. Knows pipes and signals, not what is asked.

Used by one thread at a time. Whatever goes wrong leaves the process ended and waited for, never half alive.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from relais.errors import InvalidDataSet, NodeError, TooLarge, Unavailable
from relais.pixels import wire
from relais.pixels.settings import MEGABYTE, PixelSettings

START_TIMEOUT_S = 60.0  # importing numpy on a busy machine

_DYING_S = 10.0  # from the end of a pipe to the end of its process, on a busy machine
_KILLED_FOR_SIZE = frozenset({-signal.SIGKILL, -signal.SIGALRM, -signal.SIGXCPU})  # by the kernel, or by its own alarm

# All that a worker learns of our environment: secrets stay here.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each would reserve address space
# The C library keeps what a frame took for the next frame: fresh pages from the kernel cost more than rendering one.
_KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * MEGABYTE), "MALLOC_TRIM_THRESHOLD_": str(64 * MEGABYTE)}

Buffer = bytes | bytearray | memoryview


class WorkerProcess:
    """Raises Unavailable if it cannot be started."""

    def __init__(self, settings: PixelSettings) -> None:
        self._settings = settings
        self.idle_since = 0.0
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "relais.pixels.worker", json.dumps(asdict(settings))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment | _ONE_THREAD | _KEPT_MEMORY,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as exc:
            raise Unavailable("A pixel worker cannot be started.") from exc
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._max_answer_bytes = 2 * settings.max_frame_bytes
        self._deadline = self._last_deadline = time.monotonic() + START_TIMEOUT_S
        self._wait_until_ready()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, fields: dict[str, Any], parts: Sequence[Buffer], timeout_s: float, longest_s: float) -> wire.Message:
        """The answer to one request.

        *timeout_s* runs anew whenever the worker reports progress, *longest_s* does not. Raises TooLarge when time is
        up, InvalidDataSet or TooLarge if the worker dies of it; the process is then ended.
        """
        now = time.monotonic()
        self._deadline, self._last_deadline = min(now + timeout_s, now + longest_s), now + longest_s
        try:
            self._write(wire.prefix(fields, sum(len(part) for part in parts)))
            for part in parts:
                self._write(part)
            while "progress" in (answer := self._read_message()).fields:
                self._deadline = min(time.monotonic() + timeout_s, self._last_deadline)
        except (OSError, wire.BrokenPipe):
            raise self._cause_of_death() from None
        except BaseException:
            self.end()
            raise
        return answer

    def kill(self) -> None:
        """Make whoever waits for it notice. For other threads; the one that uses it calls end."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, wait for it, close the pipes. Harmless if it is dead already."""
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def forget(self) -> None:
        """After a fork: close our copies of the pipes. The process is our parent's, who will wait for it."""
        self._process.returncode = 0
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _wait_until_ready(self) -> None:
        for pipe in (self._requests, self._answers):
            os.set_blocking(pipe, False)
            with contextlib.suppress(OSError):  # a frame in one go; the system may allow less
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, MEGABYTE)
        try:
            self._read_message()
        except (OSError, wire.BrokenPipe, NodeError) as exc:
            self.end()
            raise Unavailable("A pixel worker does not start.") from exc

    def _cause_of_death(self) -> NodeError:
        """What to tell the caller; ends and waits for the process."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING_S)
        status = self._process.poll()
        self.end()
        if status in _KILLED_FOR_SIZE:
            return TooLarge("The frame needs too much memory or time.")
        if status is None or status >= 0:
            return Unavailable("A pixel worker has ended; try again.")
        return InvalidDataSet("The frame makes its decoder fail.")

    def _read_message(self) -> wire.Message:
        return wire.receive(self._read, self._max_answer_bytes)

    def _read(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            try:
                count = os.readv(self._answers, [view])
            except BlockingIOError:
                self._wait_for(self._answers, select.POLLIN)
                continue
            if not count:
                raise wire.BrokenPipe("The worker has closed its end.")
            view = view[count:]
        return data

    def _write(self, data: Buffer) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._requests, view) :]
            except BlockingIOError:
                self._wait_for(self._requests, select.POLLOUT)

    def _wait_for(self, pipe: int, event: int) -> None:
        """Until *pipe* is ready. Raises TooLarge when time is up."""
        poller = select.poll()
        poller.register(pipe, event)
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0 or not poller.poll(remaining_s * 1000):
            raise TooLarge("The frame takes too long to decode.")
