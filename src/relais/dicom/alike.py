"""Data Sets laid out as one before: what two instances of a series have in common is read once. Knows bytes, no values.

1. Two are laid out alike if all their top-level elements have the same header (tag, VR, length) at the same place, and
   nothing about that layout was odd: no warning, no undefined length, no long sequence that must be walked through.
2. Then they differ in values only, and of these in few: the rest is what it was.
"""

from collections.abc import Container
from dataclasses import dataclass
from struct import Struct
from typing import Generic, TypeVar

from relais.dicom.elements import SEQUENCE_TAGS, UNDEFINED, Element
from relais.dicom.scan import SHALLOW_BYTES, Scan

MAX_FIELDS = 2000  # headers and values of one layout; one with more is read as the first time

Found = TypeVar("Found")
SHORT_HEADER_BYTES = 8
_UNKNOWN = (None, "UN")


@dataclass(frozen=True, slots=True)
class Mold(Generic[Found]):
    """A layout, and *found*, what was made of the Data Set that had it."""

    found: Found
    _fields: Struct
    _known: tuple[bytes, ...]
    _tags: tuple[int, ...]  # of the field that is a value; 0 for headers

    def changes(self, start: bytes) -> dict[int, bytes] | None:
        """The values that are others in a Data Set that begins with *start*; None if it is not laid out alike."""
        if len(start) < self._fields.size:
            return None
        fields = self._fields.unpack_from(start)
        changed = [place for place, known in enumerate(self._known) if fields[place] != known]
        tags = [self._tags[place] for place in changed]
        return {tag: fields[place] for tag, place in zip(tags, changed, strict=True)} if all(tags) else None


def mold(found: Found, whole: Scan, wanted: Container[int], start: bytes, base: int, end: int) -> Mold[Found] | None:
    """The layout of the Data Set from *base* to *end*, of which *whole* has every element; None if it is an odd one.

    *start* are its first bytes: all but the last value. *wanted* are the tags whose values count.
    """
    if whole.warnings or not whole.elements or not _is_plain(whole, base, end):
        return None
    fields, tags, at = "<", list[int](), base
    for element in whole.elements.values():
        fields += f"{element.offset - at}x{element.value_offset - element.offset}s"
        tags.append(0)
        at = element.value_offset
        if element.tag in wanted:
            fields += f"{element.length}s"
            tags.append(element.tag)
            at = element.end
    if len(tags) > MAX_FIELDS or at - base > len(start):
        return None
    layout = Struct(fields)
    return Mold(found, layout, layout.unpack_from(start), tuple(tags))


def _is_plain(whole: Scan, base: int, end: int) -> bool:
    """Whether the elements follow each other without a gap, and their headers say all about where they end."""
    at = base
    for element in whole.elements.values():
        if element.offset != at or _is_odd(element):
            return False
        at = element.end
    return at == end


def _is_odd(element: Element) -> bool:
    """Whether more than its header tells where it ends, or what is inside may be malformed."""
    if element.vr == "UN" and element.value_offset - element.offset == SHORT_HEADER_BYTES:
        return True  # which of two readings it is was told by what follows
    is_sequence = element.vr == "SQ" or (element.vr in _UNKNOWN and element.tag in SEQUENCE_TAGS)
    return element.length == UNDEFINED or (is_sequence and element.length >= SHALLOW_BYTES)
