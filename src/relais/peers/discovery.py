"""All the studies that a peer holds under some keys, also where it does not tell all in one answer. Knows no archive.

1. A peer that ends its answer with a failure, or breaks off, did not tell all: what was asked for is asked again in two
   halves of its Study Date, down to one day, and then of its Study Time.
2. A number of answers that looks like a limit is not believed either (Seen: peers that cut at 500 and say Success).
3. What one second still has too much of is told in `cut`; who only fails, however little is asked, is given up.
"""

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Protocol

from relais.dicom import json_model, uids
from relais.dicom.attributes import TABLE, Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Match, MatchKind, Query
from relais.errors import InvalidRequest, Unavailable
from relais.peers.association import NotAssociated
from relais.peers.base import Refused

STUDY_DATE, STUDY_TIME, STUDY_INSTANCE_UID = 0x00080020, 0x00080030, 0x0020000D
NUMBER_OF_INSTANCES = 0x00201208  # Number of Study Related Instances
FIRST_DAY = date(1900, 1, 1)
AHEAD = timedelta(days=366)  # of clocks that are wrong
LAST_S = 86399
MANY = 100  # answers that are a multiple of this are as many as somebody allowed
IN_VAIN = 64  # questions in a row that failed and told nothing new: twice as many as lead down to one second
HOPELESS = frozenset({0xA900, 0x0122, 0x0124, 0x0211})  # the same for every window (PS3.4 C.4.1.1.4, PS3.7 C)


@dataclass(frozen=True, slots=True)
class Window:
    """Days, both included, or the seconds of one day."""

    first: date
    last: date
    start_s: int = 0
    end_s: int = LAST_S

    def halves(self) -> tuple["Window", ...]:
        """The same in two; () for one second."""
        if self.first < self.last:
            middle = self.first + (self.last - self.first) // 2
            return Window(self.first, middle), Window(middle + timedelta(days=1), self.last)
        if self.start_s == self.end_s:
            return ()
        middle_s = (self.start_s + self.end_s) // 2
        return (
            Window(self.first, self.last, self.start_s, middle_s),
            Window(self.first, self.last, middle_s + 1, self.end_s),
        )

    def matches(self) -> tuple[Match, ...]:
        """The conditions on Study Date and Study Time (PS3.4 C.2.2.2.5)."""
        days = (f"{self.first:%Y%m%d}", f"{self.last:%Y%m%d}")
        if self.first < self.last:
            return (Match(STUDY_DATE, MatchKind.RANGE, days),)
        day = Match(STUDY_DATE, MatchKind.SINGLE_VALUE, days[:1])
        if (self.start_s, self.end_s) == (0, LAST_S):
            return (day,)
        times = (_clock(self.start_s), f"{_clock(self.end_s)}.999999")
        return day, Match(STUDY_TIME, MatchKind.RANGE, times)

    def __str__(self) -> str:
        days = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return days if (self.start_s, self.end_s) == (0, LAST_S) else f"{days}, {_clock(self.start_s)}"


class Searched(Protocol):
    """Whoever can be asked what it has."""

    @property
    def name(self) -> str: ...

    def search(self, query: Query) -> Iterator[JsonDataset]:
        """As Peer.search."""


@dataclass(slots=True)
class Discovery:
    """The studies of *peer* that *matches* name. *cut* are the windows of which it did not tell all, afterwards.

    Raises InvalidRequest for a key that is none of patients and studies, and Study Time, by which windows are made.
    """

    peer: Searched
    matches: tuple[Match, ...]
    today: date
    cut: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _in_vain: int = 0
    _has_failed: bool = False

    def __post_init__(self) -> None:
        allowed = {row.tag for row in TABLE if row.level in {Level.PATIENT, Level.STUDY}} - {STUDY_TIME}
        for match in self.matches:
            if match.tag not in allowed:
                name = json_model.tag_key(match.tag)
                raise InvalidRequest(f"{name} cannot select studies here (of modalities: ModalitiesInStudy).")

    def studies(self) -> Iterator[JsonDataset]:
        """Each study once: its UID, date, time and number of instances as far as the peer tells them.

        Raises Unavailable, and Refused if the peer refuses whatever the window.
        """
        dated = [match for match in self.matches if match.tag == STUDY_DATE]
        others = tuple(match for match in self.matches if match.tag != STUDY_DATE)
        span = _span(dated[0], self.today) if dated else Window(FIRST_DAY, self.today + AHEAD)
        if (yield from self._tells_all(self.matches)):
            return
        if span is None:
            self.cut += ["all of it"] * self._has_failed
            return
        for half in span.halves():
            yield from self._walk(half, others)

    def _walk(self, window: Window, others: tuple[Match, ...]) -> Generator[JsonDataset]:
        if (yield from self._tells_all((*others, *window.matches()))):
            return
        if not window.halves() and self._has_failed:
            self.cut.append(str(window))
        for half in window.halves():
            yield from self._walk(half, others)

    def _tells_all(self, matches: tuple[Match, ...]) -> Generator[JsonDataset, None, bool]:
        """Ask, give what is new, and say whether that was all there is."""
        answers, failure = self._ask(matches)
        fresh = list(self._fresh(answers))
        yield from fresh
        self._has_failed = failure is not None
        self._in_vain = self._in_vain + 1 if failure and not fresh else 0
        if failure is not None and self._in_vain >= IN_VAIN:
            raise failure
        return failure is None and not _looks_cut(answers)

    def _ask(self, matches: tuple[Match, ...]) -> tuple[list[JsonDataset], Unavailable | Refused | None]:
        """What the peer answered, and why it did not answer all."""
        keys = frozenset({STUDY_INSTANCE_UID, STUDY_DATE, STUDY_TIME, NUMBER_OF_INSTANCES})
        answers: list[JsonDataset] = []
        try:
            answers.extend(self.peer.search(Query(Level.STUDY, matches, keys)))
        except NotAssociated:
            raise
        except (Unavailable, Refused) as exc:
            if isinstance(exc, Refused) and exc.status in HOPELESS:
                raise
            return answers, exc
        return answers, None

    def _fresh(self, answers: Iterable[JsonDataset]) -> Iterator[JsonDataset]:
        for answer in answers:
            uid = json_model.text(answer, STUDY_INSTANCE_UID) or ""
            if uids.is_valid(uid) and uid not in self._seen:
                self._seen.add(uid)
                yield answer


def _looks_cut(answers: list[JsonDataset]) -> bool:
    return len(answers) >= MANY and len(answers) % MANY == 0


def _span(match: Match, today: date) -> Window | None:
    """The days of a condition on Study Date; None if it names none."""
    if match.kind is MatchKind.RANGE:
        first, last = match.values
    elif match.kind is MatchKind.SINGLE_VALUE:
        first = last = match.values[0]
    else:
        return None
    window = Window(_day(first, FIRST_DAY), _day(last, today + AHEAD))
    return window if window.first <= window.last else None


def _day(text: str, otherwise: date) -> date:
    digits = re.sub(r"\D", "", text)
    return date.fromisoformat(digits) if digits else otherwise


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
