"""PS3.18 8.3.4 and 10.6.1: traps 1, 2 and 6 as far as they are text."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.dicomweb import params
from relais.errors import InvalidRequest

PATIENT_ID, STUDY_DATE, STUDY_UID, MODALITIES = 0x00100020, 0x00080020, 0x0020000D, 0x00080061
REQUEST_ATTRIBUTES, STEP_ID, PROCEDURE_ID = 0x00400275, 0x00400009, 0x00401001

# What OHIF appends to its searches (clients.md).
OHIF = "limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030"


def query(text: str, level: Level = Level.STUDY) -> Query:
    return params.parse_search(text, level).query


def single(tag: int, value: str) -> Match:
    return Match(tag, MatchKind.SINGLE_VALUE, (value,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PatientID=A1", single(PATIENT_ID, "A1")),
        ("00100020=A1", single(PATIENT_ID, "A1")),
        ("0020000d=1.2", single(STUDY_UID, "1.2")),
        ("PatientID=A%2C1", single(PATIENT_ID, "A,1")),
        ("PatientID=a%2525", single(PATIENT_ID, "a%25")),
        ("PatientID=100%25", single(PATIENT_ID, "100%")),
        ("PatientID=A+1", single(PATIENT_ID, "A 1")),
        ("PatientID=A%2B1", single(PATIENT_ID, "A+1")),
        ("Patient%49D=A1", single(PATIENT_ID, "A1")),
        ("StudyInstanceUID=1.2,1.3", Match(STUDY_UID, MatchKind.LIST_OF_UID, ("1.2", "1.3"))),
        ("StudyInstanceUID=1.2%2C1.3", Match(STUDY_UID, MatchKind.LIST_OF_UID, ("1.2", "1.3"))),
        ("StudyInstanceUID=1.2%5C1.3", Match(STUDY_UID, MatchKind.LIST_OF_UID, ("1.2", "1.3"))),
        ("PatientID=%2A7%2A", Match(PATIENT_ID, MatchKind.WILD_CARD, ("*7*",))),
        ("StudyDate=20200101-", Match(STUDY_DATE, MatchKind.RANGE, ("20200101", ""))),
        ("PatientID=%22%22", single(PATIENT_ID, '""')),
        ("PatientID=%22%22&emptyvaluematching=false", single(PATIENT_ID, '""')),
        ("PatientID=%22%22&emptyvaluematching=true", Match(PATIENT_ID, MatchKind.EMPTY_VALUE)),
        ("emptyvaluematching=true&StudyDate=%22%22", Match(STUDY_DATE, MatchKind.EMPTY_VALUE)),
    ],
)
def test_a_key_becomes_a_match_after_one_percent_decoding(text: str, expected: Match) -> None:
    """Trap 1, clients.md 5."""
    assert query(text).matches == (expected,)


def test_the_text_of_any_script_arrives_as_it_was_meant() -> None:
    found = query("PatientName=" + quote("山田^太郎"))
    assert found.matches[0].values == ("山田^太郎",)


@pytest.mark.parametrize("text", ["PatientID=", "PatientID", "PatientID=*", "PatientID=%2A", "includefield=PatientID"])
def test_a_universal_key_is_a_return_key(text: str) -> None:
    found = query(text)
    assert found.matches == ()
    assert found.return_keys == {PATIENT_ID}


def test_paths_into_one_sequence_are_conditions_on_one_item() -> None:
    """Traps 1 and 2, PS3.4 C.2.2.2.6"""
    found = query("00400275.00400009=S1&RequestAttributesSequence.RequestedProcedureID=P1&PatientID=A", Level.SERIES)
    items = (single(STEP_ID, "S1"), single(PROCEDURE_ID, "P1"))
    assert found.matches == (Match(REQUEST_ATTRIBUTES, MatchKind.SEQUENCE, items=items), single(PATIENT_ID, "A"))


def test_everything_that_ohif_appends_is_understood() -> None:
    found = query(f"00100020=%2Av%2A&{OHIF}")
    assert (found.limit, found.offset, found.fuzzy) == (101, 0, True)
    assert {0x00081030, 0x00080060, 0x00080090, 0x00100030} <= found.return_keys


@pytest.mark.parametrize("separator", ["%5C", "\\", ","])
def test_several_values_ask_for_any_of_them_or_for_all(separator: str) -> None:
    """PS3.18 8.3.4.6, PS3.4 C.2.2.2.8"""
    text = f"ModalitiesInStudy=CT{separator}PT"
    assert query(text).matches == (Match(MODALITIES, MatchKind.MULTIPLE_VALUES, ("CT", "PT")),)
    assert query(f"multiplevaluematching=true&{text}").matches == (single(MODALITIES, "CT"), single(MODALITIES, "PT"))


def test_every_value_is_asked_for_inside_a_sequence_too() -> None:
    found = query("00400275.00400009=S1%5CS2&multiplevaluematching=true", Level.SERIES)
    assert found.matches[0].items == (single(STEP_ID, "S1"), single(STEP_ID, "S2"))
    found = query("00400275.00400009=S1%5C*&multiplevaluematching=true", Level.SERIES)
    assert found.matches[0].items == (single(STEP_ID, "S1"),)


def test_a_night_is_a_range_of_moments_but_alone_its_times_are_none() -> None:
    """PS3.4 C.2.2.2.5.4"""
    night = query("StudyDate=20240101-20240102&StudyTime=2200-0600")
    assert night.combined_date_time
    assert [found.kind for found in night.matches] == [MatchKind.RANGE] * 2
    for text in ("StudyTime=2200-0600", "StudyDate=20240102&StudyTime=2200-0600", "StudyDate=20240102-20240101"):
        with pytest.raises(InvalidRequest):
            query(text)


def test_include_field_repeats_lists_and_says_all() -> None:
    found = query("includefield=PatientID,00080060&includefield=all&includefield=00400275.00400009")
    assert found.all_keys
    assert found.return_keys == {PATIENT_ID, 0x00080060, REQUEST_ATTRIBUTES}


def test_a_limit_is_cut_to_the_maximum_and_none_means_the_maximum() -> None:
    """Trap 6."""
    assert params.parse_search("limit=5", Level.STUDY, max_results=10).query.limit == 5
    assert params.parse_search("limit=999999999999", Level.STUDY, max_results=10).query.limit == 10
    assert params.parse_search("", Level.STUDY, max_results=10).query.limit == 10
    assert query("limit=0").limit == 0


@pytest.mark.parametrize(
    "text",
    [
        "limit=-1",
        "limit=",
        "limit=1e3",
        "limit=٣",
        "limit=1&limit=2",
        "limit=" + "9" * 40,
        "offset=-1",
        "offset=4294967296",
        "offset=x",
        "fuzzymatching=yes",
        "fuzzymatching=",
        "emptyvaluematching=1",
        "multiplevaluematching=x",
        "multiplevaluematching=true&multiplevaluematching=true",
        "StudyDate=%22%22",
        "PatientID=1&PatientID=2",
        "PatientID=1&00100020=1",
        "StudyDate=yesterday",
        "StudyInstanceUID=1.2.x",
        "PatientID.PatientName=x",
        "00400275=x",
        ".".join(["00400275"] * 9) + "=x",
        "includefield=Nonsense",
        "PatientID=%FF",
        "PatientID=%00",
        "&".join(f"x{n}=1" for n in range(201)),
        "=1",
    ],
)
def test_what_makes_no_sense_is_an_invalid_request(text: str) -> None:
    """Traps 2 and 6: never ignored."""
    with pytest.raises(InvalidRequest):
        query(text)


def test_a_key_that_nobody_knows_the_vr_of_is_told_to_be_unmatched() -> None:
    """Trap 2."""
    search = params.parse_search("00091001=x&00091002=", Level.STUDY)
    assert search.query.matches == ()
    assert search.unmatched == ("00091001",)


def test_reserved_names_are_no_keys() -> None:
    assert query("accept=application/dicom+json&charset=utf-8") == Query(
        Level.STUDY, limit=params.MAX_RESULTS, combined_date_time=True
    )


def test_a_plus_in_accept_is_a_plus() -> None:
    assert dict(params.parameters("accept=application/dicom+json"))["accept"] == "application/dicom+json"


def test_the_scope_of_the_path_comes_first() -> None:
    scope = single(STUDY_UID, "1.2")
    assert params.parse_search("PatientID=A", Level.SERIES, [scope]).query.matches == (scope, single(PATIENT_ID, "A"))


def test_parameters_that_may_not_repeat_are_refused_when_they_do() -> None:
    assert params.one_of_each("a=1&b=2&") == {"a": "1", "b": "2"}
    with pytest.raises(InvalidRequest):
        params.one_of_each("a=1&a=1")


@pytest.mark.parametrize("name", ["Nonsense", "patientid", "0010002", "00400275.Nonsense", "(0010,0020)", "_"])
def test_a_parameter_that_means_nothing_here_is_told_to_be_unmatched(name: str) -> None:
    """PS3.18 8.3: the search goes on as if it were not there; trap 2: never in silence."""
    for value in ("1", ""):
        search = params.parse_search(f"{name}={value}&PatientID=1", Level.STUDY)
        assert search.unmatched == (name,)
        assert search.query == query("PatientID=1")


def test_answers_come_in_utf_8_and_in_nothing_else() -> None:
    """PS3.18 8.3.3.2"""
    for charset in ("", "utf-8", "UTF-8", "latin1,utf-8;q=0.5", "%22ISO_IR 192%22"):
        assert query(f"charset={charset}") == query("")
    for charset in ("latin1", "shift_jis;q=1,ascii", "nonsense"):
        with pytest.raises(InvalidRequest, match="UTF-8"):
            query(f"charset={charset}")


def test_a_message_never_repeats_what_could_harm_a_log_or_a_page() -> None:
    (name,) = params.parse_search("%0D%0A%22%3Cscript%3E" + "x" * 500 + "=1", Level.STUDY).unmatched
    with pytest.raises(InvalidRequest) as caught:
        query("includefield=%0D%0A%22%3Cscript%3E" + "x" * 500)
    for said in (name, caught.value.message):
        assert "\n" not in said
        assert '"' not in said
        assert len(said) < 200


text = st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters='\\*?"=^'), min_size=1)
plain = text.map(str.strip).filter(bool)
uid = st.lists(st.integers(0, 999).map(str), min_size=1, max_size=5).map(".".join)
date = st.dates().map(lambda day: day.strftime("%Y%m%d").zfill(8))
match = st.one_of(
    plain.map(lambda value: single(PATIENT_ID, value)),
    uid.map(lambda value: single(STUDY_UID, value)),
    st.lists(uid, min_size=2, max_size=4, unique=True).map(lambda v: Match(STUDY_UID, MatchKind.LIST_OF_UID, tuple(v))),
    plain.map(lambda value: Match(0x00081030, MatchKind.WILD_CARD, (f"{value}*",))),
    st.tuples(date, date).map(lambda pair: Match(STUDY_DATE, MatchKind.RANGE, tuple(sorted(pair)))),
    date.map(lambda day: Match(STUDY_DATE, MatchKind.RANGE, ("", day))),
    st.just(Match(0x00080050, MatchKind.EMPTY_VALUE)),
    plain.map(lambda value: Match(REQUEST_ATTRIBUTES, MatchKind.SEQUENCE, items=(single(STEP_ID, value),))),
)
queries = st.builds(
    Query,
    level=st.sampled_from([Level.STUDY, Level.SERIES, Level.IMAGE]),
    matches=st.lists(match, max_size=4, unique_by=lambda found: found.tag).map(tuple),
    return_keys=st.frozensets(st.sampled_from([0x00080060, 0x00100030, 0x00081030])),
    all_keys=st.booleans(),
    limit=st.integers(0, params.MAX_RESULTS),
    offset=st.integers(0, 10**6),
    fuzzy=st.booleans(),
)


@given(queries)
def test_a_query_survives_formatting_and_parsing(original: Query) -> None:
    parsed = params.parse_search(params.format_search(original), original.level).query
    assert parsed.matches == original.matches
    assert parsed.return_keys == original.return_keys | {found.tag for found in original.matches}
    assert (parsed.limit, parsed.offset, parsed.fuzzy) == (original.limit, original.offset, original.fuzzy)
    assert parsed.all_keys == original.all_keys


@given(st.text(max_size=100))
def test_no_query_string_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        query(text)
    except InvalidRequest:
        return
