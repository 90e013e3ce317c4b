"""Ready answers kept in memory, the latest ones, up to a number of bytes. Knows keys and bytes, not what they mean.

Counted is what an answer takes with its key: a thousand times nothing was found is not nothing.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

LARGEST_SHARE = 4  # an answer larger than a quarter of the room is not kept
MOST_KEY_CHARACTERS = 4096  # of its key as text; an answer to a longer question is not kept
KEY_GROWTH = 4  # bytes that a key takes in memory for each character of its text: measured, up to 4.1
ENTRY_BYTES = 512  # besides key and body: the answer itself and its place, measured and rounded up


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole body, of how many instances or rows it was made, and what its Warning header field says."""

    body: bytes
    instances: int = 0
    warnings: tuple[str, ...] = ()


class _Entry(NamedTuple):
    answer: Answer
    size_bytes: int  # with its key, and all that it takes to keep it


class Kept:
    """Safe to use from many threads. A key names what its answer was made of, revision and all: nothing goes stale."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Answer | None:
        """The answer under *key*, None if it is not kept."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found.answer

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
        """Keep *answer* under *key*, unless it is too much or answers too long a question."""
        characters = len(repr((key, answer.warnings)))
        size_bytes = len(answer.body) + KEY_GROWTH * characters + ENTRY_BYTES
        if characters > MOST_KEY_CHARACTERS or size_bytes * LARGEST_SHARE > self._limit_bytes:
            return
        with self._lock:
            former = self._entries.pop(key, None)
            self._size_bytes += size_bytes - (former.size_bytes if former else 0)
            self._entries[key] = _Entry(answer, size_bytes)
            while self._size_bytes > self._limit_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._size_bytes -= oldest.size_bytes
