"""A check that is asked for often and may hang: run in a thread of its own, and remembered. Knows no parts."""

import threading
import time
from collections.abc import Callable

from relais.errors import Unavailable

Check = Callable[[], str | None]
"""Returns if the part does its work, with a sentence if not all is as it should be; else raises a NodeError."""


class Remembered:
    """*check*, run at most once every *good_for_s*; whoever asks has its answer, or none, within *limit_s*.

    While it runs those who come wait for it together. Once it has run for longer than *limit_s*, nobody waits any
    more: until it ends everybody is told so at once.
    """

    def __init__(self, check: Check, good_for_s: float, limit_s: float) -> None:
        self._check = check
        self._good_for_s = good_for_s
        self._limit_s = limit_s
        self._mutex = threading.Lock()
        self._began_at = float("-inf")
        self._ended_at = float("-inf")
        self._has_ended = threading.Event()
        self._has_ended.set()
        self._said: str | None = None
        self._failure: Exception | None = None

    def __call__(self) -> str | None:
        """What the check says. Raises what it raises, and Unavailable if it takes too long."""
        with self._mutex:
            if self._has_ended.is_set() and time.monotonic() - self._ended_at > self._good_for_s:
                self._begin()
        if not self._has_ended.wait(max(0.0, self._began_at + self._limit_s - time.monotonic())):
            raise Unavailable(f"It has not answered within {self._limit_s:g} seconds.")
        if self._failure is not None:
            raise self._failure
        return self._said

    def _begin(self) -> None:
        self._began_at = time.monotonic()
        self._has_ended.clear()
        try:
            threading.Thread(target=self._run, name="check", daemon=True).start()
        except RuntimeError:  # the system has no thread left: whoever asks next tries again
            self._has_ended.set()
            raise

    def _run(self) -> None:
        said, failure = None, None
        try:
            said = self._check()
        except Exception as exc:  # whatever it is, it is the answer
            failure = exc
        self._said, self._failure, self._ended_at = said, failure, time.monotonic()
        self._has_ended.set()
