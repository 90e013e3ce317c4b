"""Where the pages of searches ended, so that the next page goes on behind that row, whatever came in meanwhile.

Slots, shared without locks by all who serve the archive: in a file of the node or, where nodes share the index, there.
A slot that two write at once, or that another search took, is simply not found, and its page is then counted off by its
offset. Each slot tells which page put it there, so that none is taken for what another page left behind. Knows keys and
places, no rows.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from relais import private
from relais.errors import NodeError

Place = tuple[str | int | float, ...]  # in the order of a search (relais.index.walk)

SLOTS = 16384
SLOT_BYTES = 512  # a place that does not fit is not remembered
DIGEST_BYTES = 16
VALID_S = 300.0  # a page that is asked for later is counted off by its offset


class Slots(Protocol):
    """SLOTS places for SLOT_BYTES each."""

    def read(self, slot: int) -> bytes:
        """What is in *slot*, perhaps with more behind it; empty if nothing is. Raises OSError or Unavailable."""

    def write(self, contents: dict[int, bytes]) -> None:
        """Put *contents* in their slots. Raises OSError or Unavailable."""


class FileSlots:
    """The slots in a file of *folder*, shared by all processes of the node; "" has none."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/pages" if folder else ""

    def read(self, slot: int) -> bytes:
        """What is in *slot*; damage is for the reader to find. Raises OSError."""
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(file, SLOT_BYTES, slot * SLOT_BYTES)
        finally:
            os.close(file)

    def write(self, contents: dict[int, bytes]) -> None:
        """Put *contents* in their slots. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            file = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            private.make_folder(Path(self._path).parent)
            file = os.open(self._path, flags, 0o600)
        try:
            for slot, content in contents.items():
                os.pwrite(file, content, slot * SLOT_BYTES)
        finally:
            os.close(file)


class Bookmarks:
    """Places by key. Nothing here fails: what cannot be remembered is not."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def get(self, key: str) -> Place | None:
        """The place under *key*, None if it is not known or is too old."""
        try:
            at, _, place = self._read(key)
        except (OSError, NodeError, ValueError):
            return None
        return tuple(place) if place is not None and abs(time.time() - at) < VALID_S else None

    def put(self, keys: Iterable[str], place: Place | None, by: str) -> None:
        """Remember *place* under *keys* as where the page *by* ended; what was there is forgotten in any case."""
        content = _content(place, by)
        try:
            self._slots.write({_slot(digest): digest + content for digest in map(_digest, keys)})
        except (OSError, NodeError):
            return

    def renew(self, key: str, by: str) -> bool:
        """Remember what is under *key* for about as long again, if the page *by* put it there.

        False if it is not there, or another page's. Where nothing can be remembered nothing can be wrong.
        """
        try:
            at, known_by, place = self._read(key)
        except (OSError, NodeError):
            return True
        except ValueError:
            return False
        age_s = abs(time.time() - at)  # whoever put it there may have had a clock that was ahead
        if known_by != _tag(by) or age_s >= VALID_S:
            return False
        if age_s > VALID_S / 2:
            self.put([key], place, by)
        return True

    def _read(self, key: str) -> tuple[float, str, Place | None]:
        """When what is under *key* was put there, by which page, and what. Raises ValueError if none is."""
        digest = _digest(key)
        slot = self._slots.read(_slot(digest))
        start = 2 * DIGEST_BYTES + 2
        content = slot[start : start + int.from_bytes(slot[start - 2 : start], "big")]
        if slot[:DIGEST_BYTES] != digest or slot[DIGEST_BYTES : 2 * DIGEST_BYTES] != _digest(content):
            raise ValueError(key)
        at, by, place = json.loads(content)
        return at, by, place


def _digest(key: str | bytes) -> bytes:
    return hashlib.blake2b(key.encode() if isinstance(key, str) else key, digest_size=DIGEST_BYTES).digest()


def _content(place: Place | None, by: str) -> bytes:
    """What a slot has behind the digest of its key; no place if that does not fit."""
    content = json.dumps((time.time(), _tag(by), place), separators=(",", ":")).encode()
    if 2 * DIGEST_BYTES + 2 + len(content) > SLOT_BYTES:
        return _content(None, by)
    return _digest(content) + len(content).to_bytes(2, "big") + content


def _tag(by: str) -> str:
    return _digest(by).hex()


def _slot(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") % SLOTS
