"""Tells peers what became of their storage commitment requests, when they no longer hold the association they asked on.

Knows when and whom, not what is promised: see archive.commitment. A requester that is away is called again, later and
later, and each call tells all that is due to it.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterator

from relais.archive import Archive, commitment
from relais.archive.commitment import Waiting
from relais.dicom.commitment import Report
from relais.errors import NodeError, Unavailable
from relais.peers.dimse import DimsePeer
from relais.peers.registry import Registry
from relais.telemetry.line import fields

IDLE_S = 1.0  # between two looks for something to tell
AFTER_ERROR_S = 30.0

log = logging.getLogger(__name__)


class Commitments:
    """The telling of one node. *is_ending* is asked between calls, *sleep* waits no longer than until it is true."""

    def __init__(
        self,
        archive: Archive,
        peers: Registry,
        is_ending: Callable[[], bool],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.archive = archive
        self.peers = peers
        self.is_ending = is_ending
        self.sleep = sleep

    def run(self) -> None:
        """Work until it is time to end. What fails is logged and tried again later."""
        while not self.is_ending():
            try:
                did_something = self.step()
            except Exception as exc:
                if self.is_ending():
                    return
                message = exc.message if isinstance(exc, NodeError) else "see the next lines"
                log.error(fields(event="commitments failed", error=message), exc_info=not isinstance(exc, NodeError))
                self.sleep(AFTER_ERROR_S)
            else:
                if not did_something:
                    self.sleep(IDLE_S)

    def step(self) -> bool:
        """Call one requester and tell all that is due to it; False if nothing is due."""
        claimed = commitment.claim(self.archive)
        if not claimed:
            return False
        requester = claimed[0].principal.name
        peer = self.peers.by_ae_title(requester)
        left, later = deque(claimed), list[Waiting]()
        try:
            if not isinstance(peer, DimsePeer):
                raise Unavailable(f"No [[peers]] entry says where {requester} is to be called.")
            why = self._tell(peer, left, later)
        except Unavailable as exc:
            why = exc.message
        due = [*left, *later]
        commitment.postpone(self.archive, due, why)
        if later:  # out of step, or this node would always be the first to look again, and no other one came to it
            self.sleep(random.uniform(0, IDLE_S))  # noqa: S311 - no secret
        log.info(fields(event="commitments", calling=requester, told=len(claimed) - len(due), due=len(due), what=why))
        return True

    def _tell(self, peer: DimsePeer, left: deque[Waiting], later: list[Waiting]) -> str:
        """Tell all of *left*; who has answered is taken out. What is not to be told yet goes *later*.

        Returns a sentence about how it went. Raises Unavailable.
        """
        reports: list[Report] = []
        why = "It was told."

        def made() -> Iterator[Report]:
            nonlocal why
            for waiting in list(left):
                if self.is_ending():
                    return
                try:
                    reports.append(commitment.report(self.archive, waiting))
                except Unavailable as exc:
                    why = exc.message
                    later.append(left.popleft())
                    continue
                yield reports[-1]

        for status in peer.tell_commitments(made()):
            waiting = left.popleft()
            if status:
                commitment.postpone(self.archive, [waiting], f"It answered with status {status:04X}.")
            else:
                commitment.told(self.archive, waiting, reports[-1])
        return why
