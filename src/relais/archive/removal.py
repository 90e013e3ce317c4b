"""Bytes that nothing names any more, taken away beside the requests. Knows keys, not why they were condemned.

1. A crash at any line leaves the key condemned, and the removal is done again: removing what is gone is no error.
2. While a backup copies what its snapshot of the index names (it holds the lease HOLD), nothing is removed.
"""

import logging
import time
from collections.abc import Iterable, Sequence

from relais.archive import Archive
from relais.errors import NodeError
from relais.index import condemned, leases

STEP = 100  # objects removed before somebody else has a turn
AT_ONCE = 32  # of a deletion, removed before its answer; the others follow within seconds
AGAIN_S = 60.0  # until what could not be removed is tried again

HOLD = "backup"  # the lease under which nothing is removed

log = logging.getLogger(__name__)


def take_away(archive: Archive, keys: Sequence[str]) -> None:
    """Remove the bytes of condemned *keys*, at most AT_ONCE of them. What is left is removed later.

    Whatever fails here fails later: for the caller it is done, since the keys are condemned.
    """
    try:
        if leases.taken(archive.db, HOLD):
            return
    except NodeError as error:
        log.warning("not removed now: %s", error.message)
        return
    gone = _removed(archive, keys[:AT_ONCE])
    archive.db.write_soon(lambda tx: condemned.remove(tx, gone))


class Removal:
    """The removal of all that is condemned, in small steps."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._last = ""
        self._has_failed = False
        self._not_before = 0.0

    def step(self) -> bool:
        """Remove some; False if there is nothing to be removed now. Raises Unavailable if the index does not answer."""
        if time.monotonic() < self._not_before:
            return False
        keys = condemned.behind(self._archive.db, self._last, STEP)
        if not keys:
            if self._has_failed:
                self._not_before = time.monotonic() + AGAIN_S
            self._last, self._has_failed = "", False
            return False
        if leases.taken(self._archive.db, HOLD):
            return False
        gone = _removed(self._archive, keys)
        self._archive.db.write(lambda tx: condemned.remove(tx, gone))
        self._last, self._has_failed = keys[-1], self._has_failed or len(gone) < len(keys)
        return True


def _removed(archive: Archive, keys: Iterable[str]) -> list[str]:
    """Remove the bytes of *keys*; those that are gone."""
    gone = []
    for key in keys:
        try:
            archive.store.delete(key)
        except NodeError as error:
            log.warning("not removed now key=%s: %s", key, error.message)
        else:
            gone.append(key)
    return gone
