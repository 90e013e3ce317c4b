"""What is searched for: level, matches, return keys and paging. Knows meaning, not SQL, Identifiers or query strings.

Both C-FIND and QIDO-RS end in a Query; dicom.matching evaluates it on values, index.compile as SQL.
Matching kinds are those of PS3.4 C.2.2.2.
"""

from dataclasses import dataclass, field
from enum import Enum

from relais.dicom.attributes import Level


class MatchKind(Enum):
    """The matching kinds of PS3.4 C.2.2.2; universal matching is the absence of a Match."""

    SINGLE_VALUE = "single value"
    LIST_OF_UID = "list of UID"
    WILD_CARD = "wild card"
    RANGE = "range"
    SEQUENCE = "sequence"
    EMPTY_VALUE = "empty value"
    MULTIPLE_VALUES = "multiple values"


@dataclass(frozen=True, slots=True)
class Match:
    """One condition on one attribute.

    *values*: for SINGLE_VALUE one; LIST_OF_UID and MULTIPLE_VALUES any number (any of them may match); WILD_CARD one
    pattern; RANGE exactly two, either possibly "" (open); EMPTY_VALUE and SEQUENCE none. *items* holds the conditions
    on the Items of a sequence: one Item must satisfy all of them (PS3.4 C.2.2.2.6).
    """

    tag: int
    kind: MatchKind
    values: tuple[str, ...] = ()
    items: tuple["Match", ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A search at one level.

    *return_keys* are tags wanted besides the required ones; *all_keys* asks for everything kept at this level.
    *fuzzy* asks for accent- and order-blind matching of person names. *combined_date_time* makes a date range and the
    time range beside it one range (PS3.4 C.2.2.2.5.4; only when negotiated). limit None means unlimited.
    """

    level: Level
    matches: tuple[Match, ...] = ()
    return_keys: frozenset[int] = field(default_factory=frozenset)
    all_keys: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    combined_date_time: bool = False
