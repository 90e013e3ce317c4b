"""Queries and rows whose dates and times are meant in one time zone (PS3.3 C.12.1.1.8). Knows values, no requests.

1. A date with the time beside it (Study Date and Study Time, ...) is a moment in the zone of Timezone Offset From UTC.
   Reading: a Data Set that tells no offset is taken to be of whatever zone it is asked for in.
2. A date alone is a day, in whatever zone; a time alone is turned round the clock. A patient's are never moved.
3. What is found by wide conditions is moved into the zone and then meets the exact ones. Dates are two days wider at
   each end; times are the same minutes in each zone that any Data Set tells, or all where these zones are not known.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydicom.datadict import tag_for_keyword

from relais.dicom.attributes import TABLE, Level, by_tag, levels_above
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import alternatives, matches, simple
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.values import date_key, interval, time_interval, vr_of
from relais.errors import InvalidRequest

OFFSET_TAG = 0x00080201
MOST_MINUTES = 14 * 60  # PS3.5 6.2: offsets lie between -1200 and +1400
_OFFSET = re.compile(r"([+-])([0-9]{2})([0-5][0-9])")
FARTHEST, NOTHING = timedelta(days=2), timedelta()  # in whole days: two zones are 26 hours apart at most
SOME_DAY = "20000101"  # of a time that has none
MINUTES_OF_DAY = 24 * 60


def _time_beside(keyword: str) -> int | None:
    """The tag of the time beside a date that is kept."""
    tag = tag_for_keyword(f"{keyword.removesuffix('Date')}Time")
    return tag if tag in by_tag() else None


# Each date that is kept, with the time beside it.
PAIRS: dict[int, int] = {
    row.tag: time_tag
    for row in TABLE
    if row.vr == "DA" and row.level is not Level.PATIENT and (time_tag := _time_beside(row.keyword)) is not None
}
_BESIDE = PAIRS | {time_tag: date_tag for date_tag, time_tag in PAIRS.items()}


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone that a query is meant in: *offset* from UTC as it was told, and in minutes. *exact* is what it asks."""

    offset: str
    minutes: int
    exact: Query

    def pick(self, rows: Iterable[JsonDataset]) -> Iterator[JsonDataset]:
        """Of what `widened` found, what matches, as it is in this zone."""
        there = (moved(row, self.minutes) for row in rows)
        return (row for row in there if matches(row, self.exact))


def zone_of(query: Query, offset: str) -> Zone:
    """The zone of *query*. Raises InvalidRequest if *offset* is none."""
    found = minutes(offset)
    if found is None:
        raise InvalidRequest("TimezoneOffsetFromUTC must be an offset such as +0100.", tag=OFFSET_TAG)
    exact = tuple(match for match in query.matches if _is_moved(match.tag, query.level))
    return Zone(offset, found, replace(query, matches=exact))


def widened(query: Query, distances: Collection[int] | None = None) -> Query:
    """A query that finds all that *query* may mean in any zone, with what tells their moments.

    *distances* are those of `distances_to` the zone of *query*; None if the zones are not known.
    """
    moved_tags = {match.tag for match in query.matches if _is_moved(match.tag, query.level)}
    joined = {tag for tag in moved_tags if query.combined_date_time and _BESIDE[tag] in moved_tags}  # their dates do
    wide = (
        _wide(match, None if match.tag in joined else distances) if match.tag in moved_tags else match
        for match in query.matches
    )
    timed = {tag for tag in (*query.return_keys, *(match.tag for match in query.matches)) if tag in _BESIDE}
    return replace(
        query,
        matches=tuple(match for match in wide if match is not None),
        return_keys=query.return_keys | timed | {_BESIDE[tag] for tag in timed} | {OFFSET_TAG},
    )


def distances_to(offset: str, zones: Collection[int]) -> frozenset[int]:
    """How many minutes clocks in *zones*, minutes from UTC, are ahead of one in *offset*; and one of no zone."""
    here = minutes(offset) or 0
    return frozenset({0, *(zone - here for zone in zones)})


def offset_of(row: JsonDataset) -> int | None:
    """The minutes east of Greenwich that *row* tells, None if it tells no offset."""
    return minutes(_text(row, tag_key(OFFSET_TAG)))


def minutes(text: str) -> int | None:
    """The minutes that `&ZZXX` stands for, east of Greenwich positive; None if it is no offset."""
    found = _OFFSET.fullmatch(text.strip(" \0"))
    if found is None:
        return None
    offset = int(found[2]) * 60 + int(found[3])
    return None if offset > MOST_MINUTES else -offset if found[1] == "-" else offset


