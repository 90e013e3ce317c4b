"""Whether the object store is there, as far as this process has seen. Knows when, not how it is asked."""

import logging
import threading
import time

from relais.errors import NodeError

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 30.0

log = logging.getLogger(__name__)


class Presence:
    """After a failure nothing is tried for a while; then one tries for all, and if that fails the while gets longer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wait_s = 0.0
        self._again_at = 0.0
        self.why = ""

    @property
    def is_away(self) -> bool:
        """Whether the last try failed."""
        return bool(self.why)

    def may_try(self) -> bool:
        """Whether to ask the store now. While it is away that is said to one at a time."""
        if not self.why:
            return True
        with self._lock:
            if time.monotonic() < self._again_at:
                return False
            self._again_at = time.monotonic() + self._wait_s
            return True

    def answered(self) -> None:
        """It is there."""
        if self.why:
            with self._lock:
                self.why, self._wait_s = "", 0.0
            log.warning("the object store is back")

    def failed(self, error: NodeError) -> None:
        """It did not take what it was given."""
        with self._lock:
            if not self.why:
                log.error("objects go to the spool: %s", error.message)
            self.why = error.message
            self._wait_s = min(max(2 * self._wait_s, FIRST_WAIT_S), LONGEST_WAIT_S)
            self._again_at = time.monotonic() + self._wait_s
