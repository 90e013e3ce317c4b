"""Things made before their turn comes. Knows neither what is made nor who takes it.

1. What takes no time is made by who takes it, while he would wait anyway: to hand it over between two threads costs as
   much as a small instance does.
2. From the first that takes longer on, a thread makes the rest, at most AHEAD before their turn.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from itertools import count, islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

AHEAD = 4  # made before their turn, at most
BURST = 2  # made without a pause: waking the other thread costs as much as a small thing
QUICK_S = 0.005  # an instance of some megabytes out of the page cache; not what a disk must look for

Source = TypeVar("Source")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _End:
    """There is no more, because of *failure* if there was one."""

    failure: BaseException | None = None


class ReadAhead(Generic[Source, Made]):
    """What *make* makes of each of *source*, in order. Iterate once, then close.

    Both are used by one thread at a time; its own knows the ids of the work that began it (telemetry.context).
    """

    def __init__(self, make: Callable[[Source], Made], source: Iterator[Source]) -> None:
        self._make, self._source = make, source
        self._next: deque[Made | _End] = deque()  # by who takes it, one at most
        self._room: SimpleQueue[None] = SimpleQueue()
        self._made: SimpleQueue[Made | _End] = SimpleQueue()  # by the thread
        self._taken = 0  # of these
        self._thread: Thread | None = None
        self._is_closed = False

    def __iter__(self) -> Iterator[Made]:
        while not isinstance(made := self._take(), _End):
            yield made
        if made.failure is not None:
            raise made.failure

    def make_next(self) -> None:
        """Make the next one now, unless the thread does: for a moment in which there is nothing else to do."""
        if self._thread is None and not self._next:
            self._next.append(self._one())

    def use_thread(self) -> None:
        """Have the thread make the rest from now on."""
        if self._thread is None:
            for _ in range(AHEAD // BURST):
                self._room.put(None)
            self._thread = Thread(target=copy_context().run, args=(self._run,), name="read-ahead", daemon=True)
            self._thread.start()

    def close(self) -> list[Made]:
        """Make no more; give back what was made and has not been taken."""
        self._is_closed = True
        if self._thread is not None:
            self._room.put(None)
            self._thread.join()
        left = list(self._next)
        while True:
            try:
                left.append(self._made.get(block=False))
            except Empty:
                return [made for made in left if not isinstance(made, _End)]

    def _take(self) -> Made | _End:
        self.make_next()
        if self._next:
            return self._next.popleft()
        made = self._made.get()
        self._taken += 1
        if self._taken % BURST == 0:
            self._room.put(None)
        return made

    def _one(self) -> Made | _End:
        try:
            for one in islice(self._source, 1):
                began_at = time.monotonic()
                made = self._make(one)
                if time.monotonic() - began_at > QUICK_S:
                    self.use_thread()
                return made
        except BaseException as exc:  # raised where it can be dealt with
            self._source = iter(())
            return _End(exc)
        return _End()

    def _run(self) -> None:
        for number in count():
            if number % BURST == 0:
                self._room.get()
            if self._is_closed:
                return
            made = self._one()
            self._made.put(made)
            if isinstance(made, _End):
                return
