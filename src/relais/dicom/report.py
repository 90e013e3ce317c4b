"""Structured reports as a tree of sentences (PS3.3 C.17.3): each content item with its concept and its value as text.

Knows Data Sets, neither HTML nor URLs. Whatever a Value Type is called, its item is in the tree: one that is not known
here, or has no readable value, has an empty text.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID

from relais.dicom import person_name, uids

MAX_ITEMS = 50_000  # of one report; the tree ends there, and says so

_COUNTED = "…"


@dataclass(frozen=True, slots=True)
class Reference:
    """Another instance, as far as the report tells where it is; *frames* is empty for all of it."""

    sop_instance_uid: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentItem:
    """*concept* is the meaning of its name, *relation* is like "HAS PROPERTIES", *number* like "1.2.1"."""

    value_type: str
    relation: str
    concept: str
    text: str
    number: str
    reference: Reference | None = None
    children: tuple["ContentItem", ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """*facts* are names and values of what a reader wants to know before the content. *is_cut* says that it goes on."""

    title: str
    facts: tuple[tuple[str, str], ...]
    content: ContentItem
    is_cut: bool


def is_report(ds: Dataset) -> bool:
    """Whether *ds* is a content tree (PS3.3 C.17.3)."""
    return "ContentSequence" in ds and bool(_text(ds, "ValueType"))


def read(ds: Dataset) -> Report:
    """The report that *ds* is."""
    reader = _Reader(_places(ds))
    content = reader.item(ds, "1")
    return Report(content.concept or "Report", tuple(_facts(ds)), content, reader.left < 0)


def formatted_name(text: str) -> str:
    """A person's name as it is read: the alphabetic group, and the ideographic one in brackets."""
    alphabetic, ideographic, _ = (" ".join(group.replace("^", " ").split()) for group in person_name.groups(text))
    return f"{alphabetic} ({ideographic})" if alphabetic and ideographic else alphabetic or ideographic


def formatted_date(text: str) -> str:
    """A DA or DT value as a date, and the time and its offset from UTC if there are any."""
    offset = text[-5:] if len(text) > 12 and text[-5] in "+-" else ""
    digits = text.removesuffix(offset).split(".", maxsplit=1)[0]
    if len(digits) < 8 or not digits[:8].isdecimal():
        return text
    date = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    time = formatted_time(digits[8:]) if len(digits) >= 12 else ""
    return " ".join(part for part in (date, time, offset) if part)


def formatted_time(text: str) -> str:
    """A TM value to the second."""
    digits = text.split(".", maxsplit=1)[0]
    pieces = [digits[at : at + 2] for at in range(0, min(len(digits), 6), 2)]
    return ":".join(pieces) if digits[:4].isdecimal() and len(digits) >= 4 else text


@dataclass(slots=True)
class _Reader:
    places: dict[str, tuple[str, str]]
    left: int = field(default=MAX_ITEMS)

    def item(self, ds: Dataset, number: str) -> ContentItem:
        self.left -= 1
        kind = _text(ds, "ValueType") or "REFERENCE"
        children = []
        for index, child in enumerate(ds.get("ContentSequence") or (), 1):
            if self.left <= 0:
                self.left = -1
                break
            children.append(self.item(child, f"{number}.{index}"))
        relation, concept = _text(ds, "RelationshipType"), _meaning(ds, "ConceptNameCodeSequence")
        value = _VALUES.get(kind, _nothing)(ds)
        return ContentItem(kind, relation, concept, value, number, self.reference(ds), tuple(children))

    def reference(self, ds: Dataset) -> Reference | None:
        items = ds.get("ReferencedSOPSequence")
        uid = _text(items[0], "ReferencedSOPInstanceUID") if items else ""
        if not uids.is_valid(uid):
            return None
        numbers = _all(items[0], "ReferencedFrameNumber")
        frames = tuple(int(one) for one in numbers if str(one).isdecimal())
        return Reference(uid, *self.places.get(uid, ("", "")), frames)


def _places(ds: Dataset) -> dict[str, tuple[str, str]]:
    """Study and series of each instance that the report names as evidence (PS3.3 C.17.2.3)."""
    found: dict[str, tuple[str, str]] = {}
    for sequence in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in ds.get(sequence) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                place = _text(study, "StudyInstanceUID"), _text(series, "SeriesInstanceUID")
                for item in series.get("ReferencedSOPSequence") or ():
                    if all(map(uids.is_valid, place)):
                        found[_text(item, "ReferencedSOPInstanceUID")] = place
    return found


