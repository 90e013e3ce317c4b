"""When work that can wait may begin: when instances have stopped coming. Knows the last change, not the work."""

import time
from collections.abc import Callable


class Calm:
    """*revision* tells the last change. It is calm when that has been the same for *calm_s* seconds.

    Who has waited for *patience_s* waits no longer: where instances come all day, nothing would ever be done. Calm from
    the first look until another change is seen; 0 for *calm_s* is always calm.
    """

    def __init__(self, revision: Callable[[], int], calm_s: float, patience_s: float) -> None:
        self._revision, self._calm_s, self._patience_s = revision, calm_s, patience_s
        self._seen: int | None = None
        self._changed_at = self._busy_since = -patience_s

    def has_come(self) -> bool:
        """Whether it is calm now, or has not been for too long. Look more often than every *calm_s*."""
        now, revision = time.monotonic(), self._revision()
        if self._seen is None:
            self._seen = revision
        elif revision != self._seen:
            if now - self._changed_at >= self._calm_s:
                self._busy_since = now
            self._seen, self._changed_at = revision, now
        return now - self._changed_at >= self._calm_s or now - self._busy_since >= self._patience_s
