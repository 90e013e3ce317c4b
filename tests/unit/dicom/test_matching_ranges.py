"""PS3.4 C.2.2.2.5: what lies within a range of dates and times."""

import pytest

from fixtures.keys import asks, element, fits, tag
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import DateTimeRange, combine, match_one, matches
from relais.dicom.query import Match, MatchKind, Query

RANGE = MatchKind.RANGE


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


@pytest.mark.parametrize(
    "days", [("20060701-20060706", "20060705-20060710"), ("20060705-20060710", "20060701-20060706")]
)
def test_every_one_of_several_date_ranges_counts_beside_a_time_range(days: tuple[str, str]) -> None:
    """PS3.4 C.2.2.2.8, C.2.2.2.5.4"""
    conditions = (*(asks("StudyDate", day) for day in days), asks("StudyTime", "10-11"))
    found = [
        day
        for day in ("20060704", "20060705", "20060706", "20060707")
        if matches(at(day, "1030"), Query(Level.STUDY, conditions, combined_date_time=True))
    ]
    assert found == ["20060705", "20060706"]
