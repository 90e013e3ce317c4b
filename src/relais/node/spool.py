"""Moves what waits on this node to the object store, beside all other work. Knows when; archive.spooling knows how."""

import logging
import time
from collections.abc import Callable

from relais.archive import Archive
from relais.archive.spooling import move_spool
from relais.errors import NodeError
from relais.telemetry.line import fields

IDLE_S = 1.0  # between two looks for something to move
AFTER_ERROR_S = 5.0  # while the object store is away

log = logging.getLogger(__name__)


class SpoolMover:
    """The moving of one node. *is_ending* is asked between steps, *sleep* waits no longer than until it is true."""

    def __init__(
        self, archive: Archive, is_ending: Callable[[], bool], sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.archive = archive
        self.is_ending = is_ending
        self.sleep = sleep
        self.why = ""

    def run(self) -> None:
        """Work until it is time to end. What fails is logged, once for each reason, and tried again."""
        while not self.is_ending():
            try:
                did_something = move_spool(self.archive, lambda: not self.is_ending())
            except NodeError as exc:
                self._tell(exc.message)
                self.sleep(AFTER_ERROR_S)
            except Exception:  # a bug here must not end it: what waits has been acknowledged
                log.exception(fields(event="spool failed"))
                self.sleep(AFTER_ERROR_S)
            else:
                self._tell("")
                if not did_something:
                    self.sleep(IDLE_S)

    def _tell(self, why: str) -> None:
        if why and why != self.why:
            log.error(fields(event="spool waits", error=why))
        if self.why and not why:
            log.info(fields(event="spool moves"))
        self.why = why
