"""Dates and times that are meant in one zone and told in another (PS3.4 C.2.2.2.1.3)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.matching import matches
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.timezones import OFFSET_TAG, distances_to, minutes, moved, widened, zone_of
from relais.errors import InvalidRequest

STUDY_DATE, STUDY_TIME, SERIES_DATE, ACQUISITION_TIME = 0x00080020, 0x00080030, 0x00080021, 0x00080032

days = st.dates().map(lambda day: f"{day.year:04d}{day:%m%d}")
clocks = st.times().map(lambda clock: f"{clock:%H%M%S}")
offsets = st.integers(-12 * 60, 14 * 60).map(
    lambda found: f"{'-' if found < 0 else '+'}{abs(found) // 60:02}{abs(found) % 60:02}"
)


def a_row(day: str | None = None, clock: str | None = None, offset: str | None = None) -> JsonDataset:
    told = {"00080020": ("DA", day), "00080030": ("TM", clock), "00080201": ("SH", offset)}
    return {key: {"vr": vr, "Value": [value]} for key, (vr, value) in told.items() if value is not None}


def of(row: JsonDataset, *keys: str) -> tuple[Any, ...]:
    return tuple(row[key]["Value"][0] for key in keys if key in row)


def ranged(tag: int, text: str) -> Match:
    low, _, high = text.partition("-")
    return Match(tag, MatchKind.RANGE, (low, high)) if "-" in text else Match(tag, MatchKind.SINGLE_VALUE, (text,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("+0000", 0), ("+0530", 330), ("-0330 ", -210), ("+1400", 840), ("+1401", None), ("0100", None), ("+0160", None)],
)
def test_an_offset_is_hours_and_minutes(text: str, expected: int | None) -> None:
    """PS3.3 C.12.1.1.8"""
    assert minutes(text) == expected


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        zone_of(Query(Level.STUDY), "CET")


@pytest.mark.parametrize(
    ("row", "there"),
    [
        (a_row("20200101", "233000", "+0000"), ("20200102", "003000")),
        (a_row("20200101", "0010", "+0200"), ("20191231", "2310")),
        (a_row("20200101", "00", "+0200"), ("20191231", "2300")),
        (a_row("20200101", "101010.25", "-0500"), ("20200101", "161010.25")),
        (a_row("2020.01.01", "23:30:00", "+0000"), ("20200102", "003000")),
        (a_row("20200101", "235960", "+0000"), ("20200102", "005959")),
        (a_row(None, "2330", "+0000"), ("0030",)),
        (a_row("20200101", None, "+0000"), ("20200101",)),
        (a_row("20200101", "233000", "+0100"), ("20200101", "233000")),
        (a_row("20200101", "233000", None), ("20200101", "233000")),
        (a_row("20200101", "233000", "here"), ("20200101", "233000")),
        (a_row("someday", "233000", "+0000"), ("someday", "233000")),
        (a_row("20200101", "late", "+0000"), ("20200101", "late")),
        (a_row("99991231", "233000", "+0000"), ("99991231", "233000")),
    ],
)
def test_a_moment_is_told_as_an_hour_east_of_greenwich_has_it(row: JsonDataset, there: tuple[str, ...]) -> None:
    assert of(moved(row, 60), "00080020", "00080030") == there


def test_birth_dates_are_left_alone() -> None:
    born = {"00100030": {"vr": "DA", "Value": ["19700101"]}, "00100032": {"vr": "TM", "Value": ["2330"]}}
    row = a_row("20200101", "2330", "+0000") | born
    assert moved(row, 60) == a_row("20200102", "0030", "+0000") | born


def test_what_is_looked_for_is_two_days_wider_and_what_tells_the_moment_comes_with_it() -> None:
    asked = (
        ranged(STUDY_DATE, "20200101"),
        ranged(STUDY_TIME, "10-11"),
        Match(0x00100010, MatchKind.WILD_CARD, ("A*",)),
    )
    wide = widened(Query(Level.STUDY, asked))
    assert wide.matches == (ranged(STUDY_DATE, "20191230-20200103"), asked[2])
    assert wide.return_keys == {STUDY_DATE, STUDY_TIME, OFFSET_TAG}


@pytest.mark.parametrize(
    ("asked", "wide"),
    [
        (ranged(STUDY_DATE, "20200101-"), (ranged(STUDY_DATE, "20191230-"),)),
        (ranged(STUDY_DATE, "-20200101"), (ranged(STUDY_DATE, "-20200103"),)),
        (ranged(STUDY_DATE, "00010101"), (ranged(STUDY_DATE, "-00010103"),)),
        (ranged(STUDY_DATE, "99991231"), (ranged(STUDY_DATE, "99991229-"),)),
        (Match(STUDY_TIME, MatchKind.EMPTY_VALUE), (Match(STUDY_TIME, MatchKind.EMPTY_VALUE),)),
        (ranged(SERIES_DATE, "20200101"), (ranged(SERIES_DATE, "20200101"),)),
        (ranged(ACQUISITION_TIME, "10-11"), (ranged(ACQUISITION_TIME, "10-11"),)),
        (
            Match(STUDY_DATE, MatchKind.MULTIPLE_VALUES, ("20200105", "20200201-20200203")),
            (Match(STUDY_DATE, MatchKind.MULTIPLE_VALUES, ("20200103-20200107", "20200130-20200205")),),
        ),
    ],
)
def test_conditions_that_the_level_matches_by_are_widened(asked: Match, wide: tuple[Match, ...]) -> None:
    assert widened(Query(Level.STUDY, (asked,))).matches == wide


@pytest.mark.parametrize(
    ("asked", "zones", "wide"),
    [
        (ranged(STUDY_TIME, "1030"), (), (ranged(STUDY_TIME, "1030-103060"),)),
        (ranged(STUDY_TIME, "1030"), (60,), (ranged(STUDY_TIME, "1030-103060"),)),
        (ranged(STUDY_TIME, "103015.5-1031"), (), (ranged(STUDY_TIME, "1030-103160"),)),
        (
            ranged(STUDY_TIME, "0030"),
            (0, -300),
            (Match(STUDY_TIME, MatchKind.MULTIPLE_VALUES, ("0030-003060", "1830-183060", "2330-233060")),),
        ),
        (
            ranged(STUDY_TIME, "2330-"),
            (90,),
            (Match(STUDY_TIME, MatchKind.MULTIPLE_VALUES, ("0000-002960", "2330-235960")),),
        ),
        (
            Match(STUDY_TIME, MatchKind.MULTIPLE_VALUES, ("08", "10-11")),
            (60, 120),
            (ranged(STUDY_TIME, "0800-125960"),),
        ),
        (ranged(STUDY_TIME, "00-23"), (0,), ()),
        (ranged(STUDY_TIME, "noon"), (0,), ()),
        (Match(STUDY_TIME, MatchKind.MULTIPLE_VALUES, ("08", "noon")), (0,), ()),
    ],
)
def test_where_all_zones_are_known_a_time_is_the_same_minutes_in_each(
    asked: Match, zones: tuple[int, ...], wide: tuple[Match, ...]
) -> None:
    """Asked for in a zone an hour east of Greenwich."""
    assert widened(Query(Level.STUDY, (asked,)), distances_to("+0100", zones)).matches == wide


def test_a_time_that_is_joined_with_its_date_is_looked_for_by_the_date_alone() -> None:
    asked = (ranged(STUDY_DATE, "20200101-20200101"), ranged(STUDY_TIME, "10-11"))
    wide = widened(Query(Level.STUDY, asked, combined_date_time=True), distances_to("+0100", (0,)))
    assert wide.matches == (ranged(STUDY_DATE, "20191230-20200103"),)


@given(days, clocks, st.none() | offsets, offsets, st.sampled_from(["{0}", "{0}-", "-{0}"]), st.booleans())
def test_whatever_a_zone_picks_was_found_by_the_wider_query(
    day: str, clock: str, own: str | None, asked_in: str, form: str, combined: bool
) -> None:
    row = a_row(day, clock, own)
    there = moved(row, minutes(asked_in) or 0)
    asked = tuple(
        ranged(tag, form.format(*of(there, key))) for tag, key in ((STUDY_DATE, "00080020"), (STUDY_TIME, "00080030"))
    )
    query = Query(Level.STUDY, asked, combined_date_time=combined)
    assert list(zone_of(query, asked_in).pick([row])) == [there]
    assert matches(row, widened(query))
    assert matches(row, widened(query, distances_to(asked_in, [] if own is None else [minutes(own) or 0])))


@given(clocks, st.none() | offsets, offsets, st.sampled_from(["{0}", "{0}-", "-{0}"]))
def test_a_time_alone_is_found_in_whatever_zone_it_is_told(
    clock: str, own: str | None, asked_in: str, form: str
) -> None:
    row = a_row("20200101", clock, own)
    there = moved(row, minutes(asked_in) or 0)
    query = Query(Level.STUDY, (ranged(STUDY_TIME, form.format(*of(there, "00080030"))),))
    assert list(zone_of(query, asked_in).pick([row])) == [there]
    assert matches(row, widened(query, distances_to(asked_in, [] if own is None else [minutes(own) or 0])))


@given(days, clocks, offsets, offsets)
def test_a_moment_that_is_moved_and_back_is_the_same(day: str, clock: str, here: str, there: str) -> None:
    row = a_row(day, clock, here)
    away = moved(row, minutes(there) or 0) | a_row(offset=there)
    back = moved(away, minutes(here) or 0)
    assert of(back, "00080020", "00080030") == (day, clock) or day[:4] in {"0001", "9999"}
