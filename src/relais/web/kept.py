"""Ready answers kept in memory, the latest ones, up to a number of bytes. Knows keys and bytes, not what they mean."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

LARGEST_SHARE = 4  # an answer larger than a quarter of the room is not kept


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole body, of how many instances or rows it was made, and what its Warning header field says."""

    body: bytes
    instances: int = 0
    warnings: tuple[str, ...] = ()


class Kept:
    """Safe to use from many threads. A key names what its answer was made of, revision and all: nothing goes stale."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Answer | None:
        """The answer under *key*, None if it is not kept."""
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found

    def keeping(self, key: Hashable, instances: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """*chunks* as they are; when all have gone out they are kept under *key*, unless they are too much."""
        pieces: list[bytes] | None = []
        size_bytes = 0
        for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes * LARGEST_SHARE > self._limit_bytes:
                pieces = None
            if pieces is not None:
                pieces.append(chunk)
            yield chunk
        if pieces is not None:
            self.put(key, Answer(b"".join(pieces), instances))

    def put(self, key: Hashable, answer: Answer) -> None:
        """Keep *answer* under *key*, unless it is too much."""
        if len(answer.body) * LARGEST_SHARE > self._limit_bytes:
            return
        with self._lock:
            former = self._answers.pop(key, None)
            self._size_bytes += len(answer.body) - (len(former.body) if former else 0)
            self._answers[key] = answer
            while self._size_bytes > self._limit_bytes:
                _, oldest = self._answers.popitem(last=False)
                self._size_bytes -= len(oldest.body)
