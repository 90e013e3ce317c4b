"""PS3.4 C.2.2.2: what matches what."""

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from fixtures.strategies import LETTERS, Study, cases, seen
from relais.dicom import person_name
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import (
    DateTimeRange,
    alternatives,
    as_text,
    combine,
    is_universal,
    match_one,
    matches,
    texts,
    wild_card,
)
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.query_keys import match_from_text
from relais.dicom.values import vr_of

SINGLE, WILD, RANGE = MatchKind.SINGLE_VALUE, MatchKind.WILD_CARD, MatchKind.RANGE
EMPTY = MatchKind.EMPTY_VALUE


def tag(keyword: str) -> int:
    found = tag_for_keyword(keyword)
    assert found is not None
    return found


def element(keyword: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr_of(tag(keyword)), "Value": list(values)}


def asks(keyword: str, raw: str) -> Match:
    match = match_from_text(tag(keyword), raw)
    assert match is not None
    return match


def fits(keyword: str, raw: str, *values: Any, fuzzy: bool = False) -> bool:
    """Whether a key of a request matches an attribute with these values."""
    return match_one(element(keyword, *values), asks(keyword, raw), fuzzy)


def name(text: str) -> dict[str, str]:
    return person_name.to_json(text) or {}


# Single values (C.2.2.2.1)


def test_a_single_value_matches_exactly() -> None:
    assert fits("PatientID", "A1", "A1")
    assert fits("PatientID", "A1", " A1 ")
    assert not fits("PatientID", "A1", "a1")
    assert not fits("PatientID", "A1", "A12")
    assert not fits("StudyDescription", "é", "e")
    assert not fits("PatientID", "A1", None)


@pytest.mark.parametrize("text", ["100%", "a_b", "[ab]", "a.b", "a'b", '"', "a\\d".replace("\\", "/")])
def test_no_character_but_the_two_wild_cards_is_special(text: str) -> None:
    assert fits("PatientID", text, text)
    assert not fits("PatientID", text, "100x")
    assert fits("PatientID", f"*{text}*", f"x{text}y")
    assert not fits("PatientID", f"*{text}*", "xaxby")


def test_a_uid_is_never_a_prefix() -> None:
    assert fits("StudyInstanceUID", "1.2.3", "1.2.3")
    assert not fits("StudyInstanceUID", "1.2.3", "1.2.34")


def test_numbers_match_by_number() -> None:
    assert fits("InstanceNumber", "007", 7)
    assert fits("InstanceNumber", "7", "007")
    assert fits("InstanceNumber", "7.0", 7)
    assert not fits("InstanceNumber", "7", 70)
    assert fits("Rows", "512", 512)
    assert not fits("InstanceNumber", "7", "7a")


def test_dates_and_times_match_by_their_meaning() -> None:
    assert fits("StudyDate", "20240229", "2024.02.29")
    assert not fits("StudyDate", "20240229", "20240301")
    assert fits("StudyTime", "103000", "103000.000000")
    assert fits("StudyTime", "103000", "10:30:00")


def test_a_time_of_low_precision_stands_for_its_whole_interval() -> None:
    assert fits("StudyTime", "10", "103000.5")
    assert fits("StudyTime", "1030", "103059.999999")
    assert not fits("StudyTime", "1030", "103100")
    assert not fits("StudyTime", "1030", "10")
    assert fits("StudyTime", "10", "10")


def test_a_date_that_cannot_be_parsed_matches_only_itself() -> None:
    broken = Match(tag("StudyDate"), SINGLE, ("20240230",))
    assert match_one(element("StudyDate", "20240230"), broken)
    assert not match_one(element("StudyDate", "20240229"), broken)
    assert not fits("StudyDate", "20240101-20241231", "20240230")
    assert not match_one(element("StudyDate", "20240230"), Match(tag("StudyDate"), RANGE, ("20240230", "20240230")))


# Lists of UIDs (C.2.2.2.2), universal matching (C.2.2.2.3)


def test_any_uid_of_a_list_matches() -> None:
    assert fits("StudyInstanceUID", "1.2\\1.3", "1.3")
    assert not fits("StudyInstanceUID", "1.2\\1.3", "1.4")


