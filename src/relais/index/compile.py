"""A Query's conditions as SQL. Knows the schema and dicom.matching, whose word is law; runs nothing.

Rows have short names in all fragments: s a study, e a series, i an instance.
"""

from collections.abc import Set
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag

from relais.dicom import person_name
from relais.dicom.attributes import REQUEST_ATTRIBUTES, Attribute, Level, by_tag, levels_above
from relais.dicom.matching import DateTimeRange, alternatives, combine, is_universal
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.values import NUMBER_VRS, RANGE_VRS, WILD_CARD_VRS, interval, number_key, text_key
from relais.errors import InvalidRequest
from relais.index import listed_names
from relais.index.columns import UNPARSED, row_level, storable
from relais.index.dialect import glob
from relais.index.fragments import FALSE, TRUE, Fragment, all_of, any_of, fill, joined

ALIAS = {Level.PATIENT: "s", Level.STUDY: "s", Level.SERIES: "e", Level.IMAGE: "i"}
MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY, REQUEST_SEQUENCE = 0x00080061, 0x00080062, 0x00400275
STUDY_DATE, MODALITY = 0x00080020, 0x00080060
# What a search can start from, from the most to the least selective; see index.plan.
SOP_INSTANCE_UID = 0x00080018
UIDS = (SOP_INSTANCE_UID, 0x0020000E, 0x0020000D)
NUMBERS = (0x00080050, 0x00100020, 0x00200010, 0x00100030)  # Accession Number, Patient and Study ID, birth date
TRIGRAMS = (0x00080050, 0x00100020)  # the columns of study_trigram
NAMES = (0x00100010, 0x00080090)  # Patient's Name, Referring Physician's Name
REQUESTS = (REQUEST_SEQUENCE,)
KINDS = (SOP_CLASSES_IN_STUDY, 0x00080016, MODALITIES_IN_STUDY, MODALITY)  # they name studies by what is in them
REQUEST_INDEXES = ("accession_number", "scheduled_procedure_step_id", "requested_procedure_id")
KEY_TABLES = {"s": "study_key", "e": "series_key"}
LAST_LETTER = "\U0010ffff"
MAX_PATTERN = 10_240  # characters of a condition; the longest text VR that is matched has as many
_BETWEEN = "s.date_time BETWEEN ? AND ?"
_DAY, _END_OF_DAY = 1_000_000, 235960
GROUPS = ("alphabetic", "ideographic", "phonetic")


# What is matched


def supported(level: Level, tag: int, declared: Set[int] = frozenset()) -> bool:
    """Whether *tag* is matched in a search at *level*: it has a column, and belongs to this level or one above.

    *declared* are the keys of the site that can be searched by.
    """
    found = by_tag().get(tag)
    is_searched = found is not None and (found.is_matched or tag == SOP_CLASSES_IN_STUDY or tag in declared)
    return is_searched and found is not None and found.level in (*levels_above(level), level)


def unsupported(query: Query, declared: Set[int] = frozenset()) -> tuple[int, ...]:
    """The keys of *query* that are not matched, those inside sequences too; they narrow nothing."""
    found = [match.tag for match in query.matches if not supported(query.level, match.tag, declared)]
    asked = [match for match in query.matches if match.tag == REQUEST_SEQUENCE and REQUEST_SEQUENCE not in found]
    inside = [one.tag for match in asked for one in match.items if keyword_for_tag(one.tag) not in REQUEST_ATTRIBUTES]
    return tuple(dict.fromkeys(found + inside))


@dataclass(frozen=True, slots=True)
class Bears:
    """The condition on a *column* of names that the index of this column alone answers.

    *some* of the names stand for all: how many studies bear one of them, times *times*, is about how many do.
    """

    column: str
    names: Fragment
    some: Fragment
    times: float = 1


@dataclass(frozen=True, slots=True)
class Condition:
    """What one match, or a date range joined with its time range, asks of a row."""

    level: Level  # of the row that is asked
    fragment: Fragment
    match: Match | None = None
    between: tuple[int, int] | None = None  # what it says about study.date_time
    bears: Bears | None = None
    fuzzy: bool = False


