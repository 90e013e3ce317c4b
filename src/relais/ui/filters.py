"""The search form of the study list: its fields to a Query and back to a query string. Knows forms and keys, no SQL.

People type fragments, not DICOM patterns: a text is looked for anywhere in an ID, each word of it anywhere in a
description, in the usual spellings; words of a name by their beginnings in any order. Whoever types * or ? means it,
and gets what C-FIND would give.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from urllib.parse import urlencode

from relais.dicom.attributes import Level
from relais.dicom.person_name import fold
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.query_keys import match_from_text
from relais.errors import InvalidRequest
from relais.ui.show import tag

PAGE_SIZES = (25, 50, 100)
TEXTS = ("name", "patient_id", "accession", "description", "date_from", "date_to")
MAX_TEXT = 64  # characters of one field; more are cut
MAX_OFFSET = 10_000_000
STUDY_KEYS = frozenset(map(tag, ("StudyDescription", "IssuerOfPatientID", "ModalitiesInStudy", "PatientAge")))


@dataclass(frozen=True, slots=True)
class Filters:
    """The form as it was filled in. Dates are as a browser sends them: yyyy-mm-dd."""

    name: str = ""
    patient_id: str = ""
    accession: str = ""
    description: str = ""
    date_from: str = ""
    date_to: str = ""
    modalities: tuple[str, ...] = ()
    limit: int = PAGE_SIZES[0]
    offset: int = 0

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is asked at all."""
        return replace(self, limit=PAGE_SIZES[0], offset=0) != Filters()

    def query_string(self, **changes: object) -> str:
        """This form with *changes*, as a query string without what is default."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        pairs: list[tuple[str, str]] = []
        for field in fields(changed):
            value = getattr(changed, field.name)
            if field.name == "modalities":
                pairs += [("modality", modality) for modality in value]
            elif value != field.default:
                pairs.append((field.name, str(value)))
        return urlencode(pairs)


def parse(form: Mapping[str, str], modalities: Iterable[str] = ()) -> Filters:
    """What a query string says. Raises InvalidRequest only for numbers that are none."""
    chosen = dict.fromkeys(text.strip().upper()[:16] for text in modalities if text.strip())
    limit = _number(form.get("limit"), PAGE_SIZES[0], PAGE_SIZES[-1]) or PAGE_SIZES[0]
    empty = Filters(modalities=tuple(chosen), limit=limit, offset=_number(form.get("offset"), 0, MAX_OFFSET))
    return replace(empty, **{field: form.get(field, "").strip()[:MAX_TEXT] for field in TEXTS})  # type: ignore[arg-type]


def _number(text: str | None, default: int, highest: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise InvalidRequest("limit and offset must be whole numbers.")
    return min(int(text), highest)


def query(filters: Filters) -> Query:
    """The study search that *filters* ask for. Raises InvalidRequest, with a sentence, for what cannot be a date."""
    wanted = (
        ("PatientName", _name(filters.name)),
        ("PatientID", _anywhere(spellings(filters.patient_id))),
        ("AccessionNumber", _anywhere(spellings(filters.accession))),
        *(("StudyDescription", _anywhere(spellings(word))) for word in _words(filters.description)),
        ("StudyDate", _range(filters.date_from, filters.date_to)),
        ("ModalitiesInStudy", "\\".join(filters.modalities)),
    )
    matches = (match_from_text(tag(keyword), raw, separators="\\") for keyword, raw in wanted if raw)
    return Query(
        Level.STUDY,
        tuple(match for match in matches if match is not None),
        return_keys=STUDY_KEYS,
        limit=filters.limit,
        offset=filters.offset,
        fuzzy=not _is_pattern(filters.name),
    )


def others_of_patient(patient_id: str, issuer: str, limit: int) -> Query | None:
    """The studies of one patient; None without an ID, which says nothing about who it is.

    An ID without an issuer is another patient's than the same ID with one.
    """
    if not patient_id:
        return None
    return Query(
        Level.STUDY,
        (_exactly("PatientID", patient_id), _exactly("IssuerOfPatientID", issuer)),
        return_keys=STUDY_KEYS,
        limit=limit,
    )


def _exactly(keyword: str, value: str) -> Match:
    if not value:
        return Match(tag(keyword), MatchKind.EMPTY_VALUE)
    return Match(tag(keyword), MatchKind.SINGLE_VALUE, (value,))


def spellings(text: str) -> tuple[str, ...]:
    """Ways in which a word may stand in a text: matching of LO and SH heeds case and accents (PS3.4 C.2.2.2.1).

    They are the usual ones, not all: `angiotdm` does not find AngioTDM, nor a word without accents one with them.
    """
    if not text or _is_pattern(text):
        return (text,)
    plain = fold(text)
    return tuple(dict.fromkeys((text, text.upper(), text.lower(), text.capitalize(), plain, plain.upper())))


def _words(text: str) -> Sequence[str]:
    """The words of *text*, which must all be there; a pattern is one."""
    return (text,) if _is_pattern(text) else text.split()


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def _name(text: str) -> str:
    return text.replace(",", " ").replace("\\", " ")


def _anywhere(texts: Iterable[str]) -> str:
    """Each text as a pattern that finds it anywhere, as one key of several values."""
    clean = (text.replace("\\", "") for text in texts)
    return "\\".join(text if _is_pattern(text) else f"*{text}*" for text in clean if text)


def _range(first: str, last: str) -> str:
    if not first and not last:
        return ""
    low, high = (text.replace("-", "") for text in (first, last))
    return low if low == high else f"{low}-{high}"