def test_a_star_matches_whatever_is_there_or_not() -> None:
    star = Match(tag("PatientID"), WILD, ("*",))
    assert match_one(None, star)
    assert match_one({"vr": "LO"}, star)
    assert match_one(element("PatientID", "x"), star)
    assert match_one(None, Match(tag("PatientID"), MatchKind.MULTIPLE_VALUES, ("x", "**")))


@pytest.mark.parametrize(
    ("pattern", "universal"), [("*", True), ("** ", True), ("", True), ("?*", False), ("* *", False)]
)
def test_only_stars_are_universal(pattern: str, universal: bool) -> None:
    assert is_universal(Match(tag("PatientID"), WILD, (pattern,))) is universal
    assert not is_universal(Match(tag("PatientID"), SINGLE, (pattern,)))


# Wild cards (C.2.2.2.4)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("A*", "ABC"),
        ("*C", "ABC"),
        ("*B*", "ABC"),
        ("A?C", "ABC"),
        ("A*C", "AC"),
        ("*", ""),
        ("**", ""),
        ("", ""),
        ("a*b*c", "aXbXbXc"),
        ("a*b*c", "abcbc"),
        ("a*\n?", "a\n\n"),
        ("A* ", "AB"),
        ("??", "山田"),
        ("*[x]*", "a[x]b"),
    ],
)
def test_a_pattern_matches(pattern: str, value: str) -> None:
    assert wild_card(pattern, value)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("A*", "BA"),
        ("*C", "CB"),
        ("A?C", "AC"),
        ("?", ""),
        ("?*", ""),
        ("", "a"),
        ("A", "a"),
        ("[ab]", "a"),
        ("a*b", "abc"),
    ],
)
def test_a_pattern_does_not_match(pattern: str, value: str) -> None:
    assert not wild_card(pattern, value)


