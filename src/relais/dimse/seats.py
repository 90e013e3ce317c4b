"""How many associations are open, and whose, over all processes behind the DIMSE door. Knows names, no associations.

1. A table in shared memory has rows for each worker, which only that worker writes. What one that was killed left there
   counts until the next one of its number begins, which is a moment later.
2. Who counts and takes a row holds a lock that the kernel gives back if its holder dies.
3. Beside it stands how many connections each worker has, so that the one that has fewest takes the next.
"""

import fcntl
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock

CELL_BYTES = 8
FREE = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """How many associations are open: *total*, *of_address*, and with that calling AE title, *of_title*."""

    total: int
    of_address: int
    of_title: int


class Seats:
    """Room for *rows* associations, as worker number *worker* of *workers* sees it.

    *fd* is a file of `table_bytes` that all workers have open; without one there is no other worker.
    """

    def __init__(self, rows: int, worker: int = 0, workers: int = 1, fd: int | None = None) -> None:
        self._fd = fd
        self._cells = memoryview(mmap.mmap(-1 if fd is None else fd, table_bytes(rows, workers))).cast("Q")
        self._workers, self._worker = workers, worker
        self._first = workers + 2 * rows * worker
        self._last = self._first + 2 * rows
        self._lock = Lock()
        with self._alone():
            self._cells[worker] = 0
            self._cells[self._first : self._last] = memoryview(bytes(2 * rows * CELL_BYTES)).cast("Q")

    def take(self, address: str, ae_title: str, fits: Callable[[Taken], bool]) -> int | None:
        """A seat for who calls from *address* as *ae_title*, if *fits* says that there is room; else None."""
        of_address, of_title = _digest(address), _digest(ae_title)
        with self._alone():
            cells = self._cells.tolist()
            addresses, titles = cells[self._workers :: 2], cells[self._workers + 1 :: 2]
            total = len(addresses) - addresses.count(FREE)
            if not fits(Taken(total, addresses.count(of_address), titles.count(of_title))):
                return None
            own = cells[self._first : self._last : 2]
            if FREE not in own:
                return None
            seat = self._first + 2 * own.index(FREE)
            self._cells[seat], self._cells[seat + 1] = of_address, of_title
            return seat

    def leave(self, seat: int) -> None:
        """Give back a seat."""
        self._cells[seat], self._cells[seat + 1] = FREE, FREE

    def have_connections(self, number: int) -> None:
        """Tell the other workers how many connections this one has now."""
        self._cells[self._worker] = number + 1

    @property
    def is_another_freer(self) -> bool:
        """Whether another worker, of those that have begun to listen, has fewer connections than this one."""
        own = self._cells[self._worker]
        return any(0 < other < own for other in self._cells[: self._workers])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            if self._fd is None:
                yield
                return
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)


def table_bytes(rows: int, workers: int) -> int:
    """The size of a table."""
    return CELL_BYTES * workers * (1 + 2 * rows)


def _digest(text: str) -> int:
    """A number that stands for *text* in every process, and is not FREE."""
    return int.from_bytes(blake2b(text.encode(), digest_size=CELL_BYTES).digest(), "big") or 1
