"""What an Identifier asks for, and what answers it (PS3.4 C.4.1.1.3, C.4.2.1.4, C.4.3.1.3). Knows models, not messages.

Raises Mismatch where the Identifier does not fit the SOP Class (status A900) and InvalidRequest where a value in it
cannot be understood (C000).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import keyword_for_tag

from relais.dicom import timezones
from relais.dicom.attributes import Level, by_tag, levels_above
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import as_text, items
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.query_keys import NEVER_MATCHED, matches_from_json
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.dicom.timezones import OFFSET_TAG, Zone
from relais.dicom.uids import require
from relais.dimse.models import UNIQUE_KEYS, Model
from relais.errors import InvalidRequest, Mismatch

LEVEL, RETRIEVE_AE_TITLE, INSTANCE_AVAILABILITY = 0x00080052, 0x00080054, 0x00080056


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What SOP Class Extended Negotiation agreed on (PS3.4 C.5)."""

    relational: bool = False
    combined_date_time: bool = False
    fuzzy: bool = False
    multiple_values: bool = False


@dataclass(frozen=True, slots=True)
class FindRequest:
    """A C-FIND, understood. *asked* is the Identifier without what is never matched; *unknown* are keys we keep not.

    With a *zone*, what *query* finds is still to be picked by it.
    """

    query: Query
    asked: JsonDataset
    unknown: tuple[int, ...]
    zone: Zone | None = None


def find_request(
    identifier: JsonDataset,
    model: Model,
    negotiated: Negotiated,
    zones: Callable[[], Collection[int] | None] = lambda: None,
) -> FindRequest:
    """The query that *identifier* stands for. *zones*, asked only if it names one, are all that studies tell, if known.

    Reading: Timezone Offset From UTC in it counts whether it was negotiated or not (PS3.4 C.2.2.2.5.2, C.2.2.2.5.4).
    """
    level = _level(identifier, model)
    if not negotiated.relational:
        for above in model.levels_above(level):
            _single_value(identifier, above)
    asked = {key: element for key, element in identifier.items() if int(key, 16) not in NEVER_MATCHED}
    tags = frozenset(int(key, 16) for key in asked)
    matches = matches_from_json(
        asked, combined_date_time=negotiated.combined_date_time, every=negotiated.multiple_values
    )
    query = Query(
        level,
        matches,
        return_keys=tags,
        fuzzy=negotiated.fuzzy,
        combined_date_time=negotiated.combined_date_time,
    )
    unknown = tuple(tag for tag in sorted(tags) if not _is_known(tag, level))
    offset = _first(identifier, OFFSET_TAG)
    if not offset:
        return FindRequest(query, asked, unknown)
    zone, known = timezones.zone_of(query, offset), zones()
    distances = None if known is None else timezones.distances_to(offset, known)
    return FindRequest(timezones.widened(query, distances), asked, unknown, zone)


def retrieve_query(identifier: JsonDataset, model: Model, *, relational: bool) -> Query:
    """The instances that a C-MOVE or C-GET names, by unique keys alone; every other key is ignored.

    A unique key that is empty or a wild card names nothing: it never stands for everything. What is named twice is
    meant once. Raises Mismatch if a unique key is missing where it must stand, and if one below the level has a value:
    whoever sets it wants less than the level says.
    """
    level = _level(identifier, model)
    matches = []
    for above in model.levels_above(level):
        if not relational or _texts(identifier, above):
            matches.append(Match(UNIQUE_KEYS[above], MatchKind.SINGLE_VALUE, (_single_value(identifier, above),)))
    for below in model.levels[model.levels.index(level) + 1 :]:
        if _texts(identifier, below):
            raise Mismatch(f"{_keyword(below)} is below the level {level}.", tag=UNIQUE_KEYS[below])
    if level is Level.PATIENT:
        matches.append(Match(UNIQUE_KEYS[level], MatchKind.SINGLE_VALUE, (_single_value(identifier, level),)))
    else:
        values = dict.fromkeys(require(text, _keyword(level), UNIQUE_KEYS[level]) for text in _texts(identifier, level))
        if not values:
            raise Mismatch(f"{_keyword(level)} is missing.", tag=UNIQUE_KEYS[level])
        matches.append(Match(UNIQUE_KEYS[level], MatchKind.LIST_OF_UID, tuple(values)))
    return Query(level, tuple(matches))


