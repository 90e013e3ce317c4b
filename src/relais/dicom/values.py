"""Dates, times, date-times and numbers as they compare. Knows texts and keys, not attributes, queries or tables.

A key is the normal form of one value that can be compared and indexed: both dicom.matching and the index use these
functions and no others, so that they cannot disagree.

1. A value that cannot be parsed has no key (None). It lies in no range.
2. A value of lower precision ("10" for a TM, "2020" for a DT) names the interval from its first to its last instant.
   Reading: in a request it stands for that whole interval (PS3.4 C.2.2.2.1 matches dates and times by meaning); in a
   Data Set it counts as its first instant.
3. Old forms (yyyy.mm.dd, hh:mm:ss) are understood (PS3.5 6.2, notes on DA and TM).
"""

import re
from calendar import monthrange
from datetime import date, datetime, timedelta
from functools import cache
from math import isfinite

from pydicom.datadict import dictionary_VM, dictionary_VR

Key = int | str
Interval = tuple[Key | None, Key | None]

RANGE_VRS = frozenset({"DA", "TM", "DT"})
NUMBER_VRS = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
WILD_CARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})  # PS3.4 C.2.2.2.4
WHOLE_TEXT_VRS = frozenset({"LT", "ST", "UR", "UT"})  # a backslash is part of the value (PS3.5 6.2)
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})

_DATE = re.compile(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})")
_TIME = re.compile(r"([0-9]{2})(?:(:?)([0-9]{2})(?:\2([0-9]{2})(?:\.([0-9]*))?)?)?")
_DATE_TIME = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?)?)?"
    r"(?:([+-])([0-9]{2})([0-9]{2}))?"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_NUMBER_LENGTH = 64  # a longer text is not taken for a number
_MAX_INTEGER = 2**63  # beyond it a number compares as a floating point number, as databases do
_MAX_OFFSET_HOURS = 14  # PS3.5 6.2: offsets lie between -1200 and +1400


@cache
def vr_of(tag: int) -> str:
    """The VR by which values of *tag* compare, UN for a tag outside PS3.6; of two possible VRs the first."""
    try:
        return dictionary_VR(tag).split(" or ", maxsplit=1)[0]
    except KeyError:
        return "UN"


@cache
def is_single_valued(tag: int) -> bool:
    """Whether PS3.6 gives *tag* a value multiplicity of 1."""
    try:
        return dictionary_VM(tag) == "1"
    except KeyError:
        return False


def text_key(text: str) -> str:
    """*text* without padding, exactly as it otherwise is: case, accents and inner spaces count (PS3.4 C.2.2.2.1)."""
    return text.replace("\0", "").strip(" ")


def date_key(text: str) -> int | None:
    """A DA as the number yyyymmdd, None unless it is a day of the calendar."""
    found = _DATE.fullmatch(text.strip(" \0"))
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[3]), int(found[4])
    try:
        date(year, month, day)
    except ValueError:
        return None
    return year * 10000 + month * 100 + day


def time_interval(text: str) -> tuple[str, str] | None:
    """The first and the last instant of a TM as keys, `hhmmssffffff`. Digits beyond microseconds are dropped."""
    found = _TIME.fullmatch(text.strip(" \0"))
    if found is None:
        return None
    hour, minute, second, fraction = found[1], found[3], found[4], (found[5] or "")[:6]
    if hour > "23" or (minute or "00") > "59" or (second or "00") > "60":
        return None
    first = hour + (minute or "00") + (second or "00") + fraction.ljust(6, "0")
    last = hour + (minute or "59") + (second or "59") + fraction.ljust(6, "9")
    return first, last


def time_key(text: str) -> str | None:
    """A TM as the fixed-width text `hhmmssffffff` of its first instant."""
    interval = time_interval(text)
    return interval and interval[0]


