"""Whether the object store is there, as far as this process has seen. Knows when to look, not how it is asked."""

import logging
import threading
from collections.abc import Callable

from relais.errors import NodeError, Unavailable
from relais.storage.s3.failures import NoAnswer

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0

log = logging.getLogger(__name__)


class Presence:
    """After a failure the store is away until *probe* returns. It is looked for later and later, beside all other work.

    Who would ask it meanwhile need not wait for what is known already.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._wait_s = FIRST_WAIT_S
        self._failure: NodeError | None = None
        self._is_silent = False
        self._is_closed = threading.Event()

    def close(self) -> None:
        """Look no more, until it fails again."""
        self._is_closed.set()
        self._failure, self._is_silent = None, False

    @property
    def is_away(self) -> bool:
        """Whether it did not take what it was given the last time."""
        return self._failure is not None

    def require(self) -> None:
        """Raise Unavailable if it is away: for what can as well be done later."""
        failure = self._failure
        if failure is not None:
            raise Unavailable(failure.message)

    def require_voice(self) -> None:
        """Raise Unavailable if it does not even answer who only asks."""
        if self._is_silent:
            raise NoAnswer

    def answered(self) -> None:
        """It has taken something."""
        self._wait_s = FIRST_WAIT_S

    def silent(self, failure: NoAnswer) -> None:
        """It did not answer who only asked."""
        self._is_silent = True
        self.failed(failure)

    def failed(self, failure: NodeError) -> None:
        """It did not do what it was asked for."""
        with self._lock:
            is_new, self._failure = self._failure is None, failure
        if is_new:
            self._is_closed = threading.Event()
            log.error("the object store is away: %s", failure.message)
            watch = threading.Thread(target=self._watch, args=(self._is_closed,), name="object-store", daemon=True)
            watch.start()

    def _watch(self, is_closed: threading.Event) -> None:
        while not is_closed.wait(self._wait_s):
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            try:
                self._probe()
            except NodeError as exc:
                self._failure, self._is_silent = exc, isinstance(exc, NoAnswer)
                continue
            with self._lock:
                self._failure, self._is_silent = None, False
            log.warning("the object store answers again")
            return
