"""From attributes to columns: what of a Data Set is searched, in the form that compares. Knows values, no rows.

The forms are those of dicom.matching, so that SQL and the reference cannot disagree. A text column never holds NULL: an
empty attribute is ''. A date or time that cannot be parsed is kept after a question mark: it sorts behind all others
and matches only itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from pydicom.datadict import tag_for_keyword

from relais.dicom.attributes import REQUEST_ATTRIBUTES, TABLE, Level, Use
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.json_values import Element
from relais.dicom.matching import items, texts
from relais.dicom.values import NUMBER_VRS, RANGE_VRS, key, number_key

UNPARSED = "?"
MIDNIGHT = "000000"
SECONDS = "00000000"  # of the time that stands for a minute
ODD_NUMBER = "~"
LARGE = 2**62  # no count, number or position comes near it
REMEMBERED_LENGTH = 32  # of a date or time that need not be read again: the instances of a series say most alike
_LABELLED_OF_STUDY = frozenset({"study_time", "patient_sex", "issuer_of_patient_id", "study_description"})
ROW_LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)
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


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds one attribute."""

    name: str
    tag: int
    key: str  # the tag as JSON writes it
    vr: str


@cache
def value_columns(level: Level) -> tuple[Column, ...]:
    """The columns of the rows of *level* that hold a text, number, date or time."""
    return tuple(column for column in _columns(level) if column.vr not in ("PN", "SQ"))


@cache
def name_columns(level: Level) -> tuple[Column, ...]:
    """The columns of the rows of *level* that hold the id of a person_name."""
    return tuple(column for column in _columns(level) if column.vr == "PN")


def _columns(level: Level) -> Iterator[Column]:
    for row in TABLE:
        is_held = row.use is not Use.DERIVED and row.keyword not in _NOT_PACKED
        if row.column and is_held and row_level(row.level) is level:
            yield Column(row.column, row.tag, tag_key(row.tag), row.vr)


class Part(NamedTuple):
    """The attributes of a Data Set that have a value and belong to the rows of one level, and their bits."""

    attributes: JsonDataset
    present: int


@cache
def _belongs() -> dict[str, tuple[int, int]]:
    """By tag, of each attribute that is held packed: the place of its level among ROW_LEVELS, and its bit."""
    return {tag: (place, bit) for place, level in enumerate(ROW_LEVELS) for tag, bit in packed_attributes(level)}


def parts(ds: JsonDataset) -> dict[Level, Part]:
    """What of *ds* belongs to its study, series and instance."""
    found: list[JsonDataset] = [{} for _ in ROW_LEVELS]
    present = [0] * len(found)
    belongs = _belongs()
    for tag, element in ds.items():
        belonging = belongs.get(tag)
        if belonging is not None and (element.get("Value") or "InlineBinary" in element):
            place, bit = belonging
            found[place][tag] = element
            present[place] |= bit
    return {level: Part(found[place], present[place]) for place, level in enumerate(ROW_LEVELS)}


@cache
def patient_attributes() -> dict[str, int]:
    """Tag and bit of those attributes of a study that are of its patient."""
    tags = {tag_key(row.tag) for row in TABLE if row.level is Level.PATIENT}
    return {tag: bit for tag, bit in packed_attributes(Level.STUDY) if tag in tags}


@cache
def patient_bits() -> int:
    """The bits of all of them."""
    return sum(patient_attributes().values())


def is_of(part: Part, patient: Mapping[str, str]) -> bool:
    """Whether what *part* of a study says may be of *patient*: no ID or issuer, if both have one, is another."""
    ids = (column for column in value_columns(Level.STUDY) if column.name in patient)
    said = ((text_of(part.attributes, column), patient[column.name]) for column in ids)
    return all(mine == other for mine, other in said if mine and other)


