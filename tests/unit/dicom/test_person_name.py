"""PS3.5 6.2.1 and PS3.4 C.2.2.2.1: names that are the same to a search."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fixtures.strategies import LETTERS, NAMES
from relais.dicom import person_name
from relais.dicom.person_name import fold, from_json, groups, is_like, keys, to_json, word_key, words

ANY_NAME = st.sampled_from(NAMES) | st.text(LETTERS) | st.text()


def test_a_name_has_up_to_three_groups() -> None:
    assert groups("Yamada^Tarou=山田^太郎=やまだ^たろう") == ("Yamada^Tarou", "山田^太郎", "やまだ^たろう")
    assert groups("SURYA") == ("SURYA", "", "")
    assert groups("=王^小东") == ("", "王^小东", "")
    assert groups("A =B= C=D ") == ("A", "B", "C=D")


def test_a_name_in_json_has_only_the_groups_that_are_there() -> None:
    """PS3.18 F.2.2"""
    assert to_json("Wang^XiaoDong=王^小东") == {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}
    assert to_json("==x") == {"Phonetic": "x"}
    assert to_json(" ") is None
    assert to_json("==") is None
    assert from_json({"Phonetic": "x"}) == "==x"
    assert from_json({"Alphabetic": "A", "Ideographic": ""}) == "A"
    assert from_json({}) == ""


@given(ANY_NAME)
def test_a_name_survives_json(name: str) -> None:
    once = to_json(name)
    assert once is None or to_json(from_json(once)) == once


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LEFÈBVRE^Zoé", "Lefebvre^ZOE"),
        ("Œuvrard", "OEUVRARD"),
        ("Ærø", "aero"),
        ("Strauß", "STRAUSS"),
        ("Łódź", "lodz"),
        ("Jean–Noël", "jean-noel"),
        ("D’Été", "d'ete"),
        ("ﾔﾏﾀﾞ", "ヤマダ"),
        ("Ａｂｃ", "abc"),
        ("Σίσυφος", "ΣΙΣΥΦΟΣ"),
        ("İstanbul", "istanbul"),
        ("Ёлка", "елка"),
        ("é", "e\u0301"),
        ("A  B\tC", "a b c"),
    ],
)
def test_case_accents_ligatures_and_width_do_not_make_another_name(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("か", "が"), ("は", "ぱ"), ("กิ", "กี"), ("क", "कि"), ("Müller", "Mueller")])
def test_letters_that_only_look_marked_stay_other_letters(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_folding_is_idempotent_for_every_character() -> None:
    for letter in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(letter) not in ("Cn", "Co", "Cs"):
            folded = fold(letter)
            assert folded == letter or fold(folded) == folded, hex(ord(letter))


@given(st.text())
@example("e\u0301\u0301*")
@example("*\u3099")
def test_folding_is_idempotent(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.text(), st.sampled_from("*?"))
def test_folding_leaves_wild_cards_where_they_are(before: str, after: str, wild: str) -> None:
    assert fold(before + wild + after) == fold(before) + wild + fold(after)


def test_keys_drop_what_means_nothing() -> None:
    assert keys("DOE ^ John ^^^ ") == ("doe^john", "", "")
    assert keys("DOE^^J") == ("doe^^j", "", "")
    assert keys("^^") == ("", "", "")
    assert keys("A\0B") == ("ab", "", "")
    assert keys("=山田^太郎=やまだ^たろう") == ("", "山田^太郎", "やまだ^たろう")


@given(ANY_NAME)
def test_keys_of_keys_are_the_same(name: str) -> None:
    once = keys(name)
    if "=" not in "".join(once):  # a group may hold a folded "＝"
        assert keys("=".join(once)) == once


def test_only_the_beginning_of_an_endless_name_compares() -> None:
    assert keys("A" * person_name.MAX_LENGTH + "B") == keys("A" * person_name.MAX_LENGTH)


def test_words_are_runs_of_letters_marks_and_digits_of_all_groups() -> None:
    assert words("D'ÉTÉ-Noël^Zoé 2=山田") == ("2", "d", "ete", "noel", "zoe", "山田")
    assert words("กี^กี") == ("กี",)
    assert words("^-'") == ()
    assert word_key("B^A") == " a b"
    assert word_key("") == ""


@given(ANY_NAME)
def test_no_word_contains_a_separator(name: str) -> None:
    for word in words(name):
        assert word.strip() == word != ""
        assert all(unicodedata.category(letter)[0] in "LMN" for letter in word)


@pytest.mark.parametrize("wanted", ["zoe lefeb", "LEF", "Zoé^Lefèbvre", "*lef*", "z l"])
def test_fuzzy_matching_wants_every_word_to_begin_some_word(wanted: str) -> None:
    assert is_like(wanted, "LEFÈBVRE^Zoé")


@pytest.mark.parametrize("wanted", ["efebvre", "zoe martin", "", "*", "^"])
def test_fuzzy_matching_wants_the_beginning_of_words_and_at_least_one(wanted: str) -> None:
    assert not is_like(wanted, "LEFÈBVRE^Zoé")


def test_fuzzy_matching_reaches_every_group() -> None:
    assert is_like("太郎 yam", "Yamada^Tarou=山田^太郎=やまだ^たろう")