def _is_moved(tag: int, level: Level) -> bool:
    """Whether a search at *level* matches *tag*, and it is a date or time that has a zone."""
    row = by_tag().get(tag)
    return tag in _BESIDE and row is not None and row.is_matched and row.level in (*levels_above(level), level)


def _wide(match: Match, distances: Collection[int] | None) -> Match | None:
    """A condition that is met by whatever meets *match* in any zone; None if that is everything."""
    if match.kind is MatchKind.EMPTY_VALUE:
        return match
    if vr_of(match.tag) == "TM":
        ranges = tuple(_wide_times(match, distances)) if distances else ()
    else:
        ranges = tuple(map(_wide_days, alternatives(match)))
    if len(ranges) <= 1:
        return simple(match.tag, ranges[0]) if ranges else None
    return Match(match.tag, MatchKind.MULTIPLE_VALUES, ranges)


def _wide_times(match: Match, distances: Collection[int]) -> Iterator[str]:
    """Ranges of the minutes at which it is a time of *match* somewhere; none if these are all, or it is no time."""
    asked = [_minutes_of(one) for one in alternatives(match)]
    found = {minute for minutes_of_one in asked for minute in minutes_of_one}
    there = {(minute + distance) % MINUTES_OF_DAY for distance in distances for minute in found}
    if not all(asked) or len(there) == MINUTES_OF_DAY:
        return
    for first in sorted(minute for minute in there if minute - 1 not in there):
        last = next(minute for minute in range(first, MINUTES_OF_DAY) if minute + 1 not in there)
        yield f"{first // 60:02}{first % 60:02}-{last // 60:02}{last % 60:02}60"


def _minutes_of(match: Match) -> range:
    """The minutes of the day that a time or range of times touches."""
    ends = interval("TM", match.values[0], match.values[-1])
    if ends is None:
        return range(0)
    first, last = (int(text[:2]) * 60 + int(text[2:4]) for text in (str(ends[0] or "0000"), str(ends[1] or "2359")))
    return range(first, last + 1)


def _wide_days(match: Match) -> str:
    """A range with so many days more at each end, where the calendar has them."""
    low, high = interval("DA", match.values[0], match.values[-1]) or (None, None)
    return f"{_days_from(low, -FARTHEST)}-{_days_from(high, FARTHEST)}"


def _days_from(day: Any, distance: timedelta) -> str:
    """*day*, a key of dicom.values, moved; "" for an open end, and beyond the calendar."""
    if day is None:
        return ""
    at = datetime.strptime(f"{day:08d}", "%Y%m%d")  # noqa: DTZ007 - a day in any zone
    return _day(at + distance) if _is_in_calendar(at, distance) else ""


def moved(row: JsonDataset, offset: int) -> JsonDataset:
    """*row* with its dates and times as they are *offset* minutes from UTC, where it tells its own offset."""
    own = offset_of(row)
    if own is None or own == offset:
        return row
    return row | dict(_moved(row, timedelta(minutes=offset - own)))


def _moved(row: JsonDataset, distance: timedelta) -> Iterator[tuple[str, Any]]:
    for date_tag, time_tag in PAIRS.items():
        day, clock = _text(row, tag_key(date_tag)), _text(row, tag_key(time_tag))
        at = _moment(day, clock)
        if at is None or not _is_in_calendar(at, distance):
            continue
        there = at + distance
        written = f"{there:%H%M%S}" if len(clock.replace(":", "")) > 4 else f"{there:%H%M}"
        yield tag_key(time_tag), {"vr": "TM", "Value": [written + clock[len(clock.partition(".")[0]) :]]}
        if day:
            yield tag_key(date_tag), {"vr": "DA", "Value": [_day(there)]}


def _moment(day: str, clock: str) -> datetime | None:
    """When that is, to the second; None without a time, and on no day. A second of 60 counts as the one before."""
    found, date = time_interval(clock), date_key(day or SOME_DAY)
    if found is None or date is None:
        return None
    return datetime.strptime(f"{date:08d}{found[0][:4]}{min(found[0][4:6], '59')}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - in the row's own


def _is_in_calendar(at: datetime, distance: timedelta) -> bool:
    return datetime.min - min(distance, NOTHING) <= at <= datetime.max - max(distance, NOTHING)  # noqa: DTZ901 - as *at*


def _day(at: datetime) -> str:
    return f"{at.year:04d}{at:%m%d}"


def _text(row: JsonDataset, key: str) -> str:
    values = (row.get(key) or {}).get("Value") or [""]
    return str(values[0] or "").strip(" \0")
