"""The keys of a request, QIDO-RS or C-FIND, as matches. Knows values and VRs, not query strings or associations.

1. None stands for universal matching: an empty key, or nothing but "*" (PS3.4 C.2.2.2.3, C.2.2.2.4).
2. Two quotation marks stand for empty value matching (PS3.4 C.2.2.2.7), where it was not refused.
3. A backslash divides values wherever the VR allows several; in a query string a comma does so as well where it
   cannot be part of a value (UIDs, codes, dates, times and numbers).
4. A value that its VR does not allow raises InvalidRequest: no filter is ever ignored in silence.
"""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydicom.datadict import keyword_for_tag

from relais.dicom import charset, person_name, uids
from relais.dicom.json_model import JsonDataset
from relais.dicom.matching import alternatives, as_text, combine, simple
from relais.dicom.query import Match, MatchKind
from relais.dicom.values import (
    BINARY_VRS,
    NUMBER_VRS,
    RANGE_VRS,
    WHOLE_TEXT_VRS,
    WILD_CARD_VRS,
    interval,
    number_key,
    vr_of,
)
from relais.errors import InvalidRequest

EMPTY_VALUE_KEY = '""'
MAX_VALUES = 1000  # of one key; more are refused
_COMMA_VRS = NUMBER_VRS | RANGE_VRS | {"UI", "CS", "AS", "AT"}

# Keys that say how to answer and are never matched (PS3.4 C.2.2.2, C.4.1.1.3.1): Specific Character Set, Query/Retrieve
# Level and View, Retrieve AE Title, Instance Availability, Timezone Offset From UTC.
NEVER_MATCHED = frozenset({0x00080005, 0x00080052, 0x00080053, 0x00080054, 0x00080056, 0x00080201})


def match_from_text(
    tag: int,
    raw: str,
    *,
    vr: str | None = None,
    separators: str = "\\,",
    may_ask_empty: bool = True,
    every: bool = False,
) -> Match | None:
    """The condition that *raw*, already percent-decoded, asks of *tag*; None for universal matching.

    Without *may_ask_empty* two quotation marks are a value like any other. With *every* the condition is meant for
    every_value: of several values those that everything meets are left out. Raises InvalidRequest with a sentence for a
    value that *vr* (by default that of PS3.6) does not allow.
    """
    match = unordered_match(tag, raw, vr=vr, separators=separators, may_ask_empty=may_ask_empty, every=every)
    if match is not None:
        _check_order(match)
    return match


def unordered_match(
    tag: int,
    raw: str,
    *,
    vr: str | None = None,
    separators: str = "\\,",
    may_ask_empty: bool = True,
    every: bool = False,
) -> Match | None:
    """As match_from_text, but ranges may end before they begin: check_ranges is asked about all conditions together."""
    vr, raw = vr or vr_of(tag), raw.strip(" \0")
    if raw == EMPTY_VALUE_KEY and may_ask_empty:
        return Match(tag, MatchKind.EMPTY_VALUE)
    if not raw.strip("*"):
        return None
    if vr == "SQ" or vr in BINARY_VRS:
        raise InvalidRequest(f"{_name(tag)} ({vr}) cannot be matched with a text.", tag=tag)
    found = {value: _checked(tag, vr, value) for value in _split(vr, raw, separators)}
    conditions = [one for one in found.values() if one is not None]
    is_universal = len(conditions) < len(found) and not (every and vr != "UI")  # a list of UID names any of its values
    if not conditions or is_universal:
        return None
    if len(conditions) == 1:
        return conditions[0]
    values = [value for value, one in found.items() if one is not None]
    return Match(tag, MatchKind.LIST_OF_UID if vr == "UI" else MatchKind.MULTIPLE_VALUES, tuple(values))


def check_ranges(matches: Sequence[Match], *, combined_date_time: bool) -> None:
    """Raise InvalidRequest for a range that ends before it begins (PS3.4 C.2.2.2.5).

    With *combined_date_time*, a time range may if the date range beside it does not: from one evening to a later
    morning (PS3.4 C.2.2.2.5.4).
    """
    ranges, apart = combine(matches) if combined_date_time else ((), matches)
    for match in apart:
        _check_order(match)
    for joined in ranges:
        if joined.low is not None and joined.high is not None and joined.low > joined.high:
            raise InvalidRequest(
                f"{_name(joined.date_tag)}: its range and that of the time end before they begin.", tag=joined.date_tag
            )


def _split(vr: str, raw: str, separators: str) -> list[str]:
    """The values in *raw*, without padding and without empty ones."""
    if vr in WHOLE_TEXT_VRS:
        return [raw]
    if "," in separators and vr in _COMMA_VRS:
        raw = raw.replace(",", "\\")
    values = [value.strip(" \0") for value in raw.split("\\")]
    if len(values) > MAX_VALUES:
        raise InvalidRequest(f"A key has {len(values)} values; at most {MAX_VALUES} are taken.")
    return [value for value in values if value]


