"""QIDO-RS, the Search transaction, in its six forms (PS3.18 10.6), and /patients. Knows HTTP, not how rows are found.

Reading: a search that finds nothing is answered with 200 and an empty list, as newer editions do; older ones have 204.
Reading: a Warning header field is as RFC 9111 5.5 has it, with our name before the sentence and not a URL.

Deviation: a Warning says that there are more results, not how many: to count them can take longer than to find them
(PS3.18 8.3.4.4.1).
Deviation: Timezone Offset From UTC in a request changes nothing, which is told in a Warning (PS3.18 8.3.4.1.1).

An answer has a weak validator of what was asked and of the index's revision: who asks again hears 304 for as long as
nothing was stored or deleted, or for seconds where anything lies in slow storage. A long one is compressed for who
takes that.
"""

from collections.abc import Hashable, Iterable
from dataclasses import replace
from functools import lru_cache

from flask import Blueprint, Response, request
from pydicom.datadict import keyword_for_tag

from relais.archive import search as archive_search
from relais.archive.search import Asked, Found
from relais.dicom import json_model
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.dicomweb import media_types, native_xml, params, paths
from relais.dicomweb.media_types import Offer
from relais.dicomweb.multipart import Part
from relais.web import payload
from relais.web.door import Door, acceptable, door, principal, query_string
from relais.web.kept import Answer

OFFERS = (
    Offer(media_types.DICOM_JSON),
    Offer(media_types.JSON),
    Offer(media_types.DICOM_XML, is_multipart=True),
)

SPECIFIC_CHARACTER_SET = 0x00080005
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

_UNIQUE_KEYS = ("0020000D", "0020000E", "00080018")
_NOTHING = {"Value": [""]}

# What a search that is not within one study or series returns of it too (PS3.18 10.6.3.3.2, 10.6.3.3.3): Modalities in
# Study and the numbers of its series and instances; the number of instances in the series.
_OF_STUDY = frozenset({0x00080061, 0x00201206, 0x00201208})
_OF_SERIES = frozenset({0x00201209})
_ALSO_RETURNED: dict[tuple[Level, type[Ref] | None], frozenset[int]] = {
    (Level.SERIES, None): _OF_STUDY,
    (Level.IMAGE, None): _OF_STUDY | _OF_SERIES,
    (Level.IMAGE, StudyRef): _OF_SERIES,
}

ONLINE = {"vr": "CS", "Value": ["ONLINE"]}

COMPRESSED_FROM = 16 * 1024  # bytes of JSON; less of it is sent sooner than compressed

MORE = "There are additional results that can be requested."
UNMATCHED = "The following keys were not matched: {}."
LEFT_OUT = "The following attributes are not returned by this search: {}."

REMEMBERED_CHARACTERS = 4096  # of a query string; a longer one is read anew each time

_remembered = lru_cache(maxsize=512)(params.parse_search)  # work lists are asked for again and again

routes = Blueprint("qido", __name__)


@routes.get("/patients")
def patients() -> Response:
    """All patients: our extension, in the attributes of PS3.4 table C.6-1."""
    return _search(Level.PATIENT)


@routes.get("/studies")
def studies() -> Response:
    """All studies."""
    return _search(Level.STUDY)


@routes.get("/studies/<study>/series")
def series_of_study(study: str) -> Response:
    """The series of a study."""
    return _search(Level.SERIES, paths.ref(study))


@routes.get("/studies/<study>/series/<series>/instances")
def instances_of_series(study: str, series: str) -> Response:
    """The instances of a series."""
    return _search(Level.IMAGE, paths.ref(study, series))


@routes.get("/studies/<study>/instances")
def instances_of_study(study: str) -> Response:
    """The instances of a study."""
    return _search(Level.IMAGE, paths.ref(study))


@routes.get("/series")
def series() -> Response:
    """All series."""
    return _search(Level.SERIES)


@routes.get("/instances")
def instances() -> Response:
    """All instances."""
    return _search(Level.IMAGE)


def _search(level: Level, within: Ref | None = None) -> Response:
    here, offer = door(), media_types.select(acceptable(), OFFERS)
    text = query_string()
    parse = _remembered if len(text) <= REMEMBERED_CHARACTERS else params.parse_search
    search = parse(text, level, tuple(_scope(within)), here.settings.max_results)
    asked = archive_search.ask(here.archive, principal(), _with_levels_above(search.query, within))
    etag = _etag(here, asked, offer)
    if payload.is_unchanged(etag) and archive_search.found_again(here.archive, asked):
        return payload.not_modified(etag, is_weak=True)
    if offer.is_multipart:
        found = archive_search.found(here.archive, asked)
        parts = (_xml_part(_with_retrieval(here, row, level)) for row in found.rows)
        response, warnings = payload.multipart(media_types.DICOM_XML, parts), _warnings(asked, found, search.unmatched)
    else:
        answer, encoding = _compressed(here, asked, search.unmatched)
        response, warnings = payload.json_bytes(answer.body, offer.media_type), answer.warnings
        if encoding:
            response.headers["Content-Encoding"] = encoding
    response.headers["ETag"] = f'W/"{etag}"'
    response.headers["Vary"] = payload.VARY_TEXT
    return payload.add_warning(response, *warnings)


