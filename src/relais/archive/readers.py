"""How many are being sent many objects by this process at the moment. Knows their number, not what they are sent.

Who takes nothing has a queue of what was read for him in the HTTP server: a handful of chunks, for as long as he is
waited for. So chunks may be large while there are few, and must be small while there are many.
"""

from collections.abc import Iterator
from threading import Lock

FEW = 2


class Readers:
    """Those who are being sent many objects."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = Lock()

    def are_few(self) -> bool:
        """Whether a chunk may be half a megabyte."""
        return self._count <= FEW

    def one_more(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """*chunks*, for one who counts from the first chunk until the last, or until they are closed."""
        with self._lock:
            self._count += 1
        try:
            yield from chunks
        finally:
            with self._lock:
                self._count -= 1


READERS = Readers()
