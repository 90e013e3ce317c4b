"""PS3.4 C.2.2.2.1: names match without regard to case and accents, by any of their groups, or by words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.keys import element, fits, name, tag
from fixtures.strategies import LETTERS
from relais.dicom.matching import match_one, texts
from relais.dicom.query import Match, MatchKind

SINGLE, WILD = MatchKind.SINGLE_VALUE, MatchKind.WILD_CARD


@pytest.mark.parametrize("raw", ["lefebvre^zoe", "LEFÈBVRE^ZOÉ^^^", "LEF*", "*^zoé", "lef?bvre^*", " lefèbvre ^ zoe "])
def test_names_match_without_regard_to_case_and_accents(raw: str) -> None:
    assert fits("PatientName", raw, name("LEFÈBVRE^Zoé"))


@pytest.mark.parametrize("raw", ["lefebvre", "zoe^lefebvre", "*x*", "lef?^*"])
def test_names_match_as_a_whole(raw: str) -> None:
    assert not fits("PatientName", raw, name("LEFÈBVRE^Zoé"))


@pytest.mark.parametrize("raw", ["smith^*", "SMITH*^*", "smi*^^*", "s?ith^*^*", "smith ^ *", "smith^*\\jones^*"])
@pytest.mark.parametrize("stored", ["SMITH", "SMITH^", "Smith^^^^"])
def test_components_at_the_end_of_a_name_may_be_left_out_where_a_pattern_asks_for_any(raw: str, stored: str) -> None:
    assert fits("PatientName", raw, name(stored))
    assert fits("PatientName", f"{raw.partition(chr(92))[0]}=山田^*", name(f"{stored}=山田"))


@pytest.mark.parametrize("raw", ["smit^*", "smith^^*", "smith^?*", "*^*", "^*", "smith^*^x"])
def test_a_pattern_still_asks_for_the_components_that_it_names(raw: str) -> None:
    assert not fits("PatientName", raw, name("SMITH^" if "^^" not in raw else "SMITH^JOHN"))


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
    assert not fits("PatientName", "surya=?*", name("SURYA"))
    assert not match_one(element("PatientName", name("SURYA")), Match(tag("PatientName"), SINGLE, ("=",)))
    assert not match_one(element("PatientName", name("SURYA")), Match(tag("PatientName"), SINGLE, ("^",)))


@pytest.mark.parametrize("raw", ["surya=*", "surya=*=*", "*=*", "=*", "==*", "sur*==*", "*=", "surya*^*=*"])
def test_a_group_of_nothing_but_a_star_need_not_be_there(raw: str) -> None:
    """A star matches a value of no length, too (PS3.4 C.2.2.2.4)."""
    assert fits("PatientName", raw, name("SURYA"))


@pytest.mark.parametrize("raw", ["*=*", "=*", "*"])
def test_nothing_but_stars_matches_no_name_at_all_too(raw: str) -> None:
    assert match_one(None, Match(tag("PatientName"), WILD, (raw,)))


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
