"""Where the pages of searches ended, so that the next page goes on behind that row, whatever came in meanwhile.

One file of slots, shared by all processes of the node without locks: a slot that two write at once, or that another
search took, is simply not found, and its page is then counted off by its offset. Knows keys and places, no rows.
"""

import hashlib
import json
import os
import time
from pathlib import Path

Place = tuple[str | int | float, ...]  # in the order of a search (relais.index.walk)

SLOTS = 4096
SLOT_BYTES = 512  # a place that does not fit is not remembered
DIGEST_BYTES = 16
VALID_S = 3600.0  # a page that is asked for later is counted off by its offset


class Bookmarks:
    """The slots in *folder*; "" remembers nothing. Nothing here fails: what cannot be remembered is not."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / "pages" if folder else None

    def get(self, key: str) -> Place | None:
        """The place under *key*, None if it is not known or is too old."""
        return self._known(key)[0]

    def _known(self, key: str) -> tuple[Place | None, float]:
        """The place under *key* and how many seconds ago it was put there."""
        try:
            at, place = json.loads(self._read(key))
        except (OSError, ValueError):
            return None, 0.0
        age_s = time.time() - at
        return (tuple(place), age_s) if age_s < VALID_S else (None, age_s)

    def put(self, key: str, place: Place) -> None:
        """Remember *place* under *key*."""
        digest = _digest(key)
        content = json.dumps((time.time(), place), separators=(",", ":")).encode()
        slot = digest + _digest(content) + len(content).to_bytes(2, "big") + content
        if self._path is None or len(slot) > SLOT_BYTES:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", 0) as file:
                os.pwrite(file.fileno(), slot, _position(digest))
        except OSError:
            return

    def renew(self, key: str) -> None:
        """Remember what is under *key* for about as long again."""
        place, age_s = self._known(key)
        if place is not None and age_s > VALID_S / 2:
            self.put(key, place)

    def _read(self, key: str) -> bytes:
        """The content under *key*. Raises OSError or ValueError if it is not there, or not whole."""
        if self._path is None:
            raise ValueError(key)
        digest = _digest(key)
        with self._path.open("rb", 0) as file:
            slot = os.pread(file.fileno(), SLOT_BYTES, _position(digest))
        start = 2 * DIGEST_BYTES + 2
        content = slot[start : start + int.from_bytes(slot[start - 2 : start], "big")]
        if slot[:DIGEST_BYTES] != digest or slot[DIGEST_BYTES : 2 * DIGEST_BYTES] != _digest(content):
            raise ValueError(key)
        return content


def _digest(key: str | bytes) -> bytes:
    return hashlib.blake2b(key.encode() if isinstance(key, str) else key, digest_size=DIGEST_BYTES).digest()


def _position(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") % SLOTS * SLOT_BYTES
