"""Having another archive's instances: unit by unit, several at a time, until what it names is what we hold.

Knows neither peer nor protocol: a unit (a study, a series) is brought by a `Work`, which asks what there is, fetches
what is missing and says what is still missing then. So a pull may be ended at any moment, by anything, and begun again.

1. A unit that is complete is noted with its mark, and not asked for again while the peer gives it the same mark.
2. A unit that is not is tried again, later and later, a few times; once only if nothing came and nobody is away.
3. When nothing answers any more, or nothing more can be made durable, the rest is left for another time.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from relais.archive.ledger import Ledger
from relais.archive.pace import Hours, Pace, Rate
from relais.errors import NodeError, OutOfResources, Unavailable

OPEN = "open"  # the mark of a unit that was not complete in the end
PATIENCE_S = (1.0, 5.0, 25.0)  # between one attempt and the next; after the last one the unit is left
GIVE_UP = 3  # units in a row that nobody answered for
WAITING = 2  # units handed to each thread ahead of time
NAMED = 20  # missing instances of one unit that are named


@dataclass(frozen=True, slots=True)
class Unit:
    """What is fetched at a time. *mark* is another one when the peer holds other things under *key*; None: who knows.

    *instances* is how many the peer says there are.
    """

    key: str
    mark: str | None = None
    instances: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of a unit: how many instances it has, how many came now, which are *missing* and what is to be said.

    *unnamed* ones are missing besides, of which nobody knows the UIDs; None: nor how many. One that *is_failed* was not
    compared, whatever the numbers say.
    """

    instances: int = 0
    received: int = 0
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_unanswered: bool = False
    unnamed: int | None = 0
    is_failed: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.missing and self.unnamed == 0 and not self.is_failed


Work = Callable[[Unit], Outcome]
"""Brings one unit as far as it can. Raises Unavailable if the peer does not answer, OutOfResources if we are full."""


@dataclass(slots=True)
class Incomplete:
    """How many of the *instances* of a unit are missing, the UIDs of some, and why. None: the peer did not count."""

    missing: int | None
    examples: list[str]
    notes: list[str]
    instances: int | None = None


@dataclass(slots=True)
class Report:
    """What a pull did of *total* units, None if nobody knows how many. *known* ones were complete before.

    *received* instances came now; *here* were here before, of the complete units that were not known.
    *notes*, by unit, are what an operator may want to know. *stopped* says why it ended before its end, "" if it did
    not.
    """

    total: int | None = None
    units: int = 0
    complete: int = 0
    known: int = 0
    instances: int = 0
    received: int = 0
    here: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    incomplete: dict[str, Incomplete] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    stopped: str = ""

    @property
    def is_complete(self) -> bool:
        return not self.incomplete and not self.stopped