def _with_levels_above(query: Query, within: Ref | None) -> Query:
    """*query* with the counts of the levels above that are returned where the path does not name these levels."""
    also = _ALSO_RETURNED.get((query.level, type(within) if within else None))
    return replace(query, return_keys=query.return_keys | also) if also else query


def _etag(here: Door, asked: Asked, offer: Offer) -> str:
    """The same for as long as the same request is answered with the same, in whichever process."""
    who, how = principal().name, (offer.media_type, here.settings.max_results)
    found = (asked.revision, asked.availability, asked.unsupported, asked.behind, asked.released_to is not None)
    return here.validators.of(request.path, query_string(), found, who, how)


def _compressed(here: Door, asked: Asked, unmatched: tuple[str, ...]) -> tuple[Answer, str]:
    """The answer as JSON, and in which Content-Encoding: "" for none. Both forms stay in memory."""
    answer = _json(here, asked, unmatched)
    if len(answer.body) < COMPRESSED_FROM or not (encoding := payload.content_encoding()):
        return answer, ""
    key = (asked, unmatched, encoding)
    packed = here.kept.get(key)
    if packed is None:
        packed = replace(answer, body=b"".join(payload.encode(encoding, (answer.body,))))
        _keep(here, asked, key, packed)
    return packed, encoding


def _json(here: Door, asked: Asked, unmatched: tuple[str, ...]) -> Answer:
    """The answer as a JSON array. It stays in memory for the next who asks the same, until the index changes."""
    key = (asked, unmatched)
    answer = here.kept.get(key)
    if answer is not None and archive_search.found_again(here.archive, asked):
        return answer
    found = archive_search.found(here.archive, asked)
    rows = [payload.json_text(_with_retrieval(here, row, asked.query.level)) for row in found.rows]
    answer = Answer(b"".join(payload.json_array(rows)), len(rows), _warnings(asked, found, unmatched))
    _keep(here, asked, key, answer)
    return answer


def _keep(here: Door, asked: Asked, key: Hashable, answer: Answer) -> None:
    """Keep *answer* for the next who asks the same; one that is a release is made, and recorded, each time."""
    if asked.released_to is None:
        here.kept.put(key, answer)


def _scope(within: Ref | None) -> list[Match]:
    """The UIDs of the path as matches."""
    uids = {
        STUDY_INSTANCE_UID: getattr(within, "study_instance_uid", None),
        SERIES_INSTANCE_UID: getattr(within, "series_instance_uid", None),
    }
    return [Match(tag, MatchKind.SINGLE_VALUE, (uid,)) for tag, uid in uids.items() if uid]


def _with_retrieval(here: Door, row: JsonDataset, level: Level) -> JsonDataset:
    """*row* with Instance Availability and Retrieve URL (PS3.18 tables 10.6.3-3 to 10.6.3-5), in the order of tags.

    A patient has neither.
    """
    if level is Level.PATIENT:
        return row
    url = {"vr": "UR", "Value": [here.url(_ref(row, level))]}
    return dict(sorted({"00080056": ONLINE, **row, "00081190": url}.items()))


def _ref(row: JsonDataset, level: Level) -> Ref:
    study, series, instance = (row.get(key, _NOTHING)["Value"][0] for key in _UNIQUE_KEYS)
    if level is Level.STUDY:
        return StudyRef(study)
    return SeriesRef(study, series) if level is Level.SERIES else InstanceRef(study, series, instance)


def _xml_part(row: JsonDataset) -> Part:
    document = native_xml.document(row)
    return Part((("Content-Type", media_types.DICOM_XML),), (document,), len(document))


def _warnings(asked: Asked, found: Found, unmatched: Iterable[str]) -> tuple[str, ...]:
    names = dict.fromkeys((*map(_name, found.unsupported), *unmatched))
    in_utf_8 = {SPECIFIC_CHARACTER_SET} & asked.query.return_keys  # the answer is, whatever the instances are in
    left_out = sorted({*found.left_out, *in_utf_8} - {*found.unsupported})
    said = [MORE] if found.more else []
    said += [UNMATCHED.format(payload.listed(list(names)))] if names else []
    said += [LEFT_OUT.format(payload.listed([_name(tag) for tag in left_out]))] if left_out else []
    return tuple(said)


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or json_model.tag_key(tag)