def date_time_interval(text: str) -> tuple[str, str] | None:
    """The first and the last instant of a DT as keys, `yyyymmddhhmmssffffff`, in UTC if the value has an offset.

    Reading: a value without an offset compares as if it were UTC; Timezone Offset From UTC (0008,0201) is not applied.
    """
    found = _DATE_TIME.fullmatch(text.strip(" \0"))
    if found is None:
        return None
    try:
        first = _instant(found, ("", "01", "01", "00", "00", "00", ""), "0")
        last_day = f"{monthrange(int(found[1]), int(found[2] or 12))[1]:02d}"
        last = _instant(found, ("", "12", last_day, "23", "59", "59", ""), "9")
    except (ValueError, OverflowError):
        return None
    return first, last


def _instant(found: re.Match[str], missing: tuple[str, ...], filler: str) -> str:
    """The key of a parsed DT, its null components taken from *missing*; ValueError if it is not in the calendar."""
    year, month, day, hour, minute, second, fraction = (found[i + 1] or default for i, default in enumerate(missing))
    if second > "60":
        raise ValueError(second)
    moment = datetime(int(year), int(month), int(day), int(hour), int(minute))  # noqa: DTZ001 - a DT may have no offset
    if found[8]:
        offset = timedelta(hours=int(found[9]), minutes=int(found[10]))
        if offset > timedelta(hours=_MAX_OFFSET_HOURS) or int(found[10]) > 59:
            raise ValueError(offset)
        moment += offset if found[8] == "-" else -offset
    return f"{moment:%Y%m%d%H%M}".rjust(12, "0") + second + fraction.ljust(6, filler)


def date_time_key(text: str) -> str | None:
    """A DT as the fixed-width text `yyyymmddhhmmssffffff` of its first instant."""
    interval = date_time_interval(text)
    return interval and interval[0]


def number_key(text: str) -> int | float | None:
    """A number of any notation as int where it is whole and fits 64 bits, else as float; None if it is not finite."""
    text = text.strip(" \0")
    if len(text) > _MAX_NUMBER_LENGTH or _NUMBER.fullmatch(text) is None:
        return None
    if text.lstrip("+-").isdigit():
        whole = int(text)
    else:
        number = float(text)
        if not number.is_integer():
            return number if isfinite(number) else None
        whole = int(number)
    return whole if -_MAX_INTEGER <= whole < _MAX_INTEGER else float(whole)


def key(vr: str, text: str) -> Key | None:
    """The key of one DA, TM or DT value."""
    if vr == "DA":
        return date_key(text)
    return time_key(text) if vr == "TM" else date_time_key(text)


def interval(vr: str, low: str, high: str) -> Interval | None:
    """The keys between which values match *low*-*high* inclusive; None at an open end (PS3.4 C.2.2.2.5).

    A single value is the range from itself to itself. None as a whole if an end cannot be parsed.
    """
    first = _ends(vr, low) if low else (None, None)
    last = _ends(vr, high) if high else (None, None)
    if first is None or last is None:
        return None
    return first[0], last[1]


def _ends(vr: str, text: str) -> Interval | None:
    if vr == "DA":
        day = date_key(text)
        return None if day is None else (day, day)
    return time_interval(text) if vr == "TM" else date_time_interval(text)


def split_range(vr: str, text: str) -> tuple[str, str] | None:
    """The two ends of a range as texts, "" for an open one; None if *text* is no range (PS3.4 C.2.2.2.5).

    Reading: where a hyphen in a DT may be read as the sign of an offset from UTC, it is one ("2020-0500" is a single
    value, "2020-2021" a range); else the first hyphen with a date-time or nothing on both sides divides the range.
    """
    if "-" not in text:
        return None
    if vr != "DT":
        low, _, high = text.partition("-")
        return low.strip(" "), high.strip(" ")
    if date_time_interval(text) is not None:
        return None
    cuts = [(text[:i].strip(" "), text[i + 1 :].strip(" ")) for i, letter in enumerate(text) if letter == "-"]
    return next((cut for cut in cuts if any(cut) and interval("DT", *cut) is not None), cuts[0])