def conditions(query: Query, declared: Set[int] = frozenset()) -> list[Condition]:
    """Everything that *query* asks, the unsupported left out."""
    matches = tuple(match for match in query.matches if supported(query.level, match.tag, declared))
    ranges, rest = combine(matches) if query.combined_date_time else ((), matches)
    joined = [_joined_range(one) for one in ranges]
    return joined + [_condition(match, query.fuzzy) for match in rest]


def _condition(match: Match, fuzzy: bool) -> Condition:
    attribute = by_tag()[match.tag]
    between = _days(match) if match.tag == STUDY_DATE else None
    fragment = _fragment(attribute, match, fuzzy) if between is None else Fragment(_BETWEEN, between)
    return Condition(row_level(attribute.level), fragment, match, between, fuzzy=fuzzy)


def _days(match: Match) -> tuple[int, int] | None:
    """One Study Date or range as ends of study.date_time, which says the same and is in the index that is walked."""
    if match.kind not in (MatchKind.RANGE, MatchKind.SINGLE_VALUE):
        return None
    ends = interval("DA", match.values[0], match.values[-1])
    if ends is None:
        return None
    return int(ends[0] or 1) * _DAY, int(ends[1] or 99999999) * _DAY + _END_OF_DAY


def _fragment(attribute: Attribute, match: Match, fuzzy: bool) -> Fragment:
    _check(match)
    if attribute.tag == REQUEST_SEQUENCE:
        return _request(match)
    if any(is_universal(one) for one in alternatives(match)):
        return TRUE
    if attribute.tag in (MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY):
        return _derived(match)
    if attribute.column is None:
        return _declared(attribute, match, fuzzy)
    column = f'{ALIAS[attribute.level]}."{attribute.column}"'
    if attribute.vr == "PN":
        return _name(column, match, fuzzy)
    is_class = attribute.keyword == "SOPClassUID"
    return in_uids(column, match) if is_class else values(attribute.vr, column, match)


def _check(match: Match) -> None:
    """Refuse what no value could be compared with."""
    if any(len(value) > MAX_PATTERN for value in match.values):
        raise InvalidRequest(f"{keyword_for_tag(match.tag)} is asked for with more than {MAX_PATTERN} characters.")
    wild = match.kind is MatchKind.WILD_CARD and not is_universal(match)
    found = by_tag().get(match.tag)
    if wild and found is not None and found.vr not in WILD_CARD_VRS:
        raise InvalidRequest(f"{keyword_for_tag(match.tag)} ({found.vr}) is not matched by wild cards.")


# Plain columns


def values(vr: str, column: str, match: Match) -> Fragment:
    """A condition on a column of texts, numbers, dates or times."""
    if match.kind is MatchKind.EMPTY_VALUE:
        return Fragment(f"{column} IS NULL" if vr in NUMBER_VRS else f"{column} = ''")
    simple = alternatives(match)
    if all(one.kind is MatchKind.SINGLE_VALUE for one in simple) and vr not in RANGE_VRS:
        return _one_of(vr, column, [one.values[0] for one in simple])
    return any_of([_value(vr, column, one) for one in simple])


def _one_of(vr: str, column: str, texts: list[str]) -> Fragment:
    found = [number_key(text) if vr in NUMBER_VRS else storable(text_key(text)) for text in texts]
    keys = tuple(key for key in found if key not in ("", None))
    if len(keys) == 1:
        return Fragment(f"{column} = ?", keys)
    return Fragment(f"{column} IN ({', '.join('?' * len(keys))})", keys) if keys else FALSE


def _value(vr: str, column: str, match: Match) -> Fragment:
    if vr in RANGE_VRS:
        return _moment(vr, column, match)
    if match.kind is MatchKind.WILD_CARD:
        return wild_card(column, text_key(match.values[0]))
    return _one_of(vr, column, [match.values[0]])


