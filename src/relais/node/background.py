"""What the node does when nobody asks: the sweep after a start, ready-made metadata, packing, the nightly count.

One process does all of it, in small steps, so that it can be told to end at any time. Of several nodes with one index,
one at a time does what is done for all; if that one dies, another one takes over. Knows when, not how.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime

from relais.archive import Archive, documents, maintenance, quiet
from relais.archive.forgetting import forget_deleted
from relais.archive.removal import Removal
from relais.errors import NodeError
from relais.index import keys, letters, offsets, statistics
from relais.index.leases import Lease
from relais.node import clock
from relais.node.calm import Calm
from relais.telemetry.line import fields

IDLE_S = 0.5  # between two looks for something to do: metadata is asked for soon after the images have come
SWEEP_EVERY_S = 6 * 3600.0
ASK_EVERY_S = 1800.0  # whether it is our turn to sweep, where another node had it
FORGET_EVERY_S = 5.0
COUNT_LEASE_S = 12 * 3600.0  # once a night, not once a night and node
DOCUMENTS_LEASE_S = 60.0
CALM_S = 1.0  # without a change: while instances come, the processors and the index are theirs
PATIENCE_S = 30.0  # then metadata is made all the same
PACKING_LEASE_S = 60.0
COUNT_AT_HOUR = 3  # local time: when a hospital is quiet
AFTER_ERROR_S = 30.0
FIRST_PAUSE_S = 1.0  # when no metadata could be made of a hundred instances; twice as long each time after that
LONGEST_PAUSE_S = 600.0

log = logging.getLogger(__name__)


class Background:
    """The work of node *holder*. *is_ending* is asked between steps, *sleep* waits no longer than until it is true.

    Metadata is made when nothing has changed for *calm_s*.
    """

    def __init__(
        self,
        archive: Archive,
        holder: str,
        is_ending: Callable[[], bool],
        sleep: Callable[[float], object] = time.sleep,
        *,
        calm_s: float = CALM_S,
    ) -> None:
        self.archive = archive
        self.is_ending = is_ending
        self.sleep = sleep
        self.sweeping = Lease(archive.db, "sweep", holder, SWEEP_EVERY_S)
        self.counting = Lease(archive.db, "recount", holder, COUNT_LEASE_S)
        self.documenting = Lease(archive.db, "documents", holder, DOCUMENTS_LEASE_S)
        self.removal = Removal(archive)
        self.packing = Lease(archive.db, "packing", holder, PACKING_LEASE_S)
        self.documented_id = 0
        self.calm = Calm(lambda: statistics.statistics(archive.db).revision, calm_s, PATIENCE_S)
        self.sweep_at = self.forget_at = self.document_at = self.pause_s = 0.0
        self.counted_on = datetime.now().astimezone().date()

    def run(self) -> None:
        """Work until it is time to end. What fails is logged and tried again later."""
        while not self.is_ending():
            try:
                did_something = self.step()
            except NodeError as exc:
                log.error(fields(event="background work failed", error=exc.message))
                self.sleep(AFTER_ERROR_S)
            except Exception:  # a bug here must not close the doors
                log.exception(fields(event="background work failed"))
                self.sleep(AFTER_ERROR_S)
            else:
                if not did_something:
                    self.sleep(IDLE_S)

    def step(self) -> bool:
        """Do the next small thing; False if there was none."""
        now = datetime.now().astimezone()
        if time.monotonic() >= self.sweep_at:
            self._sweep()
            return True
        if now.date() != self.counted_on and now.hour >= COUNT_AT_HOUR:
            self.counted_on = now.date()
            if self.counting.held():
                self._count()
            return True
        if time.monotonic() >= self.forget_at:
            is_all = not forget_deleted(self.archive)
            self.forget_at = time.monotonic() + (FORGET_EVERY_S if is_all else 0.0)
        if self.removal.step():
            return True
        if self._document() or any(work(self.archive.db) for work in (keys.work, offsets.work, letters.work)):
            return True
        return quiet.pack_quiet(self.archive, self.packing.held)

    def _document(self) -> bool:
        """Make metadata that is missing. A store that lost many objects, or is away, is asked less and less often."""
        if time.monotonic() < self.document_at or not self.calm.has_come():
            return False
        passed = documents.make_missing(self.archive, self.documented_id, self.documenting.held)
        if passed is None:
            return False
        self.documented_id = passed.last_id
        self.pause_s = 0.0 if passed.made else min(max(FIRST_PAUSE_S, 2 * self.pause_s), LONGEST_PAUSE_S)
        self.document_at = time.monotonic() + self.pause_s
        return True

    def _sweep(self) -> None:
        started = time.monotonic()
        is_ours = self.sweeping.held()
        swept = maintenance.sweep(self.archive, keep_going=lambda: is_ours and not self.is_ending())
        self.sweep_at = time.monotonic() + (SWEEP_EVERY_S if is_ours else ASK_EVERY_S)
        self.documented_id = 0  # look again at what could not be read
        log.info(
            fields(
                event="sweep",
                uploads_removed=swept.uploads_removed,
                indexed=swept.indexed,
                removed=swept.removed,
                unreadable=swept.unreadable,
                ms=(time.monotonic() - started) * 1000,
            )
        )
        if said := clock.ahead(self.archive.db):
            log.warning(fields(event="clock", said=said))

    def _count(self) -> None:
        differences = list(statistics.recount(self.archive.db))
        for difference in differences:
            log.error(fields(event="miscounted", what=difference))
        log.info(fields(event="recount", differences=len(differences)))
