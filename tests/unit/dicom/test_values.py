"""PS3.5 6.2 and PS3.4 C.2.2.2.5: dates, times, date-times and numbers as keys."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom import values
from relais.dicom.values import (
    date_key,
    date_time_interval,
    date_time_key,
    interval,
    key,
    number_key,
    split_range,
    text_key,
    time_interval,
    time_key,
)


@pytest.mark.parametrize("text", ["20240229", "2024.02.29", "20240229 ", " 20240229", "20240229\0"])
def test_a_date_is_known_in_old_and_new_form_and_whatever_its_padding(text: str) -> None:
    assert date_key(text) == 20240229


@pytest.mark.parametrize(
    "text",
    ["", "20240230", "20241301", "00000000", "2024", "202402", "2024.0229", "2024-02-29", "２０２４０２２９", "x"],
)
def test_what_is_no_day_of_the_calendar_has_no_key(text: str) -> None:
    assert date_key(text) is None


@given(st.dates(), st.dates())
def test_dates_sort_as_their_keys(one: date, other: date) -> None:
    keys = [date_key(f"{day.year:04d}{day.month:02d}{day.day:02d}") for day in (one, other)]
    assert None not in keys
    assert (keys[0] < keys[1]) == (one < other)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10", "100000000000", "105959999999"),
        ("1030", "103000000000", "103059999999"),
        ("103015", "103015000000", "103015999999"),
        ("103015.5", "103015500000", "103015599999"),
        ("103015.123456", "103015123456", "103015123456"),
        ("103015.1234567", "103015123456", "103015123456"),
        ("103015.", "103015000000", "103015999999"),
        ("10:30:15.25", "103015250000", "103015259999"),
        ("10:30", "103000000000", "103059999999"),
        ("235960", "235960000000", "235960999999"),
        ("1030 ", "103000000000", "103059999999"),
    ],
)
def test_a_time_is_the_interval_that_it_names(text: str, first: str, last: str) -> None:
    assert time_interval(text) == (first, last)
    assert time_key(text) == first


@pytest.mark.parametrize("text", ["", "1", "103", "24", "1060", "103061", "10:3015", "103015,5", "1030.5", "x", "-10"])
def test_what_is_no_time_has_no_key(text: str) -> None:
    assert time_interval(text) is None
    assert time_key(text) is None


@given(st.times(), st.times())
def test_times_sort_as_their_keys(one: time, other: time) -> None:
    keys = [time_key(f"{moment:%H%M%S.%f}") for moment in (one, other)]
    assert None not in keys
    assert (keys[0] < keys[1]) == (one < other)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", "20240101000000000000", "20241231235959999999"),
        ("202402", "20240201000000000000", "20240229235959999999"),
        ("20240229", "20240229000000000000", "20240229235959999999"),
        ("2024022910", "20240229100000000000", "20240229105959999999"),
        ("20240229103015.5", "20240229103015500000", "20240229103015599999"),
        ("20240229103015.5+0130", "20240229090015500000", "20240229090015599999"),
        ("20240229233015-0500", "20240301043015000000", "20240301043015999999"),
        ("20240229235960", "20240229235960000000", "20240229235960999999"),
        ("0001", "00010101000000000000", "00011231235959999999"),
    ],
)
def test_a_date_time_is_the_interval_that_it_names_in_utc(text: str, first: str, last: str) -> None:
    assert date_time_interval(text) == (first, last)
    assert date_time_key(text) == first


@pytest.mark.parametrize(
    "text",
    [
        "",
        "202",
        "20241",
        "202413",
        "20240230",
        "2024022924",
        "20240229103061",
        "2024+1500",
        "2024+0160",
        "0001+0100",
        "9999-1200",
        "2024+01",
        "x",
    ],
)
def test_what_is_no_date_time_has_no_key(text: str) -> None:
    assert date_time_interval(text) is None
    assert date_time_key(text) is None


MOMENTS = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@given(MOMENTS)
def test_a_moment_has_the_same_key_in_every_time_zone(moment: datetime) -> None:
    written = [f"{one.year:04d}{one:%m%d%H%M%S.%f%z}" for one in (moment, moment.astimezone(UTC))]
    assert date_time_key(written[0]) == date_time_key(written[1]) is not None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("007", 7),
        ("+7", 7),
        ("-7", -7),
        (" 7 ", 7),
        ("7.0", 7),
        ("7.", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e2", 100),
        ("1.5E-1", 0.15),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", float(2**63)),
        ("-0", 0),
    ],
)
def test_a_number_is_known_in_every_notation(text: str, number: float) -> None:
    assert number_key(text) == number
    assert type(number_key(text)) is type(number)


@pytest.mark.parametrize("text", ["", "x", "1_000", "١", "nan", "inf", "1e999", "0x10", "1 2", "--1", ".", "1" * 65])
def test_what_is_no_finite_number_has_no_key(text: str) -> None:
    assert number_key(text) is None


@given(st.integers())
def test_every_number_key_fits_a_column_of_64_bits_or_of_floating_point(number: int) -> None:
    found = number_key(str(number))
    assert found is None or isinstance(found, float) or -(2**63) <= found < 2**63


def test_a_text_loses_its_padding_and_nothing_else() -> None:
    assert text_key(" a  B\0 ") == "a  B"
    assert text_key("\té") == "\té"


@pytest.mark.parametrize(
    ("vr", "text", "ends"),
    [
        ("DA", "20240101", None),
        ("DA", "20240101-20240201", ("20240101", "20240201")),
        ("DA", "20240101 - 20240201", ("20240101", "20240201")),
        ("DA", "-20240201", ("", "20240201")),
        ("DA", "20240101-", ("20240101", "")),
        ("DA", "-", ("", "")),
        ("TM", "10-11", ("10", "11")),
        ("DT", "2024", None),
        ("DT", "2020-0500", None),
        ("DT", "2020-2021", ("2020", "2021")),
        ("DT", "2020-0500-2021", ("2020-0500", "2021")),
        ("DT", "2020-0500-2021-0500", ("2020-0500", "2021-0500")),
        ("DT", "2020-2021-0500", ("2020", "2021-0500")),
        ("DT", "2020-", ("2020", "")),
        ("DT", "-2020", ("", "2020")),
        ("DT", "-2020-0500", ("", "2020-0500")),
        ("DT", "x-y", ("x", "y")),
    ],
)
def test_a_range_is_divided_at_its_hyphen_and_not_at_an_offset(
    vr: str, text: str, ends: tuple[str, str] | None
) -> None:
    """PS3.4 C.2.2.2.5"""
    assert split_range(vr, text) == ends


def test_an_interval_reaches_from_the_first_instant_of_its_start_to_the_last_of_its_end() -> None:
    """PS3.4 C.2.2.2.5"""
    assert interval("DA", "20240101", "20240201") == (20240101, 20240201)
    assert interval("TM", "10", "11") == ("100000000000", "115959999999")
    assert interval("TM", "", "11") == (None, "115959999999")
    assert interval("DT", "2024", "") == ("20240101000000000000", None)
    assert interval("DA", "", "") == (None, None)


@pytest.mark.parametrize(("low", "high"), [("x", "20240101"), ("20240101", "x"), ("x", "")])
def test_an_interval_with_an_end_that_is_none_is_none(low: str, high: str) -> None:
    assert interval("DA", low, high) is None


def test_the_key_of_a_moment_follows_its_vr() -> None:
    assert key("DA", "20240101") == 20240101
    assert key("TM", "10") == "100000000000"
    assert key("DT", "2024") == "20240101000000000000"


def test_a_tag_compares_by_the_first_of_its_vrs() -> None:
    assert values.vr_of(0x00100010) == "PN"
    assert values.vr_of(0x00280106) == "US"  # US or SS
    assert values.vr_of(0x00091001) == "UN"


def test_value_multiplicity_is_that_of_the_standard() -> None:
    assert values.is_single_valued(0x00100020)
    assert not values.is_single_valued(0x00080061)
    assert not values.is_single_valued(0x00091001)
