"""Whether the object store is there, as far as this process has seen. Knows when to look, not how it is asked."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from relais.errors import NodeError, Unavailable
from relais.storage.s3.failures import NoAnswer

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
ANSWER_S = 3.0  # who only looks whether it is there waits no longer, whatever the client's patience
KNOWN_FOR_S = 30.0  # after an answer: then somebody looks before anything is sent

log = logging.getLogger(__name__)


class Presence:
    """After a failure the store is away until *probe*, which asks it, ends well. It is looked for later and later,
    beside all other work.

    Who would ask it meanwhile need not wait for what is known already. One that answered a moment ago is there; of any
    other, all who want to send something wait for one look at it.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._looking: Future[None] | None = None
        self._known_until = 0.0
        self._wait_s = FIRST_WAIT_S
        self._failure: NodeError | None = None
        self._is_silent = False
        self._is_closed = threading.Event()

    def close(self) -> None:
        """Look no more, until it fails again."""
        self._is_closed.set()
        self._failure, self._is_silent, self._looking = None, False, None

    @property
    def is_away(self) -> bool:
        """Whether it did not take what it was given the last time."""
        return self._failure is not None

    def look(self) -> None:
        """Ask it whether it is there. Raises Unavailable, no later than after ANSWER_S."""
        with self._lock:
            if self._looking is None or self._looking.done():
                self._looking = Future()
                look = threading.Thread(target=self._look, args=(self._looking,), name="object-store-look", daemon=True)
                look.start()
            looking = self._looking
        try:
            looking.result(ANSWER_S)
        except TimeoutError:
            raise NoAnswer from None

    def is_there(self) -> bool:
        """Whether to give it something: it is not away, and has answered of late or does so now."""
        if self.is_away:
            return False
        if time.monotonic() >= self._known_until:
            try:
                self.look()
            except NoAnswer as exc:
                self.failed(exc)
                return False
            except Unavailable:
                pass  # it has a voice, and tells what is wrong when it is given something
            self._known_until = time.monotonic() + KNOWN_FOR_S
        return True

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
        self._known_until = time.monotonic() + KNOWN_FOR_S

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

    def _look(self, looking: Future[None]) -> None:
        try:
            self._probe()
        except BaseException as exc:  # raised by who looks
            looking.set_exception(exc)
        else:
            looking.set_result(None)

    def _watch(self, is_closed: threading.Event) -> None:
        while not is_closed.wait(self._wait_s):
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            try:
                self.look()
            except NodeError as exc:
                self._failure, self._is_silent = exc, isinstance(exc, NoAnswer)
                continue
            with self._lock:
                self._failure, self._is_silent = None, False
            log.warning("the object store answers again")
            return