class Pull:
    """One pull. *tell* is called after every unit. With *again* what was complete before is compared again.

    `is_ending`, `received`, `came` and `refused` are for the Work: whether to break off, that so many bytes came, which
    may wait, what came of an attempt that fails and is here then, and what came and was not taken.
    """

    def __init__(
        self,
        ledger: Ledger,
        tell: Callable[[Report], None] = lambda _: None,
        rate: Rate | None = None,
        hours: Hours | None = None,
        *,
        again: bool = False,
    ) -> None:
        self.ledger = ledger
        self.again = again
        self.report = Report()
        self._tell = tell
        self._end = threading.Event()
        self._pace = Pace(rate, hours, self.sleep, self._end.is_set)
        self._lock = threading.Lock()
        self._unanswered = 0
        self._came: Counter[str] = Counter()
        self._here: dict[str, int] = {}
        self._refused: dict[str, dict[str, set[Hashable]]] = {}  # by unit and reason
        self._bug: BaseException | None = None

    def is_ending(self) -> bool:
        return self._end.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self._end.wait(seconds)

    def received(self, size_bytes: int) -> None:
        self._pace.received(size_bytes)
        with self._lock:
            self.report.received_bytes += size_bytes

    def came(self, unit: Unit, instances: int, here: int) -> None:
        """So many of *unit* came in an attempt that raises, and count; so many are *here*, with those from before."""
        with self._lock:
            self._came[unit.key] += instances
            self._here[unit.key] = here

    def refused(self, unit: Unit, instance: Hashable, why: str) -> None:
        """*instance* of *unit* came and was not taken. Told with the unit, once, whatever becomes of the attempt."""
        with self._lock:
            self._refused.setdefault(unit.key, defaultdict(set))[why].add(instance)

    def miss(self, what: str, why: str) -> None:
        """Something outside all units is missing."""
        with self._lock:
            self.report.incomplete[what] = Incomplete(None, [], [why])

    def remark(self, key: str, notes: list[str]) -> None:
        """An operator may want to know *notes* about *key*."""
        if notes:
            with self._lock:
                self.report.notes[key] = notes

    def run(self, units: Iterable[Unit], work: Work, parallel: int) -> Report:
        """Bring *units*, *parallel* at a time."""
        started = time.monotonic()
        room = threading.BoundedSemaphore(parallel * WAITING)

        def done(future: Future[None]) -> None:
            room.release()
            self._bug = self._bug or future.exception()

        pool = ThreadPoolExecutor(parallel, "pull")
        try:
            for unit in units:
                if self.is_ending() or self._bug:
                    break
                room.acquire()
                pool.submit(self._bring, unit, work).add_done_callback(done)
            pool.shutdown()
        except BaseException:  # also a key pressed: what is on its way is broken off
            self._end.set()
            pool.shutdown()
            raise
        self.report.seconds = time.monotonic() - started
        if self._bug:
            raise self._bug
        return self.report

    def _bring(self, unit: Unit, work: Work) -> None:
        if self.is_ending():
            return
        if not self.again and unit.mark is not None and self.ledger.get(unit.key) == unit.mark:
            self._count(unit, Outcome(unit.instances), known=1)
            return
        outcome = self._persist(unit, work)
        if self.is_ending() and not outcome.is_complete:
            with self._lock:
                self.report.received += outcome.received
            return
        self.ledger.note(unit.key, (unit.mark or "") if outcome.is_complete else OPEN)
        self._count(unit, outcome)

    def _persist(self, unit: Unit, work: Work) -> Outcome:
        """Try until the unit is complete, or it makes no sense to go on."""
        received, fruitless = 0, 0
        for pause_s in (0.0, *PATIENCE_S):
            self.sleep(pause_s)
            self._pace.begin()
            outcome = self._attempt(unit, work)
            received += outcome.received
            fruitless += not outcome.received and not outcome.is_unanswered
            if outcome.is_complete or fruitless > 1 or self.is_ending():
                break
        outcome.received = received + self._came.pop(unit.key, 0)
        self._here.pop(unit.key, None)
        outcome.notes += [f"{len(those)} {why}" for why, those in self._refused.pop(unit.key, {}).items()]
        return outcome

    def _attempt(self, unit: Unit, work: Work) -> Outcome:
        try:
            outcome = work(unit)
        except OutOfResources as exc:
            self._stop(exc.message)
            return self._failed(unit, exc)
        except Unavailable as exc:
            self._unanswered += 1
            if self._unanswered >= GIVE_UP * (len(PATIENCE_S) + 1):
                self._stop(exc.message)
            return self._failed(unit, exc, is_unanswered=True)
        except NodeError as exc:
            outcome = self._failed(unit, exc)
        self._unanswered = 0
        return outcome

    def _failed(self, unit: Unit, why: NodeError, *, is_unanswered: bool = False) -> Outcome:
        """Of what is missing only the number is known, and that only if the peer counted."""
        counted = unit.instances
        unnamed = max(0, counted - self._here.get(unit.key, 0)) if counted else None
        return Outcome(counted, notes=[why.message], is_unanswered=is_unanswered, unnamed=unnamed, is_failed=True)

    def _stop(self, why: str) -> None:
        with self._lock:
            self.report.stopped = self.report.stopped or why
        self._end.set()

    def _count(self, unit: Unit, outcome: Outcome, known: int = 0) -> None:
        with self._lock:
            report = self.report
            report.units += 1
            report.known += known
            report.instances += outcome.instances
            report.received += outcome.received
            if outcome.is_complete:
                report.complete += 1
                report.here += 0 if known else max(0, outcome.instances - outcome.received)
                if outcome.notes:
                    report.notes[unit.key] = outcome.notes
            else:
                report.incomplete[unit.key] = _incomplete(outcome)
            self._tell(report)


def _incomplete(outcome: Outcome) -> Incomplete:
    """What the report says of a unit that is not complete."""
    missing = None if outcome.unnamed is None else len(outcome.missing) + outcome.unnamed
    return Incomplete(missing, outcome.missing[:NAMED], outcome.notes, outcome.instances or None)
