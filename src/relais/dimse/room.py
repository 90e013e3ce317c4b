"""How much memory Identifiers may take that arrive or wait, over all associations. Knows sizes, no messages.

Each association may have OWN_BYTES of its own. What goes beyond comes from a room that all share; who wants more than
there is left is aborted.
"""

from threading import Lock

from relais.peers.wire.messages import MAX_IDENTIFIER_BYTES

OWN_BYTES = 64 * 1024
SHARED_BYTES = 32 * 1024 * 1024  # over all workers


class Room:
    """What the associations of one worker share: its part of SHARED_BYTES, and always enough for one Identifier."""

    def __init__(self, workers: int = 1) -> None:
        self._most_bytes = max(SHARED_BYTES // workers, MAX_IDENTIFIER_BYTES)
        self._held: dict[object, int] = {}
        self._lock = Lock()

    def hold(self, holder: object, size_bytes: int) -> bool:
        """Let *holder* have so much, instead of what it had; False, and nothing changes, if that is too much."""
        with self._lock:
            others = sum(self._held.values()) - self._held.get(holder, 0)
            if others + size_bytes > self._most_bytes:
                return False
            self._held[holder] = size_bytes
            return True

    def let_go(self, holder: object) -> None:
        """*holder* has nothing any more."""
        with self._lock:
            self._held.pop(holder, None)


class Collected:
    """What one association has collected and not yet dealt with."""

    def __init__(self, room: Room) -> None:
        self._room, self._size_bytes = room, 0

    def more(self, size_bytes: int) -> bool:
        """Whether there is room for so much more."""
        self._size_bytes += size_bytes
        return self._size_bytes <= OWN_BYTES or self._room.hold(self, self._size_bytes - OWN_BYTES)

    def clear(self) -> None:
        """All of it has been dealt with."""
        if self._size_bytes > OWN_BYTES:
            self._room.let_go(self)
        self._size_bytes = 0
