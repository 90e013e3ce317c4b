"""How fast and when a long work may go: so many studies or bytes a second, within hours of the day. Knows no work."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from threading import Lock
from time import monotonic

UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9}
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(kB|MB|GB|stud(?:y|ies))?\s*/\s*(s|min|h)", re.IGNORECASE)
LOOK_S = 60.0  # how often the clock is looked at: it may be set
LATE_S = 1.0  # so late one may be and still catch up: on a busy machine who sleeps wakes late each time


@dataclass(frozen=True, slots=True)
class Rate:
    """So many bytes, or studies, a second."""

    per_second: float
    is_bytes: bool

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """ "20 MB/s" or "600 studies/h". Raises ValueError."""
        found = RATE.fullmatch(text.strip())
        if found is None or not float(found[1]):
            raise ValueError('a rate is like "20MB/s" or "600 studies/h"')
        unit = (found[2] or "").lower()
        return cls(float(found[1]) * UNITS.get(unit, 1) / SECONDS[found[3].lower()], unit in UNITS)


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day, in local time; it may span midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """ "20:00-06:00". Raises ValueError."""
        start, dash, end = text.partition("-")
        try:
            hours = cls(time.fromisoformat(start.strip()), time.fromisoformat(end.strip()))
        except ValueError:
            dash = ""
        if not dash or hours.start == hours.end:
            raise ValueError('hours are like "20:00-06:00"')
        return hours

    def wait_s(self, now: datetime) -> float:
        """How long until they begin; 0 within them."""
        clock = now.time()
        is_behind_start, is_before_end = clock >= self.start, clock < self.end
        if (is_behind_start and is_before_end) or (self.start > self.end and (is_behind_start or is_before_end)):
            return 0.0
        begin = now.replace(hour=self.start.hour, minute=self.start.minute, second=self.start.second, microsecond=0)
        return (begin if begin > now else begin + timedelta(days=1)).timestamp() - now.timestamp()


class Throttle:
    """Lets *per_second* through, counted in whatever. *sleep* waits, *clock* says seconds. For many threads."""

    def __init__(
        self, per_second: float, sleep: Callable[[float], object], clock: Callable[[], float] = monotonic
    ) -> None:
        self._per_second, self._sleep, self._clock = per_second, sleep, clock
        self._free_at = 0.0
        self._lock = Lock()

    def spend(self, amount: float) -> None:
        """Wait until what was spent before is paid for, and owe *amount*."""
        with self._lock:
            now = self._clock()
            begin = max(now - LATE_S, self._free_at or now)
            self._free_at = begin + amount / self._per_second
        if begin > now:
            self._sleep(begin - now)


class Pace:
    """A rate and hours, each or none. *sleep* waits, and returns earlier when the work is to end: *is_ending* then."""

    def __init__(
        self,
        rate: Rate | None,
        hours: Hours | None,
        sleep: Callable[[float], object],
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._throttle = Throttle(rate.per_second, sleep) if rate else None
        self._of_bytes = rate is not None and rate.is_bytes
        self._hours, self._sleep, self._is_ending = hours, sleep, is_ending

    def begin(self) -> None:
        """Wait until the next study may begin. One that has begun is finished whatever the hour."""
        while self._hours and not self._is_ending() and (wait_s := self._hours.wait_s(datetime.now().astimezone())):
            self._sleep(min(wait_s, LOOK_S))
        if self._throttle and not self._of_bytes:
            self._throttle.spend(1)

    def received(self, size_bytes: int) -> None:
        """Wait until so much more may come."""
        if self._throttle and self._of_bytes:
            self._throttle.spend(size_bytes)
