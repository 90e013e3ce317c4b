"""PS3.4 C.2.2.2: what matches what."""

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fixtures.keys import asks, element, fits, name, tag
from fixtures.strategies import Study, cases, seen
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import alternatives, as_text, is_universal, match_one, matches, texts, wild_card
from relais.dicom.query import Match, MatchKind, Query

SINGLE, WILD, RANGE = MatchKind.SINGLE_VALUE, MatchKind.WILD_CARD, MatchKind.RANGE
EMPTY = MatchKind.EMPTY_VALUE


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


@pytest.mark.parametrize("vr", ["LO", "US", "PN"])
def test_what_came_as_no_sequence_has_no_items(vr: str) -> None:
    found = {"vr": vr, "Value": [{"Alphabetic": "A"} if vr == "PN" else 1]}
    assert not match_one(found, requested(AccessionNumber="A"))
    assert match_one(found, requested())
    assert match_one(found, Match(tag("RequestAttributesSequence"), EMPTY))


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
