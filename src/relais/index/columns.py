"""From attributes to columns: what of a Data Set is searched, in the form that compares. Knows values, no rows.

The forms are those of dicom.matching, so that SQL and the reference cannot disagree. A text column never holds NULL: an
empty attribute is ''. A date or time that cannot be parsed is kept after a question mark: it sorts behind all others
and matches only itself.
"""

from functools import cache
from typing import Any

from pydicom.datadict import tag_for_keyword

from relais.dicom.attributes import REQUEST_ATTRIBUTES, TABLE, Attribute, Level, Use
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import texts
from relais.dicom.values import NUMBER_VRS, RANGE_VRS, key, number_key, text_key

UNPARSED = "?"
MIDNIGHT = "000000"
# What a row says in columns of its own, and what is made when it is asked for.
_NOT_PACKED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_ROW_LEVELS = {Level.PATIENT: Level.STUDY}  # a patient is what its studies say


def row_level(level: Level) -> Level:
    """The level whose rows hold the attributes of *level*."""
    return _ROW_LEVELS.get(level, level)


@cache
def packed_attributes(level: Level) -> tuple[tuple[str, int], ...]:
    """Tag as JSON writes it, and bit, of every attribute that the rows of *level* hold packed."""
    mine = (row for row in TABLE if row_level(row.level) is level)
    kept = [row for row in mine if row.use is not Use.DERIVED and row.keyword not in _NOT_PACKED]
    return tuple((tag_key(row.tag), 1 << bit) for bit, row in enumerate(kept))


@cache
def text_columns(level: Level) -> tuple[Attribute, ...]:
    """The attributes that the rows of *level* hold in a column of their own, person names and sequences apart."""
    apart = {"PN", "SQ"}
    return tuple(row for row in _columns(level) if row.vr not in apart)


@cache
def name_columns(level: Level) -> tuple[Attribute, ...]:
    """The attributes that the rows of *level* hold as a person_name's id."""
    return tuple(row for row in _columns(level) if row.vr == "PN")


def _columns(level: Level) -> tuple[Attribute, ...]:
    mine = (row for row in TABLE if row_level(row.level) is level and row.column)
    return tuple(row for row in mine if row.use is not Use.DERIVED and row.keyword not in _NOT_PACKED)


def part(ds: JsonDataset, level: Level) -> tuple[JsonDataset, int]:
    """The attributes of *ds* that have a value and belong to the rows of *level*, and their bits."""
    found, present = {}, 0
    for tag, bit in packed_attributes(level):
        element = ds.get(tag)
        if element is not None and (element.get("Value") or "InlineBinary" in element):
            found[tag] = element
            present |= bit
    return found, present


def column(ds: JsonDataset, attribute: Attribute) -> Any:
    """What the column of *attribute* holds for *ds*."""
    found = texts(ds.get(tag_key(attribute.tag)), attribute.tag)
    text = storable(found[0]) if found else ""
    if attribute.vr in NUMBER_VRS:
        return number_key(text)
    if attribute.vr in RANGE_VRS:
        return moment(attribute.vr, text)
    return text


def moment(vr: str, text: str) -> str:
    """A date or time as its column holds it."""
    found = key(vr, text)
    if found is None:
        return UNPARSED + text if text else ""
    return f"{found:08d}" if isinstance(found, int) else found


def storable(text: str) -> str:
    """*text* without what UTF-8 cannot say."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def date_time(study_date: str, study_time: str) -> int:
    """yyyymmddhhmmss by which studies sort, 0 without a date."""
    if not study_date or study_date.startswith(UNPARSED):
        return 0
    time = study_time[:6] if study_time and not study_time.startswith(UNPARSED) else MIDNIGHT
    return int(study_date + time)


def name_text(ds: JsonDataset, attribute: Attribute) -> str:
    """The person name of *attribute*, "" if it is empty."""
    found = texts(ds.get(tag_key(attribute.tag)), attribute.tag)
    return storable(found[0]) if found else ""


REQUEST_TAG = tag_key(0x00400275)
_REQUEST_TAGS = tuple((tag_for_keyword(keyword) or 0, column) for keyword, column in REQUEST_ATTRIBUTES.items())


def requests(ds: JsonDataset) -> list[dict[str, str]]:
    """The columns of each Item of the Request Attributes Sequence (0040,0275)."""
    items = (ds.get(REQUEST_TAG) or {}).get("Value") or []
    return [{column: _request_text(item or {}, tag) for tag, column in _REQUEST_TAGS} for item in items]


def _request_text(item: JsonDataset, tag: int) -> str:
    found = texts(item.get(tag_key(tag)), tag)
    return storable(text_key(found[0])) if found else ""
