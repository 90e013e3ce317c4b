"""Things made in a thread of their own before their turn comes. Knows neither what is made nor who takes it."""

from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

AHEAD = 4  # made before their turn, at most
BURST = 2  # made without a pause: waking the other thread costs as much as a small thing

Source = TypeVar("Source")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _End:
    """There is no more, because of *failure* if there was one."""

    failure: BaseException | None = None


class ReadAhead(Generic[Source, Made]):
    """What *make* makes of each of *source*, in order. Iterate once, then close.

    Both are used in the other thread only, which knows the ids of the work that began it (telemetry.context).
    """

    def __init__(self, make: Callable[[Source], Made], source: Iterator[Source]) -> None:
        self._make, self._source = make, source
        self._room: SimpleQueue[None] = SimpleQueue()
        self._made: SimpleQueue[Made | _End] = SimpleQueue()
        self._is_closed = False
        self._thread = Thread(target=copy_context().run, args=(self._run,), name="read-ahead", daemon=True)
        for _ in range(AHEAD // BURST):
            self._room.put(None)
        self._thread.start()

    def __iter__(self) -> Iterator[Made]:
        for taken in count(1):
            made = self._made.get()
            if isinstance(made, _End):
                if made.failure is not None:
                    raise made.failure
                return
            if taken % BURST == 0:
                self._room.put(None)
            yield made

    def close(self) -> list[Made]:
        """Make no more; give back what was made and has not been taken."""
        self._is_closed = True
        self._room.put(None)
        self._thread.join()
        left: list[Made] = []
        while True:
            try:
                made = self._made.get(block=False)
            except Empty:
                return left
            if not isinstance(made, _End):
                left.append(made)

    def _run(self) -> None:
        end = _End()
        try:
            for number, one in enumerate(self._source):
                if number % BURST == 0:
                    self._room.get()
                self._made.put(self._make(one))
                if self._is_closed:
                    break
        except BaseException as exc:  # raised where it can be dealt with
            end = _End(exc)
        self._made.put(end)
