"""Values as people read them."""

from datetime import UTC, datetime

import pytest

from relais.ui import show

NOW = datetime(2024, 6, 12, 14, 0, tzinfo=UTC)


def json(tag: str, vr: str, *values: object) -> dict[str, dict[str, object]]:
    return {tag: {"vr": vr, "Value": list(values)}}


def test_a_name_reads_family_first_then_the_rest() -> None:
    name = show.name(json("00100010", "PN", {"Alphabetic": "MARCHAND^Sophie^Anne^Dr^fils"}), "PatientName")
    assert (name.family, name.rest) == ("MARCHAND", "Dr Sophie Anne fils")
    assert str(name) == "MARCHAND Dr Sophie Anne fils"


def test_a_japanese_name_keeps_its_other_scripts() -> None:
    value = {"Alphabetic": "Tanaka^Yuki", "Ideographic": "田中^由紀", "Phonetic": "たなか^ゆき"}
    assert show.name(json("00100010", "PN", value), "PatientName").others == ("田中 由紀", "たなか ゆき")


def test_a_missing_name_is_empty_not_an_error() -> None:
    assert str(show.name({}, "PatientName")) == ""


@pytest.mark.parametrize(("value", "shown"), [("20240612", "12 Jun 2024"), ("2024.06.12", "12 Jun 2024")])
def test_a_date_is_shown_with_its_month_in_letters(value: str, shown: str) -> None:
    assert show.day(value) == shown


@pytest.mark.parametrize("value", ["20241301", "2024", "<script>", ""])
def test_what_is_no_date_is_shown_as_it_is(value: str) -> None:
    assert show.day(value) == value


def test_times_are_shown_to_the_minute() -> None:
    assert show.clock("104530.123") == "10:45"
    assert show.clock("noon") == "noon"


@pytest.mark.parametrize(
    ("birth", "at", "age"),
    [
        ("19580314", "20240313", "65 y"),
        ("19580314", "20240314", "66 y"),
        ("20231101", "20240612", "7 mo"),
        ("20240701", "20240612", ""),
        ("", "20240612", ""),
        ("19580314", "", ""),
    ],
)
def test_age_counts_whole_years_and_months_of_the_very_young(birth: str, at: str, age: str) -> None:
    assert show.age(birth, at) == age


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(None, ""), (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (5_320_000, "5.3 MB"), (999_600, "1.0 MB"),
     (83 * 10**9, "83 GB"), (10**19, "10000 PB")],
)  # fmt: skip
def test_sizes_have_two_figures_that_mean_something(size_bytes: int | None, shown: str) -> None:
    assert show.size(size_bytes) == shown


def test_counts_are_grouped_and_agree_with_their_word() -> None:
    assert show.plural(1, "image") == "1 image"
    assert show.plural(98312, "study", "studies") == "98\u202f312 studies"


@pytest.mark.parametrize(
    ("before_s", "shown"),
    [(5, "just now"), (600, "10 min ago"), (3 * 3600, "today 11:00"), (20 * 86400, "23 May 14:00"),
     (400 * 86400, "9 May 2023")],
)  # fmt: skip
def test_moments_get_coarser_with_distance(before_s: int, shown: str) -> None:
    assert show.moment(NOW.timestamp() - before_s, NOW) == shown


def test_no_moment_is_nothing() -> None:
    assert show.moment(None, NOW) == ""


def test_a_number_that_is_none_is_none() -> None:
    assert show.number(json("00201208", "IS", 12), "NumberOfStudyRelatedInstances") == 12
    assert show.number(json("00201208", "IS", "many"), "NumberOfStudyRelatedInstances") is None
    assert show.number({}, "NumberOfStudyRelatedInstances") is None


def test_sex_is_a_word() -> None:
    assert [show.sex(value) for value in ("F", "M", "O", "X")] == ["female", "male", "other", "X"]