def refs(query: Query) -> list[Ref] | None:
    """The references that a retrieve query spells out in full, None if they must be searched for."""
    values = {match.tag: match.values for match in query.matches}
    of = {level: values.get(tag, ()) for level, tag in UNIQUE_KEYS.items()}
    if of[Level.PATIENT] or (len(of[Level.STUDY]) != 1 and query.level is not Level.STUDY):
        return None
    if query.level is Level.STUDY:
        return [StudyRef(uid) for uid in of[Level.STUDY]]
    if query.level is Level.SERIES:
        return [SeriesRef(of[Level.STUDY][0], uid) for uid in of[Level.SERIES]]
    if not of[Level.SERIES]:
        return None
    return [InstanceRef(of[Level.STUDY][0], of[Level.SERIES][0], uid) for uid in of[Level.IMAGE]]


def ref_of(row: JsonDataset, level: Level) -> Ref:
    """The reference to what a row of a search at *level* describes; a patient's rows are searched at STUDY."""
    study = StudyRef(as_text(row[tag_key(UNIQUE_KEYS[Level.STUDY])]["Value"][0]))
    if level is Level.STUDY:
        return study
    series = study.series(as_text(row[tag_key(UNIQUE_KEYS[Level.SERIES])]["Value"][0]))
    if level is Level.SERIES:
        return series
    return series.instance(as_text(row[tag_key(UNIQUE_KEYS[Level.IMAGE])]["Value"][0]))


def _level(identifier: JsonDataset, model: Model) -> Level:
    level = _first(identifier, LEVEL)
    if level not in model.levels:
        raise Mismatch(f"Query/Retrieve Level must be one of {', '.join(model.levels)}.", tag=LEVEL)
    return Level(level)


def _first(identifier: JsonDataset, tag: int) -> str:
    """The first value of a text, "" without one."""
    values = (identifier.get(tag_key(tag)) or {}).get("Value") or [""]
    return as_text(values[0]).strip(" \0")


def _single_value(identifier: JsonDataset, level: Level) -> str:
    """The unique key of a level, which must be one plain value (PS3.4 C.4.1.2.1, C.4.2.2.1)."""
    texts = _texts(identifier, level)
    if len(texts) != 1:
        raise Mismatch(f"{_keyword(level)} must be one value at this level.", tag=UNIQUE_KEYS[level])
    if level is not Level.PATIENT:
        return require(texts[0], _keyword(level), UNIQUE_KEYS[level])
    if "*" in texts[0] or "?" in texts[0]:
        raise InvalidRequest(f"{_keyword(level)} must not be a wild card at this level.", tag=UNIQUE_KEYS[level])
    return texts[0]


def _texts(identifier: JsonDataset, level: Level) -> list[str]:
    values = (identifier.get(tag_key(UNIQUE_KEYS[level])) or {}).get("Value") or []
    return [text for text in (as_text(value).strip(" \0") for value in values) if text]


def _is_known(tag: int, level: Level) -> bool:
    """Whether the attribute exists for us at *level* (PS3.4 C.2.2.1.3)."""
    attribute = by_tag().get(tag)
    return attribute is not None and attribute.level in (*levels_above(level), level)


def only_asked(asked: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Of a sequence, the attributes that the key's Item names, if it names any (PS3.4 C.2.2.2.6)."""
    wanted = next(iter(items(asked)), None)
    if found["vr"] != "SQ" or not wanted:
        return found
    answered = [{key: item.get(key, {"vr": wanted[key]["vr"]}) for key in wanted} for item in items(found)]
    return {"vr": "SQ", "Value": answered} if answered else {"vr": "SQ"}


def _keyword(level: Level) -> str:
    return keyword_for_tag(UNIQUE_KEYS[level])
