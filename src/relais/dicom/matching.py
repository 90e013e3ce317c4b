"""Attribute matching as PS3.4 C.2.2.2 defines it. Knows values, not tables: index.compile says the same in SQL.

1. Both sides compare by the keys of dicom.values and dicom.person_name; `texts` says what of an attribute compares.
2. An attribute of several values matches if any of them does. Reading: an attribute of value multiplicity 1 that came
   with several values is compared as one text, backslashes included; its sender meant a text.
3. Names compare without regard to case and accents, everything else exactly (PS3.4 C.2.2.2.1). Reading: that names do
   so without fuzzy matching too is ours to choose.
4. An attribute that is absent, or holds nothing that could match, is empty. It matches EMPTY_VALUE and patterns of
   nothing but "*" (PS3.4 C.2.2.2.3, C.2.2.2.4), no other condition.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from relais.dicom import person_name
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.values import (
    NUMBER_VRS,
    RANGE_VRS,
    WILD_CARD_VRS,
    interval,
    is_single_valued,
    key,
    number_key,
    split_range,
    text_key,
    time_key,
    vr_of,
)

_MIDNIGHT = "000000000000"


def matches(ds: JsonDataset, query: Query) -> bool:
    """Whether *ds* satisfies every condition of *query*. Level, paging and return keys play no part."""
    ranges, rest = combine(query.matches) if query.combined_date_time else ((), query.matches)
    return all(match_one(ds.get(tag_key(match.tag)), match, query.fuzzy) for match in rest) and all(
        _lies_in(ds, date_time_range) for date_time_range in ranges
    )


def match_one(element: dict[str, Any] | None, match: Match, fuzzy: bool = False) -> bool:
    """Whether one attribute, None if it is absent, satisfies one condition."""
    if match.kind is MatchKind.SEQUENCE:
        return _some_item_matches(element, match, fuzzy)
    if match.kind is MatchKind.EMPTY_VALUE and vr_of(match.tag) == "SQ":
        return not items(element)
    found = texts(element, match.tag)
    if match.kind is MatchKind.EMPTY_VALUE:
        return not found
    simple = alternatives(match)
    if any(is_universal(one) for one in simple):
        return True
    return any(_matches_text(one, text, fuzzy) for one in simple for text in found)


def _some_item_matches(element: dict[str, Any] | None, match: Match, fuzzy: bool) -> bool:
    """One Item must satisfy all conditions (PS3.4 C.2.2.2.6). No condition at all is universal matching."""
    return not match.items or any(
        all(match_one(item.get(tag_key(one.tag)), one, fuzzy) for one in match.items) for item in items(element)
    )


def items(element: Mapping[str, Any] | None) -> list[JsonDataset]:
    """The Items of a sequence; none of an attribute that came with the VR of a text, number or whatever else."""
    if not element or element["vr"] != "SQ":
        return []
    return [item or {} for item in element.get("Value") or []]


def texts(element: dict[str, Any] | None, tag: int) -> tuple[str, ...]:
    """The values of an attribute as the texts that compare, at most one if its value multiplicity is 1.

    Names are `Alphabetic=Ideographic=Phonetic`, numbers their decimal form. Left out are values that are missing,
    blank, a name without a letter, or in a numeric attribute not a number.
    """
    found = [text_key(as_text(value)) for value in (element or {}).get("Value") or []]
    if len(found) > 1 and is_single_valued(tag):
        found = ["\\".join(text for text in found if text)]
    return tuple(text for text in found if _says_something(vr_of(tag), text))


def as_text(value: Any) -> str:
    """One value of the DICOM JSON model as text."""
    if isinstance(value, dict):
        return person_name.from_json(value)
    return "" if value is None else str(value)


def _says_something(vr: str, text: str) -> bool:
    if vr == "PN":
        return any(person_name.keys(text))
    if vr in NUMBER_VRS:
        return number_key(text) is not None
    return bool(text)


def alternatives(match: Match) -> tuple[Match, ...]:
    """A condition with several values as conditions with one each, any of which may match.

    Reading: without negotiation the meaning of several values is undefined (PS3.4 C.2.2.2.8); here any may match, and
    each may be a pattern or a range where its VR allows that. A pattern of names may stand for two: `A^*` is `A`, too.
    """
    is_several = match.kind in (MatchKind.MULTIPLE_VALUES, MatchKind.LIST_OF_UID)
    found = tuple(simple(match.tag, value) for value in match.values) if is_several else (match,)
    if vr_of(match.tag) != "PN":
        return found
    return tuple(pattern for one in found for pattern in _patterns(one))


def _patterns(match: Match) -> Iterable[Match]:
    """A condition on a name as those that it stands for."""
    if match.kind is not MatchKind.WILD_CARD:
        return (match,)
    return (replace(match, values=(text,)) for text in person_name.patterns(match.values[0]))


def simple(tag: int, text: str, vr: str | None = None) -> Match:
    """The condition that one value of a request stands for, by *vr* or else the VR of *tag* in PS3.6."""
    vr = vr or vr_of(tag)
    if vr in RANGE_VRS and (ends := split_range(vr, text)) is not None:
        return Match(tag, MatchKind.RANGE, ends)
    if vr in WILD_CARD_VRS and ("*" in text or "?" in text):
        return Match(tag, MatchKind.WILD_CARD, (text,))
    return Match(tag, MatchKind.SINGLE_VALUE, (text,))


def is_universal(match: Match) -> bool:
    """Whether a condition is met by everything, an empty attribute included (PS3.4 C.2.2.2.3, C.2.2.2.4)."""
    return match.kind is MatchKind.WILD_CARD and not text_key(match.values[0]).strip("*")


def _matches_text(match: Match, text: str, fuzzy: bool) -> bool:
    """Whether one non-empty value satisfies a condition of one value, pattern or range."""
    vr = vr_of(match.tag)
    if vr == "PN":
        return _matches_name(match, text, fuzzy)
    if vr in RANGE_VRS:
        return _matches_moment(vr, match, text)
    wanted = text_key(match.values[0])
    if match.kind is MatchKind.WILD_CARD:
        return wild_card(wanted, text)
    if vr in NUMBER_VRS:
        return number_key(wanted) == number_key(text)
    return wanted == text


def _matches_moment(vr: str, match: Match, text: str) -> bool:
    """PS3.4 C.2.2.2.5. What cannot be parsed is in no range and matches only itself, letter by letter."""
    bounds = interval(vr, match.values[0], match.values[-1])
    if bounds is None:
        return match.kind is MatchKind.SINGLE_VALUE and text_key(match.values[0]) == text
    return _is_between(key(vr, text), bounds)


def _is_between(found: Any, bounds: tuple[Any, Any]) -> bool:
    low, high = bounds
    return found is not None and (low is None or low <= found) and (high is None or found <= high)


def _matches_name(match: Match, name: str, fuzzy: bool) -> bool:
    """PS3.4 C.2.2.2.1 and C.2.2.2.4 for PN.

    Reading: a key without "=" may match any one group of the name; one with "=" must match in each group that it
    names, and a group that is not there matches nothing but "*".
    Fuzzy matching only ever adds to what plain matching finds.
    """
    wanted, found = person_name.keys(match.values[0]), person_name.keys(name)
    if "=" not in match.values[0]:
        is_plain = any(_matches_group(match.kind, wanted[0], group) for group in found)
    else:
        pairs = [pair for pair in zip(wanted, found, strict=True) if pair[0]]
        is_plain = bool(pairs) and all(_matches_group(match.kind, *pair) for pair in pairs)
    return is_plain or (fuzzy and person_name.is_like(match.values[0], name))


def _matches_group(kind: MatchKind, wanted: str, group: str) -> bool:
    return bool(group) and (wild_card(wanted, group) if kind is MatchKind.WILD_CARD else wanted == group)


def wild_card(pattern: str, value: str) -> bool:
    """Whether *value* matches *pattern*, where `*` is any run of characters and `?` any one (PS3.4 C.2.2.2.4).

    Case matters; fold both first for PN. Every other character, `%` and `_` among them, means itself. An empty value
    matches only patterns of nothing but `*`. Takes at most len(pattern) * len(value) steps.

    Reading: a trailing space in the pattern is padding (PS3.5 6.2) and is dropped.
    """
    pattern = pattern.rstrip(" ")
    at = start = star = 0
    mark = -1
    while at < len(value):
        letter = pattern[star : star + 1]
        if letter == "*":
            mark, start, star = star, at, star + 1
        elif letter and letter in ("?", value[at]):
            at, star = at + 1, star + 1
        elif mark >= 0:
            start += 1
            at, star = start, mark + 1
        else:
            return False
    return not pattern[star:].strip("*")


@dataclass(frozen=True, slots=True)
class DateTimeRange:
    """A date range and the time range beside it as one; ends are `yyyymmddhhmmssffffff`, None where open."""

    date_tag: int
    time_tag: int
    low: str | None
    high: str | None


def combine(conditions: Iterable[Match]) -> tuple[tuple[DateTimeRange, ...], tuple[Match, ...]]:
    """Date ranges joined with the time ranges beside them (PS3.4 C.2.2.2.5.4), and the conditions that stay apart.

    Joined are the attributes <name>Date and <name>Time where both hold a range of the same form, closed or open at the
    same end, that can be parsed. Of several ranges of one attribute, all of which must match, one is joined.
    """
    conditions = tuple(conditions)
    ranges = {match.tag: match for match in conditions if match.kind is MatchKind.RANGE}
    joined = [
        (found, {day, time})
        for day in ranges.values()
        if (time := ranges.get(_time_beside(day.tag) or 0)) is not None and (found := _join(day, time)) is not None
    ]
    gone = {match for _, pair in joined for match in pair}
    return tuple(found for found, _ in joined), tuple(match for match in conditions if match not in gone)


def _time_beside(date_tag: int) -> int | None:
    keyword = keyword_for_tag(date_tag)
    return tag_for_keyword(f"{keyword.removesuffix('Date')}Time") if keyword.endswith("Date") else None


def _join(day: Match, time: Match) -> DateTimeRange | None:
    days, times = interval("DA", *day.values), interval("TM", *time.values)
    if days is None or times is None or [end is None for end in days] != [end is None for end in times]:
        return None
    low, high = (None if date is None else f"{date:08d}{clock}" for date, clock in zip(days, times, strict=True))
    return DateTimeRange(day.tag, time.tag, low, high)


def _lies_in(ds: JsonDataset, wanted: DateTimeRange) -> bool:
    """Reading: a date without a time that can be parsed counts as its midnight."""
    day = next((key("DA", text) for text in texts(ds.get(tag_key(wanted.date_tag)), wanted.date_tag)), None)
    time = next((time_key(text) for text in texts(ds.get(tag_key(wanted.time_tag)), wanted.time_tag)), None)
    found = None if day is None else f"{day:08d}{time or _MIDNIGHT}"
    return _is_between(found, (wanted.low, wanted.high))
