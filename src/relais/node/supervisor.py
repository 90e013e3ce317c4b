"""Starts the processes of a node, restarts those that die, and ends them all. Knows commands, not what they do.

1. A child that ends with an exit code before the node has been ready once stops the start: what it needs is missing,
   and it has said so. Killed by a signal, or any time later, it is started again, later and later while it keeps dying.
2. SIGTERM, SIGINT or SIGHUP ends every child: first by SIGTERM, after the grace by SIGKILL. Told again
   (node.signals), it waits no longer.
3. What a child started is in the child's process group and goes with it.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from relais.node.signals import Signals
from relais.telemetry.line import fields

GRACE_S = 9.0  # the whole node must be gone 10 s after SIGTERM
FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_S = 30.0  # a child that lived this long may die again without waiting longer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One process to keep alive: *given* is written to its standard input when it starts, not before *start_at*."""

    name: str
    command: Sequence[str]
    given: str = ""
    environment: Mapping[str, str] | None = None
    keep_open: tuple[int, ...] = ()
    process: subprocess.Popen[str] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    delay_s: float = field(default=FIRST_DELAY_S)

    def start(self) -> None:
        """Start the process, in a process group of its own: a terminal's Ctrl-C reaches only the supervisor."""
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            self.command,
            stdin=subprocess.PIPE,
            text=True,
            env=self.environment,
            pass_fds=self.keep_open,
            process_group=0,
        )
        self.started_at = time.monotonic()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once; that is seen where children are looked after
            self.process.stdin.write(self.given)
            self.process.stdin.close()
        log.info(fields(event="started", child=self.name, child_pid=self.process.pid))

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send *number* to the process, or to it and everything it started."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                (os.killpg if group else os.kill)(self.process.pid, number)

    def ended(self) -> int | None:
        """The exit code (negative: the signal) if the process is gone, None while it lives or was not started."""
        return self.process.poll() if self.process else None

    def put_off(self) -> float:
        """Remember that the process is gone, and after how many seconds, which are returned, to start it again."""
        steady = time.monotonic() - self.started_at >= STEADY_S
        wait_s = FIRST_DELAY_S if steady else self.delay_s
        self.start_at = time.monotonic() + wait_s
        self.delay_s = min(wait_s * 2, LONGEST_DELAY_S)
        self.process = None
        return wait_s


class Supervisor:
    """Keeps *children* alive until told to end. *is_ready* tells whether the node has been ready once.

    *on_ending* is called when the node begins to end, *on_end* is told the process id of every child that ended.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        is_ready: Callable[[], bool] = lambda: True,
        on_ending: Callable[[], None] = lambda: None,
        on_end: Callable[[int], None] = lambda pid: None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.children = children
        self.is_ready = is_ready
        self.on_ending = on_ending
        self.on_end = on_end
        self.grace_s = grace_s
        self.failed = False

    def run(self) -> int:
        """Return the exit code of the node: 0 when it was told to end, 1 when it could not start."""
        with Signals() as signals:
            try:
                self._look_after_children()
                while not signals.is_ending() and not self.failed:
                    signals.wait(self._due_in_s())
                    self._look_after_children()
            finally:
                self._end(signals)
        return int(self.failed)

    def _look_after_children(self) -> None:
        for child in self.children:
            code = child.ended()
            if code is not None:
                self._bury(child, code)
            elif child.process is None and time.monotonic() >= child.start_at:
                child.start()

    def _bury(self, child: Child, code: int) -> None:
        assert child.process is not None
        pid = child.process.pid
        child.signal(signal.SIGKILL, group=True)
        self.on_end(pid)
        wait_s = child.put_off()
        if code > 0 and not self.is_ready():
            self.failed = True
            log.error(fields(event="start failed", child=child.name, child_pid=pid, exit_code=code))
        else:
            log.warning(fields(event="died", child=child.name, child_pid=pid, exit_code=code, again_in_s=wait_s))

    def _end(self, signals: Signals) -> None:
        """End every child: politely, then not."""
        log.info(fields(event="ending", told_by=signals.told_by or None, grace_s=self.grace_s))
        self.on_ending()
        deadline = time.monotonic() + self.grace_s
        for child in self.children:
            child.signal(signal.SIGTERM)
        while self._living() and time.monotonic() < deadline and not signals.is_hurried():
            signals.wait(deadline - time.monotonic())
        for child in self._living():
            log.warning(fields(event="killed", child=child.name))
        for child in self.children:
            child.signal(signal.SIGKILL, group=True)
            if child.process is not None:
                child.process.wait()
                self.on_end(child.process.pid)
        log.info(fields(event="ended"))

    def _living(self) -> list[Child]:
        return [child for child in self.children if child.process is not None and child.ended() is None]

    def _due_in_s(self) -> float:
        """How long until a child must be started again."""
        now = time.monotonic()
        return min([LONGEST_DELAY_S, *(child.start_at - now for child in self.children if child.process is None)])