def wild_card(column: str, pattern: str) -> Fragment:
    """*column* is not empty and matches *pattern* (PS3.4 C.2.2.2.4), the pattern's beginning as a range of an index."""
    found = glob(column, storable(pattern))
    prefix = beginning(storable(pattern))
    if prefix:
        found = joined(" AND ", [starts(column, prefix), found])
    return fill("({} <> '' AND {})", column, found)


def beginning(pattern: str) -> str:
    """The letters before the first wild card."""
    ends = [pattern.find(letter) for letter in "*?" if letter in pattern]
    return pattern[: min(ends)] if ends else pattern


def starts(column: str, prefix: str) -> Fragment:
    """*column* begins with *prefix*, as a range."""
    return Fragment(f"{column} >= ? AND {column} < ?", (prefix, prefix + LAST_LETTER))


def _moment(vr: str, column: str, match: Match) -> Fragment:
    """A date or time between two (PS3.4 C.2.2.2.5). What is no date lies behind the question mark, beyond all ends."""
    bounds = interval(vr, match.values[0], match.values[-1])
    if bounds is None:
        text = text_key(match.values[0])
        is_single = match.kind is MatchKind.SINGLE_VALUE and text
        return Fragment(f"{column} = ?", (UNPARSED + storable(text),)) if is_single else FALSE
    width = 8 if vr == "DA" else 12
    low, high = (("" if end is None else str(end)) for end in bounds)
    return Fragment(
        f"{column} BETWEEN ? AND ?", (low.rjust(width, "0"), high.rjust(width, "0") if high else "9" * width)
    )


def _joined_range(wanted: DateTimeRange) -> Condition:
    """A date with its time between two (PS3.4 C.2.2.2.5.4); a time that is none counts as midnight."""
    day, time = by_tag()[wanted.date_tag], by_tag()[wanted.time_tag]
    alias = ALIAS[day.level]
    date_column, time_column = f"{alias}.{day.column}", f"{alias}.{time.column}"
    low, high = wanted.low or "0" * 20, wanted.high or "9" * 20
    clock = f"CASE WHEN {time_column} >= '0' AND {time_column} < ':' THEN {time_column} ELSE '000000000000' END"
    sql = f"({date_column} BETWEEN ? AND ? AND {date_column} || {clock} BETWEEN ? AND ?)"
    between = (int(low[:14]), int(high[:14])) if day.tag == STUDY_DATE else None
    return Condition(row_level(day.level), Fragment(sql, (low[:8], high[:8], low, high)), between=between)


# Person names


def _name(column: str, match: Match, fuzzy: bool) -> Fragment:
    if match.kind is MatchKind.EMPTY_VALUE:
        return Fragment(f"{column} IS NULL")
    return fill("EXISTS (SELECT 1 FROM person_name AS n WHERE n.id = {} AND {})", column, names(match, fuzzy))


def names(match: Match, fuzzy: bool) -> Fragment:
    """The condition on a row n of person_name that *match* asks of a name."""
    simple = alternatives(match)
    plain = [_name_like(one) for one in simple]
    return any_of(plain + [_fuzzy(one.values[0]) for one in simple if fuzzy])


def _name_like(match: Match) -> Fragment:
    wanted = person_name.keys(match.values[0])
    is_wild = match.kind is MatchKind.WILD_CARD
    if "=" not in match.values[0]:
        return any_of([_group(f"n.{group}", wanted[0], is_wild) for group in GROUPS]) if wanted[0] else FALSE
    named = zip(GROUPS, wanted, strict=True)
    asked = [_group(f"n.{group}", key, is_wild) for group, key in named if key]
    return all_of(asked) if asked else FALSE


def _group(column: str, wanted: str, is_wild: bool) -> Fragment:
    return wild_card(column, wanted) if is_wild else Fragment(f"{column} = ?", (storable(wanted),))


def _fuzzy(text: str) -> Fragment:
    """Every word of *text* begins a word of the name."""
    words = person_name.words(text)
    word = "EXISTS (SELECT 1 FROM person_name_word AS w WHERE w.name_fk = n.id AND w.word >= ? AND w.word < ?)"
    return all_of([Fragment(word, starts("", storable(one)).params) for one in words]) if words else FALSE