def _facts(ds: Dataset) -> list[tuple[str, str]]:
    birth, sex = formatted_date(_text(ds, "PatientBirthDate")), _text(ds, "PatientSex")
    written = f"{formatted_date(_text(ds, 'ContentDate'))} {formatted_time(_text(ds, 'ContentTime'))}"
    state = f"{_text(ds, 'CompletionFlag')} {_text(ds, 'VerificationFlag')}"
    facts = [
        ("Patient", formatted_name(_text(ds, "PatientName"))),
        ("Patient ID", _text(ds, "PatientID")),
        ("Born", " · ".join(part for part in (birth, sex) if part)),
        ("Study", f"{formatted_date(_text(ds, 'StudyDate'))} {_text(ds, 'StudyDescription')}"),
        ("Accession Number", _text(ds, "AccessionNumber")),
        ("Referring physician", formatted_name(_text(ds, "ReferringPhysicianName"))),
        ("Institution", _text(ds, "InstitutionName")),
        ("Written", written),
        ("Status", state.lower()),
    ]
    facts += [("Verified by", _observer(item)) for item in ds.get("VerifyingObserverSequence") or ()]
    return [(name, value.strip()) for name, value in facts if value.strip()]


def _observer(item: Dataset) -> str:
    parts = (
        formatted_name(_text(item, "VerifyingObserverName")),
        _text(item, "VerifyingOrganization"),
        formatted_date(_text(item, "VerificationDateTime")),
    )
    return ", ".join(part for part in parts if part)


def _num(ds: Dataset) -> str:
    measured = ds.get("MeasuredValueSequence")
    if not measured:
        return _meaning(ds, "NumericValueQualifierCodeSequence")
    units = (measured[0].get("MeasurementUnitsCodeSequence") or [Dataset()])[0]
    unit = _text(units, "CodeValue")
    named = "" if unit in ("1", "{no units}") else unit if len(unit) <= 8 and unit else _text(units, "CodeMeaning")
    return f"{_text(measured[0], 'NumericValue')} {named}".strip()


def _coordinates(ds: Dataset) -> str:
    values = _all(ds, "GraphicData")
    shown = ", ".join(f"{value:g}" for value in values[:12] if isinstance(value, int | float))
    return f"{_text(ds, 'GraphicType')} {shown}{_COUNTED if len(values) > 12 else ''}".strip()


def _moments(ds: Dataset) -> str:
    for keyword in ("ReferencedSamplePositions", "ReferencedTimeOffsets", "ReferencedDateTime"):
        if values := _all(ds, keyword):
            return f"{_text(ds, 'TemporalRangeType')} {', '.join(map(str, values[:12]))}"
    return _text(ds, "TemporalRangeType")


def _pointed(ds: Dataset) -> str:
    """An item that only points to another one of the same tree (PS3.3 C.17.3.2.5)."""
    numbers = _all(ds, "ReferencedContentItemIdentifier")
    return f"see {'.'.join(map(str, numbers))}" if numbers else ""


def _instance(ds: Dataset) -> str:
    items = ds.get("ReferencedSOPSequence")
    if not items:
        return ""
    name = UID(_text(items[0], "ReferencedSOPClassUID")).name
    frames = ", ".join(map(str, _all(items[0], "ReferencedFrameNumber")))
    return f"{name}, frame {frames}" if frames else name


def _nothing(ds: Dataset) -> str:
    return ""


_VALUES: dict[str, Callable[[Dataset], str]] = {
    "TEXT": lambda ds: _text(ds, "TextValue"),
    "NUM": _num,
    "CODE": lambda ds: _meaning(ds, "ConceptCodeSequence"),
    "DATETIME": lambda ds: formatted_date(_text(ds, "DateTime")),
    "DATE": lambda ds: formatted_date(_text(ds, "Date")),
    "TIME": lambda ds: formatted_time(_text(ds, "Time")),
    "UIDREF": lambda ds: _text(ds, "UID"),
    "PNAME": lambda ds: formatted_name(_text(ds, "PersonName")),
    "SCOORD": _coordinates,
    "SCOORD3D": _coordinates,
    "TCOORD": _moments,
    "IMAGE": _instance,
    "COMPOSITE": _instance,
    "WAVEFORM": _instance,
    "REFERENCE": _pointed,
}


def _meaning(ds: Dataset, sequence: str) -> str:
    """What a code means; the code itself where nobody says so (PS3.3 8.1)."""
    items = ds.get(sequence)
    if not items:
        return ""
    code = next((text for kind in ("", "Long", "URN") if (text := _text(items[0], f"{kind}CodeValue"))), "")
    return _text(items[0], "CodeMeaning") or code


def _text(ds: Dataset, keyword: str) -> str:
    return next((str(value).strip(" \0") for value in _all(ds, keyword)), "")


def _all(ds: Dataset, keyword: str) -> list[Any]:
    """The values of *keyword*; [] where it is missing, empty or cannot be read."""
    try:
        value = ds.get(keyword)
    except Exception:  # pydicom raises whatever a malformed value made it raise
        return []
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "__iter__") and not _is_one(value) else [value]


def _is_one(value: object) -> bool:
    return isinstance(value, str | bytes) or type(value).__name__ == "PersonName"