def without_patient(part: Part) -> Part:
    """*part* of a study without the attributes of its patient."""
    patient = patient_attributes()
    left = {tag: element for tag, element in part.attributes.items() if tag not in patient}
    return Part(left, part.present & ~patient_bits())


def values(ds: JsonDataset, level: Level) -> dict[str, Any]:
    """What value_columns hold for *ds*, by name."""
    return {column.name: value(column, ds.get(column.key)) for column in value_columns(level)}


def value(column: Column, element: Element | None) -> Any:
    """What *column* holds of *element*. Most numbers come as one small integer, which is its own key."""
    if element is None:
        return None if column.vr in NUMBER_VRS else ""
    found = element.get("Value")
    if found and len(found) == 1 and type(found[0]) is int and column.vr in NUMBER_VRS and -LARGE < found[0] < LARGE:
        return found[0]
    return _value(column.vr, _text(element, column))


def text_of(ds: JsonDataset, column: Column) -> str:
    """The one text by which the attribute of *column* compares, "" if it is empty."""
    element = ds.get(column.key)
    return _text(element, column) if element else ""


def _text(element: Element, column: Column) -> str:
    found = texts(element, column.tag)
    return storable(found[0]) if found else ""


@cache
def label_columns(level: Level) -> tuple[Column, ...]:
    """The columns of the rows of *level* that are found by their labels: those without an index of their own.

    Another one needs a migration that lists every row anew, as 0003_labels does.
    """
    named = {Level.STUDY: _LABELLED_OF_STUDY}.get(level)
    found = value_columns(level) if level in (Level.STUDY, Level.SERIES) else ()
    return tuple(column for column in found if column.name != "modality" and (named is None or column.name in named))


def labels(values: Mapping[str, Any], level: Level) -> tuple[tuple[int, str], ...]:
    """Tag and label of each label column in *values*, a row or what is to become one."""
    return tuple((column.tag, label(column.vr, values[column.name])) for column in label_columns(level))


def label(vr: str, value: Any) -> str:
    """What stands for *value* among labels: its minute for a time, and one word for all that is no small integer."""
    if vr in NUMBER_VRS:
        return "" if value is None else str(value) if type(value) is int and -LARGE < value < LARGE else ODD_NUMBER
    return f"{value[:4]}{SECONDS}" if vr == "TM" and value and not value.startswith(UNPARSED) else str(value)


def _value(vr: str, text: str) -> Any:
    if vr in NUMBER_VRS:
        return number_key(text)
    return moment(vr, text) if vr in RANGE_VRS else text


def moment(vr: str, text: str) -> str:
    """A date or time as its column holds it."""
    return _remembered(vr, text) if len(text) <= REMEMBERED_LENGTH else _moment(vr, text)


def _moment(vr: str, text: str) -> str:
    found = key(vr, text)
    if found is None:
        return UNPARSED + text if text else ""
    return f"{found:08d}" if isinstance(found, int) else found


_remembered = lru_cache(maxsize=4096)(_moment)


def storable(text: str) -> str:
    """*text* without what UTF-8 cannot say."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def date_time(study_date: str, study_time: str) -> int:
    """yyyymmddhhmmss by which studies sort, 0 without a date."""
    if not study_date or study_date.startswith(UNPARSED):
        return 0
    time = study_time[:6] if study_time and not study_time.startswith(UNPARSED) else MIDNIGHT
    return int(study_date + time)


REQUESTS = tag_key(0x00400275)
_REQUEST_COLUMNS = tuple(
    Column(column, tag_for_keyword(keyword) or 0, tag_key(tag_for_keyword(keyword) or 0), "LO")
    for keyword, column in REQUEST_ATTRIBUTES.items()
)


def requests(ds: JsonDataset) -> list[dict[str, str]]:
    """The columns of each Item of the Request Attributes Sequence (0040,0275)."""
    return [{column.name: text_of(item, column) for column in _REQUEST_COLUMNS} for item in items(ds.get(REQUESTS))]