def _checked(tag: int, vr: str, value: str) -> Match | None:
    """One value as a condition, None if it is met by everything. Raises InvalidRequest if *vr* does not allow it."""
    if not value.strip("*") or (vr == "PN" and not any(person_name.keys(value))):
        return None
    match = simple(tag, value, vr)
    if vr in RANGE_VRS:
        _check_moment(match, vr, value)
    elif vr == "UI" and not uids.is_valid(value):
        raise InvalidRequest(f"{_name(tag)}: {_quoted(value)} is not a UID; wild cards cannot match UIDs.", tag=tag)
    elif vr in NUMBER_VRS and number_key(value) is None:
        raise InvalidRequest(f"{_name(tag)} ({vr}): {_quoted(value)} is not a number.", tag=tag)
    elif vr not in WILD_CARD_VRS and vr != "UN" and ("*" in value or "?" in value):
        raise InvalidRequest(f"{_name(tag)} ({vr}) cannot be matched with wild cards.", tag=tag)
    return match


def _check_moment(match: Match, vr: str, value: str) -> None:
    bounds = interval(vr, match.values[0], match.values[-1])
    if bounds is None or bounds == (None, None):
        form = {"DA": "yyyymmdd", "TM": "hhmmss", "DT": "yyyymmddhhmmss"}[vr]
        raise InvalidRequest(
            f"{_name(match.tag)}: {_quoted(value)} is neither {form} nor a range of them.", tag=match.tag
        )


def _check_order(match: Match) -> None:
    for one in alternatives(match):
        low, high = _ends(one) if one.kind is MatchKind.RANGE else (None, None)
        if low is not None and high is not None and low > high:
            raise InvalidRequest(
                f"{_name(one.tag)}: the range {_quoted('-'.join(one.values))} ends before it begins.", tag=one.tag
            )


def _ends(match: Match) -> tuple[str | None, str | None]:
    low, high = interval(vr_of(match.tag), *match.values) or (None, None)
    return None if low is None else f"{low:0>8}", None if high is None else f"{high:0>8}"


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _quoted(value: str) -> str:
    """A value as an error message shows it: short, and without control characters."""
    return ascii(value if len(value) <= 64 else value[:64] + "...")


def every_value(match: Match) -> tuple[Match, ...]:
    """A condition on several values as one condition each, all of which must match; inside sequences too.

    For requests that asked for Multiple Value Matching (PS3.4 C.2.2.2.8; PS3.18 8.3.4.6).
    """
    if match.kind is MatchKind.SEQUENCE:
        return (replace(match, items=tuple(one for item in match.items for one in every_value(item))),)
    if match.kind is not MatchKind.MULTIPLE_VALUES:
        return (match,)
    return tuple(simple(match.tag, value) for value in match.values)


def matches_from_json(
    identifier: JsonDataset, *, combined_date_time: bool = False, every: bool = False
) -> tuple[Match, ...]:
    """All conditions of an Identifier in the DICOM JSON model; keys that are never matched are left out.

    With *every* all values of a key must match, as every_value says.
    """
    found = (_match_from_json(int(key, 16), element, every) for key, element in identifier.items())
    matches = tuple(match for match in found if match is not None and match.tag not in NEVER_MATCHED)
    if every:
        matches = tuple(one for match in matches for one in every_value(match))
    check_ranges(matches, combined_date_time=combined_date_time)
    return matches


def _match_from_json(tag: int, element: dict[str, Any], every: bool) -> Match | None:
    """One key, its order not yet checked but inside sequences."""
    vr = vr_of(tag) if vr_of(tag) != "UN" else element["vr"]
    if "InlineBinary" in element:
        text = charset.decode(base64.b64decode(element["InlineBinary"]), ())
        return unordered_match(tag, text, vr=vr, separators="\\", every=every)
    values = element.get("Value") or []
    if vr == "SQ":
        return _match_from_items(tag, values, every)
    return unordered_match(tag, "\\".join(map(as_text, values)), vr=vr, separators="\\", every=every)


def _match_from_items(tag: int, items: Sequence[Any], every: bool) -> Match | None:
    """PS3.4 C.2.2.2.6: one Item of keys. No Item, or no key with a value in it, is universal matching."""
    if len(items) > 1:
        raise InvalidRequest(f"{_name(tag)} has {len(items)} Items; a sequence key has one.", tag=tag)
    if not all(isinstance(item, dict) for item in items):
        raise InvalidRequest(f"{_name(tag)} is a sequence and cannot be matched with a text.", tag=tag)
    found = (_match_from_json(int(key, 16), element, every) for item in items for key, element in item.items())
    conditions = tuple(match for match in found if match is not None)
    for match in conditions:
        _check_order(match)
    return Match(tag, MatchKind.SEQUENCE, items=conditions) if conditions else None