# Sets and sequences


def in_uids(column: str, match: Match) -> Fragment:
    """A condition on a UID that is kept by number."""
    if match.kind is MatchKind.EMPTY_VALUE:
        return FALSE
    return fill("{} IN (SELECT u.id FROM uid AS u WHERE {})", column, values("UI", "u.uid", match))


def _derived(match: Match) -> Fragment:
    """Modalities in Study and SOP Classes in Study: any of several values."""
    if match.tag == SOP_CLASSES_IN_STUDY:
        found = in_uids("c.sop_class_uid", match)
        return fill("EXISTS (SELECT 1 FROM study_sop_class AS c WHERE c.study_fk = s.id AND {})", found)
    if match.kind is MatchKind.EMPTY_VALUE:
        return Fragment("s.modalities = ''")
    found = values("CS", "m.modality", match)
    return fill("EXISTS (SELECT 1 FROM study_modality AS m WHERE m.study_fk = s.id AND {})", found)


def _declared(attribute: Attribute, match: Match, fuzzy: bool) -> Fragment:
    """A key of the site: the row is listed under one of several values."""
    alias = ALIAS[attribute.level]
    rows = fill("SELECT 1 FROM {} AS k WHERE k.row_fk = {}", KEY_TABLES[alias], f"{alias}.id")
    rows = fill("{} AND k.tag = {}", rows, Fragment("?", (match.tag,)))
    if match.kind is MatchKind.EMPTY_VALUE:
        return fill("NOT EXISTS ({})", rows)
    return fill("EXISTS ({} AND {})", rows, listed_values(attribute, match, fuzzy))


def listed_values(attribute: Attribute, match: Match, fuzzy: bool) -> Fragment:
    """The condition on a row k of study_key or series_key."""
    return any_of([_listed_value(attribute, one, fuzzy) for one in alternatives(match)])


def _listed_value(attribute: Attribute, match: Match, fuzzy: bool) -> Fragment:
    if attribute.vr in RANGE_VRS:
        return _moment(attribute.vr, "k.value", match)
    if attribute.vr == "PN":
        return listed_names.condition(KEY_TABLES[ALIAS[attribute.level]], match, fuzzy)
    text = storable(text_key(match.values[0]))
    if attribute.vr in NUMBER_VRS:
        number = number_key(text)
        text = "" if number is None else str(number)
    if match.kind is MatchKind.WILD_CARD:
        prefix = beginning(text)[: listed_names.START]
        return all_of([*([starts("k.start", prefix)] if prefix else []), glob("k.value", text)])
    return Fragment("k.start = ? AND k.value = ?", (text[: listed_names.START], text)) if text else FALSE


def _request(match: Match) -> Fragment:
    """One Item of the Request Attributes Sequence satisfies all conditions (PS3.4 C.2.2.2.6)."""
    items = "SELECT 1 FROM series_request AS r WHERE r.series_fk = e.id"
    if match.kind is MatchKind.EMPTY_VALUE:
        return Fragment(f"NOT EXISTS ({items})")
    if match.kind is not MatchKind.SEQUENCE:
        return FALSE
    keys = request_keys(match)
    found = all_of(keys)
    return Fragment(f"EXISTS ({items} AND {found.sql})", found.params) if keys else TRUE


def request_keys(match: Match) -> list[Fragment]:
    """The conditions on a row r of series_request."""
    keys = [(request_column(one), one) for one in match.items]
    return [_request_key(f"r.{column}", one) for column, one in keys if column]


def request_column(match: Match) -> str | None:
    """The column of series_request that a condition inside the sequence is about."""
    return REQUEST_ATTRIBUTES.get(keyword_for_tag(match.tag))


def _request_key(column: str, match: Match) -> Fragment:
    _check(match)
    if any(is_universal(one) for one in alternatives(match)):
        return TRUE
    return values("LO", column, match)
