"""What lies far away is read side by side, before its turn comes. Knows threads and order, not what is read.

1. Nothing but what is asked for is read, in the order in which it is asked for, and given back in that order.
2. At most AT_ONCE pieces of work and about HELD_BYTES are ahead of who takes them, for each of them.
3. Who stops taking has nothing more begun: what was begun ends by itself, and is dropped.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

from relais.archive import Archive
from relais.storage.base import FarAway, is_far_away

AT_ONCE = 8
HELD_BYTES = 16 * 1024 * 1024  # beyond that nothing more is begun before something was taken

S = TypeVar("S")
T = TypeVar("T")


def each(archive: Archive, work: Callable[[S], T], sources: Iterable[S], size_bytes: Callable[[S], int]) -> Iterator[T]:
    """What *work*, which reads the store, makes of each of *sources*, in their order; *size_bytes* is about its size.

    Where the store is on this machine, each when its turn comes.
    """
    if is_far_away(archive.store):
        return _side_by_side(archive.store, work, sources, size_bytes)
    return map(work, sources)


def _side_by_side(
    store: FarAway, work: Callable[[S], T], sources: Iterable[S], size_bytes: Callable[[S], int]
) -> Iterator[T]:
    begun: deque[tuple[int, Future[T]]] = deque()
    held = 0
    try:
        for source in sources:
            while begun and (len(begun) == AT_ONCE or held >= HELD_BYTES):
                yield begun[0][1].result()
                held -= begun.popleft()[0]
            begun.append((size_bytes(source), store.beside(copy_context().run, work, source)))
            held += begun[-1][0]
        while begun:
            yield begun.popleft()[1].result()
    finally:
        for _, future in begun:
            future.cancel()
