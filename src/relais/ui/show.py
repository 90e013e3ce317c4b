"""Values of the DICOM JSON model as people read them. Knows values, not templates or requests.

What cannot be understood is shown as it is: a page never hides what an instance says.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

from pydicom.datadict import tag_for_keyword

from relais.dicom import json_model, person_name
from relais.dicom.json_model import JsonDataset

_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TM = re.compile(r"(\d{2}):?(\d{2})")
_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name in the order of reading; *others* are its ideographic and phonetic groups."""

    family: str
    rest: str
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(part for part in (self.family, self.rest) if part)


@cache
def tag(keyword: str) -> int:
    """The tag of an attribute that PS3.6 knows."""
    found = tag_for_keyword(keyword)
    assert found is not None, keyword
    return found


def text(json: JsonDataset, keyword: str) -> str:
    """The first value of an attribute as text, "" if there is none."""
    return json_model.text(json, tag(keyword)) or ""


def texts(json: JsonDataset, keyword: str) -> tuple[str, ...]:
    """All values of an attribute as text."""
    return tuple(str(value) for value in json_model.values(json, tag(keyword)) if value not in (None, ""))


def number(json: JsonDataset, keyword: str) -> int | None:
    """The first value of an attribute as a whole number."""
    try:
        return int(float(text(json, keyword)))
    except (ValueError, OverflowError):
        return None


def name(json: JsonDataset, keyword: str) -> PersonName:
    """A PN for people: family name, then prefix, given and middle names, then suffix (PS3.5 6.2.1)."""
    readable = [_in_order(group) for group in person_name.groups(text(json, keyword))]
    others = tuple(" ".join(filter(None, group)) for group in readable[1:] if any(group))
    return PersonName(*readable[0], others)


def _in_order(group: str) -> tuple[str, str]:
    family, given, middle, prefix, suffix = ([part.strip() for part in group.split("^")] + [""] * 5)[:5]
    return family, " ".join(part for part in (prefix, given, middle, suffix) if part)


def day(value: str) -> str:
    """A DA as 12 Jun 2024; anything else as it is."""
    found = as_date(value)
    return f"{found.day} {MONTHS[found.month - 1]} {found.year}" if found else value


def as_date(value: str) -> date | None:
    """A DA as a date, None if it is none."""
    match = _DA.fullmatch(value)
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def clock(value: str) -> str:
    """A TM as 10:45; anything else as it is."""
    match = _TM.match(value)
    return f"{match[1]}:{match[2]}" if match else value


def age(birth: str, at: str) -> str:
    """The age on a day: years, and months below two years. "" where it cannot be told."""
    born, then = as_date(birth), as_date(at)
    if born is None or then is None or then < born:
        return ""
    months = (then.year - born.year) * 12 + then.month - born.month - (then.day < born.day)
    return f"{months // 12} y" if months >= 24 else f"{months} mo"


def size(size_bytes: int | None) -> str:
    """A number of bytes as people say it: 5.3 MB, 812 kB. "" for None."""
    if size_bytes is None:
        return ""
    amount, unit = float(size_bytes), 0
    while amount >= 999.5 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_SIZES[unit]}" if 0 < amount < 9.95 and unit else f"{amount:.0f} {_SIZES[unit]}"


def count(amount: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{amount:,}".replace(",", "\u202f")


def plural(amount: int, one: str, many: str = "") -> str:
    """`1 image`, `40 images`."""
    return f"{count(amount)} {one if amount == 1 else many or one + 's'}"


def moment(at: float | None, now: datetime) -> str:
    """When something was received, from far to near: 12 Jun 2024, 12 Jun 14:03, 14:03 today, just now."""
    if at is None:
        return ""
    then = datetime.fromtimestamp(at, tz=now.tzinfo)
    seconds = (now - then).total_seconds()
    if seconds < 90:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if then.date() == now.date():
        return f"today {then:%H:%M}"
    if then.year == now.year:
        return f"{then.day} {MONTHS[then.month - 1]} {then:%H:%M}"
    return f"{then.day} {MONTHS[then.month - 1]} {then.year}"


def sex(value: str) -> str:
    """Patient's Sex in a word (PS3.3 C.7.1.1)."""
    return {"F": "female", "M": "male", "O": "other"}.get(value, value)