@given(st.text("ab*?[]", max_size=8), st.text("ab*?[]", max_size=8))
@example("*ab*ab", "abaab")
def test_patterns_match_as_regular_expressions_would(pattern: str, value: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    assert wild_card(pattern, value) == (re.fullmatch(expression, value, re.DOTALL) is not None)
    if "[" not in pattern:
        assert wild_card(pattern, value) == fnmatch.fnmatchcase(value, pattern)


def test_a_hostile_pattern_costs_no_more_than_its_length_times_that_of_the_value() -> None:
    assert not wild_card("*a" * 500 + "b", "a" * 5000)


def test_a_pattern_matches_no_empty_attribute() -> None:
    assert not match_one(None, asks("PatientID", "?*"))
    assert not match_one({"vr": "LO", "Value": [None, " "]}, asks("PatientID", "A*"))


# Ranges (C.2.2.2.5)


@pytest.mark.parametrize(
    ("raw", "day", "is_in"),
    [
        ("20240101-20240131", "20240101", True),
        ("20240101-20240131", "20240131", True),
        ("20240101-20240131", "20240201", False),
        ("-20240131", "19000101", True),
        ("-20240131", "20240201", False),
        ("20240101-", "99991231", True),
        ("20240101-", "20231231", False),
        ("20240101-20240131", "2024.01.15", True),
    ],
)
def test_a_range_of_dates_includes_its_ends(raw: str, day: str, is_in: bool) -> None:
    assert fits("StudyDate", raw, day) is is_in


@pytest.mark.parametrize(
    ("raw", "time", "is_in"),
    [
        ("10-11", "115959.999999", True),
        ("10-11", "12", False),
        ("1030-", "1030", True),
        ("1030-", "10", False),
        ("-103000", "103000.9", True),
        ("-103000.5", "103000.6", False),
    ],
)
def test_the_end_of_a_range_of_times_covers_its_precision(raw: str, time: str, is_in: bool) -> None:
    assert fits("StudyTime", raw, time) is is_in


def test_a_range_of_date_times_heeds_offsets_from_utc() -> None:
    assert fits("AcquisitionDateTime", "2024022910-2024022912", "20240229123000+0100")
    assert not fits("AcquisitionDateTime", "2024022910-2024022911", "20240229103000+0100")


def test_a_range_matches_no_empty_attribute() -> None:
    assert not match_one(None, asks("StudyDate", "-20240131"))


# Combined date-time (C.2.2.2.5.4)


def at(day: str | None, time: str | None) -> JsonDataset:
    found = {"StudyDate": day, "StudyTime": time}
    return {tag_key(tag(keyword)): element(keyword, value) for keyword, value in found.items() if value is not None}


def combined(days: str, times: str, ds: JsonDataset, *, is_combined: bool = True) -> bool:
    conditions = (asks("StudyDate", days), asks("StudyTime", times))
    return matches(ds, Query(Level.STUDY, conditions, combined_date_time=is_combined))


def test_a_date_and_a_time_range_are_one_where_that_was_negotiated() -> None:
    assert combined("20060705-20060707", "1000-1800", at("20060706", "0200"))
    assert not combined("20060705-20060707", "1000-1800", at("20060706", "0200"), is_combined=False)
    assert not combined("20060705-20060707", "1000-1800", at("20060705", "0959"))
    assert combined("20060705-20060707", "1000-1800", at("20060705", "1000"))
    assert combined("20060705-20060707", "1000-1800", at("20060707", "180059"))
    assert not combined("20060705-20060707", "1000-1800", at("20060707", "1801"))
    assert combined("20060705-", "1000-", at("20060706", "09"))
    assert combined("-20060705", "-10", at("20060704", "23"))
    assert not combined("-20060705", "-10", at("20060705", "11"))


def test_a_date_without_a_time_counts_as_its_midnight() -> None:
    assert combined("20060705-20060707", "1000-1800", at("20060706", None))
    assert combined("20060705-20060707", "1000-1800", at("20060706", "x"))
    assert not combined("20060705-20060707", "1000-1800", at("20060705", None))
    assert not combined("20060705-20060707", "1000-1800", at(None, "12"))


@pytest.mark.parametrize(
    ("days", "times"),
    [("20060705-", "-1000"), ("20060705", "10-11"), ("20060705-", "10-11"), ("20060705-20060706", "10")],
)
def test_ranges_of_different_forms_stay_apart(days: str, times: str) -> None:
    conditions = (asks("StudyDate", days), asks("StudyTime", times))
    assert combine(conditions) == ((), conditions)


def test_only_a_date_and_the_time_beside_it_are_joined() -> None:
    days, times = asks("StudyDate", "20060705-20060707"), asks("StudyTime", "10-11")
    other, patient = asks("SeriesTime", "10-11"), asks("PatientID", "x")
    ranges, rest = combine([patient, days, other, times])
    assert rest == (patient, other)
    low, high = "20060705100000000000", "20060707115959999999"
    assert ranges == (DateTimeRange(tag("StudyDate"), tag("StudyTime"), low, high),)


def test_ranges_that_cannot_be_parsed_stay_apart() -> None:
    conditions = (Match(tag("StudyDate"), RANGE, ("x", "y")), Match(tag("StudyTime"), RANGE, ("10", "11")))
    assert combine(conditions) == ((), conditions)
    conditions = (Match(tag("StudyDate"), RANGE, ("20060705", "")), Match(tag("StudyTime"), RANGE, ("x", "")))
    assert combine(conditions) == ((), conditions)


def test_a_single_value_beside_joined_ranges_still_counts() -> None:
    single = asks("StudyDate", "20060706")
    _, rest = combine([asks("StudyDate", "20060705-20060707"), single, asks("StudyTime", "10-11")])
    assert rest == (single,)


# Sequences (C.2.2.2.6)


def requested(**keys: str) -> Match:
    return Match(tag("RequestAttributesSequence"), MatchKind.SEQUENCE, items=tuple(asks(*key) for key in keys.items()))


def items(*found: dict[str, str] | None) -> dict[str, Any]:
    def item(one: dict[str, str]) -> JsonDataset:
        return {tag_key(tag(keyword)): element(keyword, value) for keyword, value in one.items()}

    return {"vr": "SQ", "Value": [one and item(one) for one in found]}


def test_one_item_must_satisfy_all_conditions() -> None:
    first = {"AccessionNumber": "A", "RequestedProcedureID": "1"}
    second = {"AccessionNumber": "B", "RequestedProcedureID": "2"}
    assert match_one(items(first, second), requested(AccessionNumber="B", RequestedProcedureID="2"))
    assert not match_one(items(first, second), requested(AccessionNumber="A", RequestedProcedureID="2"))
    assert not match_one(items(None, {}), requested(AccessionNumber="A"))
    assert not match_one(None, requested(AccessionNumber="A"))


def test_a_sequence_key_without_conditions_matches_everything() -> None:
    assert match_one(None, requested())


def test_an_item_without_an_attribute_satisfies_the_condition_that_it_be_empty() -> None:
    empty = Match(tag("AccessionNumber"), EMPTY)
    wanted = Match(tag("RequestAttributesSequence"), MatchKind.SEQUENCE, items=(empty,))
    assert match_one(items({"RequestedProcedureID": "1"}), wanted)
    assert not match_one(None, wanted)


# Empty values (C.2.2.2.7)


@pytest.mark.parametrize("value", [None, "", " ", "\0"])
def test_nothing_and_blanks_are_empty(value: Any) -> None:
    assert match_one(element("PatientID", value), Match(tag("PatientID"), EMPTY))


def test_what_is_absent_is_empty_and_what_is_there_is_not() -> None:
    assert match_one(None, Match(tag("PatientID"), EMPTY))
    assert not fits("PatientID", '""', "x")
    assert match_one({"vr": "SQ"}, Match(tag("RequestAttributesSequence"), EMPTY))
    assert match_one(None, Match(tag("RequestAttributesSequence"), EMPTY))
    assert not match_one(items({}), Match(tag("RequestAttributesSequence"), EMPTY))


def test_what_could_never_match_is_empty() -> None:
    assert fits("InstanceNumber", '""', "7a")
    assert fits("PatientName", '""', {"Alphabetic": "^^"})
    assert not fits("StudyDate", '""', "20240230")


# Multiple values (C.2.2.2.8)


def test_any_of_several_values_matches_any_of_several() -> None:
    assert fits("ModalitiesInStudy", "CT\\MR", "PT", "MR")
    assert not fits("ModalitiesInStudy", "CT\\MR", "PT", "US")
    assert fits("PatientID", "A*\\B", "AX")
    assert fits("StudyDate", "20240101\\20240201-20240229", "20240215")


def test_several_conditions_on_one_attribute_must_all_match() -> None:
    both = Query(Level.STUDY, (asks("ModalitiesInStudy", "CT"), asks("ModalitiesInStudy", "PT")))
    assert matches({"00080061": element("ModalitiesInStudy", "CT", "PT")}, both)
    assert not matches({"00080061": element("ModalitiesInStudy", "CT", "MR")}, both)


def test_alternatives_are_what_their_values_say() -> None:
    assert alternatives(asks("StudyDate", "20240101\\20240201-")) == (
        Match(tag("StudyDate"), SINGLE, ("20240101",)),
        Match(tag("StudyDate"), RANGE, ("20240201", "")),
    )
    assert alternatives(asks("StudyInstanceUID", "1.2\\1.3"))[1] == Match(tag("StudyInstanceUID"), SINGLE, ("1.3",))
    single = asks("PatientID", "x")
    assert alternatives(single) == (single,)


def test_several_values_of_an_attribute_that_has_one_are_one_text() -> None:
    neck = element("StudyDescription", "CT HEAD", None, "NECK")
    assert texts(neck, tag("StudyDescription")) == ("CT HEAD\\NECK",)
    assert match_one(neck, asks("StudyDescription", "*NECK"))
    assert not match_one(neck, asks("StudyDescription", "NECK"))
    assert texts(element("ModalitiesInStudy", "CT", "MR"), tag("ModalitiesInStudy")) == ("CT", "MR")


def test_values_as_texts() -> None:
    assert as_text(None) == ""
    assert as_text(7) == "7"
    assert as_text({"Alphabetic": "A", "Ideographic": "B"}) == "A=B"
    assert texts({"vr": "OB", "InlineBinary": "YWI="}, 0x7FE00010) == ()
    assert texts(element("PatientName", name("A^B"), {}), tag("PatientName")) == ("A^B",)


# Person names


@pytest.mark.parametrize("raw", ["lefebvre^zoe", "LEFÈBVRE^ZOÉ^^^", "LEF*", "*^zoé", "lef?bvre^*", " lefèbvre ^ zoe "])
def test_names_match_without_regard_to_case_and_accents(raw: str) -> None:
    assert fits("PatientName", raw, name("LEFÈBVRE^Zoé"))


@pytest.mark.parametrize("raw", ["lefebvre", "zoe^lefebvre", "*x*", "lef?^*"])
def test_names_match_as_a_whole(raw: str) -> None:
    assert not fits("PatientName", raw, name("LEFÈBVRE^Zoé"))


YAMADA = name("Yamada^Tarou=山田^太郎=やまだ^たろう")


@pytest.mark.parametrize(
    "raw", ["yamada^tarou", "山田*", "*たろう", "=山田^太郎", "yamada*=山田*", "*=*=やまだ*", "==やまだ^たろう"]
)
def test_a_key_matches_any_group_or_the_groups_that_it_names(raw: str) -> None:
    assert fits("PatientName", raw, YAMADA)


@pytest.mark.parametrize("raw", ["=yamada*", "yamada^tarou=太郎", "山田=*", "==*x"])
def test_a_group_that_is_named_must_match(raw: str) -> None:
    assert not fits("PatientName", raw, YAMADA)


def test_a_group_that_is_named_must_be_there() -> None:
    assert not fits("PatientName", "surya=*", name("SURYA"))
    assert not match_one(element("PatientName", name("SURYA")), Match(tag("PatientName"), SINGLE, ("=",)))
    assert not match_one(element("PatientName", name("SURYA")), Match(tag("PatientName"), SINGLE, ("^",)))


@pytest.mark.parametrize("raw", ["zoe lefeb", "Lefèbvre", "*zoe*", "*EBV*", "lef*"])
def test_fuzzy_matching_finds_words_in_any_order_and_what_patterns_find(raw: str) -> None:
    assert fits("PatientName", raw, name("LEFÈBVRE^Zoé"), fuzzy=True)


@pytest.mark.parametrize("raw", ["zoe martin", "ebvre", "x*"])
def test_fuzzy_matching_is_not_universal(raw: str) -> None:
    assert not fits("PatientName", raw, name("LEFÈBVRE^Zoé"), fuzzy=True)
    assert not fits("PatientID", "a", "A", fuzzy=True)


NAME = st.text(LETTERS, max_size=8)


@given(NAME, NAME, st.sampled_from([SINGLE, WILD]))
def test_fuzzy_matching_only_adds(raw: str, held: str, kind: MatchKind) -> None:
    match, found = Match(tag("PatientName"), kind, (raw,)), element("PatientName", name(held))
    assert not match_one(found, match) or match_one(found, match, fuzzy=True)


@given(NAME.filter(lambda held: "*" not in held and "?" not in held))
def test_every_name_that_is_not_empty_finds_itself(held: str) -> None:
    found = element("PatientName", name(held))
    if texts(found, tag("PatientName")):
        assert match_one(found, Match(tag("PatientName"), SINGLE, (held,)))


# Whole queries


def test_every_condition_must_match() -> None:
    ds = {"00100020": element("PatientID", "A"), "00080060": element("Modality", "CT")}
    assert matches(ds, Query(Level.SERIES, (asks("PatientID", "A"), asks("Modality", "CT"))))
    assert not matches(ds, Query(Level.SERIES, (asks("PatientID", "A"), asks("Modality", "MR"))))
    assert matches(ds, Query(Level.SERIES))


@settings(deadline=None)
@given(cases(max_studies=2, max_queries=2))
def test_a_query_and_one_condition_less_never_finds_less(case: tuple[list[Study], list[Query]]) -> None:
    studies, queries = case
    for query in queries:
        fewer = Query(query.level, query.matches[1:], fuzzy=query.fuzzy)
        apart = Query(query.level, query.matches, fuzzy=query.fuzzy)
        for ds in (ds for study in studies for ds in seen(study, query.level)):
            assert not matches(ds, apart) or matches(ds, fewer)
