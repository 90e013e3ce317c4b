"""What lies in slow storage is fetched from there when somebody wants to read it. Knows keys, not readers."""

import logging
import threading
import time

from relais.errors import NodeError
from relais.storage.layout import series_folder
from relais.storage.s3.bucket import Bucket
from relais.storage.s3.threads import Threads
from relais.storage.settings import SLOW_CLASSES, RestoreTier

AGAIN_S = 3600.0  # before a series is asked for once more: who waits asks again and again
REMEMBERED = 10_000  # series asked for within that time; beyond that all are forgotten, and asked for once more

log = logging.getLogger(__name__)


class SlowStorage:
    """Asks *bucket* for copies that can be read for *days*; for none if that is 0."""

    def __init__(self, bucket: Bucket, threads: Threads, days: int, tier: RestoreTier) -> None:
        self._bucket, self._threads, self._days, self._tier = bucket, threads, days, tier
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}

    def bring_back(self, key: str) -> None:
        """Have the series of *key* fetched. Returns at once; what fails is logged, and tried when it is wanted again.

        Once asked for, it is not asked for again within AGAIN_S.
        """
        folder, now = series_folder(key), time.monotonic()
        with self._lock:
            if not self._days or now < self._asked.get(folder, 0.0):
                return
            if len(self._asked) >= REMEMBERED:
                self._asked.clear()
            self._asked[folder] = now + AGAIN_S
        self._threads.submit(self._ask, folder, key)

    def _ask(self, folder: str, key: str) -> None:
        """Ask for all that is slow in *folder*, and for *key* in any case: not every class is slow by its name."""
        try:
            slow = {one.key for one in self._bucket.listed(folder) if one.storage_class in SLOW_CLASSES} | {key}
            for one in sorted(slow):
                self._bucket.restore(one, self._days, self._tier)
        except NodeError as exc:
            log.error("not fetched from slow storage series=%s: %s", folder, exc.message)
            with self._lock:
                self._asked.pop(folder, None)
        else:
            log.info("asked for in slow storage series=%s objects=%s", folder, len(slow))
