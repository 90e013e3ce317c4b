"""PS3.3 C.12.1.1.2 and PS3.5 6.1.2: every character set, declared well or badly."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, encode_string

from relais.dicom.charset import UTF_8, can_encode, decode, encode

# PS3.5 H.3.1, H.3.2, I.2, J.3, J.4, K.2, and the single-byte sets of PS3.3 table C.12-2.
NAMES = [
    ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    ("ISO_IR 101", b"Wa\xb3\xeasa", "Wałęsa"),
    ("ISO_IR 109", b"\xa6a\xfd", "Ĥaŭ"),
    ("ISO_IR 110", b"K\xf3l\xe0s", "Kķlās"),
    ("ISO_IR 144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
    ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
    ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    ("ISO_IR 148", b"\xddst\xe2nb\xfbl^\xf0\xfe", "İstânbûl^ğş"),
    ("ISO_IR 203", b"\xbcuvre \xa4", "Œuvre €"),
    ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("ISO_IR 166", b"\xca\xc1\xaa\xd2\xc2", "สมชาย"),
    ("ISO_IR 192", b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1=", "Wang^XiaoDong=王^小東="),
    ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    ("GBK", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (["", "ISO 2022 IR 159"], b"\x1b$(D0!\x1b(B^x", "丂^x"),
    (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
    (["ISO 2022 IR 6", "ISO 2022 IR 100"], b"Buc^J\x1b-A\xe9r\xf4me", "Buc^Jérôme"),
    (["ISO 2022 IR 100", "ISO 2022 IR 144"], b"J\xe9^\x1b-L\xbb\xee\xda=J\xe9", "Jé^Люк=Jé"),
    (["ISO 2022 IR 100", "ISO 2022 IR 126", "ISO 2022 IR 138"], b"\x1b-F\xc4\xe9\x1b-H\xf9\xf8\x1b-A\xe9", "Διשרé"),
    (["", "ISO 2022 IR 203"], b"\x1b-b\xbc", "Œ"),
]


@pytest.mark.parametrize(("declared", "encoded", "name"), NAMES)
def test_a_name_is_decoded_from_every_character_set(declared: str | list[str], encoded: bytes, name: str) -> None:
    assert decode(encoded, declared, "PN") == name


def test_lines_of_a_text_begin_with_the_initial_sets() -> None:
    """PS3.5 K.3"""
    line = b"1) \x1b$)A\xb5\xda\xd2\xbb\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n"
    assert decode(line * 2, ["", "ISO 2022 IR 58"], "LT") == "1) 第一行文字。\r\n" * 2


def test_values_begin_with_the_initial_sets() -> None:
    """PS3.5 6.1.2.5.3"""
    assert decode(b"\x1b-L\xbb\\\xe9", ["ISO 2022 IR 100", "ISO 2022 IR 144"], "LO") == "Л\\é"


def test_only_a_person_name_ends_escape_sequences_at_its_own_delimiters() -> None:
    """PS3.5 6.1.2.5.3"""
    declared = ["ISO 2022 IR 100", "ISO 2022 IR 144"]
    assert decode(b"\x1b-L\xbb^\xe9", declared, "PN") == "Л^é"
    assert decode(b"\x1b-L\xbb^\xe9", declared, "LO") == "Л^щ"


@pytest.mark.parametrize(
    "declared", [None, "", [], [""], ["ISO_IR 6"], ["ISO 2022 IR 6"], ["FOO"], ["", "BAR"], "ISO_IR 9"]
)
def test_undeclared_bytes_are_utf_8_if_they_can_be_and_else_latin_1(declared: str | list[str] | None) -> None:
    assert decode("Müller".encode(), declared) == "Müller"
    assert decode("Müller".encode("latin_1"), declared) == "Müller"


@pytest.mark.parametrize(
    "declared",
    [
        "ISO_IR 100",
        "iso_ir 100",
        "ISO-IR 100",
        "ISO IR 100",
        "ISO_IR_100",
        "ISO 2022 IR 100",
        "ISO_2022_IR_100",
        " ISO_IR 100\0",
    ],
)
def test_a_term_is_known_in_the_spellings_of_careless_senders(declared: str) -> None:
    assert decode(b"\xe9", declared) == "é"
    assert decode(b"\xe9", [declared]) == "é"


@pytest.mark.parametrize("declared", ["ISO_IR 192", "UTF-8", "utf8", "ISO 2022 IR 192", "ISO_IR 192\\ISO 2022 IR 100"])
def test_utf_8_is_known_in_the_spellings_of_careless_senders(declared: str) -> None:
    assert decode("é山".encode(), declared) == "é山"


def test_gbk_is_known_with_and_without_its_prefix() -> None:
    assert decode("王".encode("gbk"), "ISO 2022 GBK") == "王"


def test_shift_jis_under_the_term_for_katakana_is_read() -> None:
    assert decode("山田ﾔﾏ".encode("shift_jis"), "ISO_IR 13") == "山田ﾔﾏ"


def test_escape_sequences_are_followed_where_none_was_declared() -> None:
    assert decode(b"\x1b$B;3ED\x1b(B^x", "ISO_IR 100", "PN") == "山田^x"
    assert decode(b"\x1b$)C\xfb\xf3^\xd1\xce", None, "PN") == "洪^吉"


def test_an_unknown_escape_sequence_is_dropped() -> None:
    assert decode(b"a\x1b$Zb\x1b(Zc\x1bd", "ISO_IR 100") == "abc\x1bd"


def test_a_control_character_ends_a_set_of_two_bytes() -> None:
    assert decode(b"\x1b$B;3\r\nab", ["", "ISO 2022 IR 87"], "LT") == "山\r\nab"


def test_bytes_with_the_eighth_bit_are_in_the_other_set_beside_one_of_two_bytes() -> None:
    """PS3.5 6.1.2.5.1"""
    assert decode(b"\x1b$B;3\xcf;3\x1b(J", ["ISO 2022 IR 13", "ISO 2022 IR 87"]) == "山ﾏ山"


def test_what_a_declared_set_cannot_decode_is_replaced() -> None:
    assert decode(b"M\xfcller", "ISO_IR 192") == "M\ufffdller"
    assert decode(b"\xff\xe9", "ISO_IR 138") == "\ufffdי"
    assert "\ufffd" in decode(b"\x1b$B;\x1b(B", ["", "ISO 2022 IR 87"])


def test_a_trail_byte_that_looks_like_a_backslash_is_part_of_its_character() -> None:
    assert decode("珅".encode("gbk"), "GBK") == "珅"
    assert b"\\" in "ソ".encode("shift_jis")
    assert decode("ソ".encode("shift_jis"), "ISO_IR 13") == "ソ"


TERMS = [declared for declared, _, _ in NAMES] + [None, "", "FOO", ["ISO_IR 192", "x"], "\\ISO 2022 IR 87"]


@given(st.binary(max_size=40), st.sampled_from(TERMS), st.sampled_from(["PN", "LO", "LT"]))
@example(b"\x1b", None, "PN")
@example(b"\x1b$B\x1b$B", ["", "ISO 2022 IR 87"], "PN")
def test_nothing_that_arrives_can_fail(value: bytes, declared: str | list[str] | None, vr: str) -> None:
    assert isinstance(decode(value, declared, vr), str)


EXTENDED = [  # not ISO 2022 IR 58, for which pydicom writes no escape sequence
    (["", "ISO 2022 IR 87"], "aZ 山田太郎やまだヤ"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "aZﾔﾏ山田やまだ"),
    (["", "ISO 2022 IR 149"], "aZ 洪吉洞홍길동"),
    (["ISO 2022 IR 100", "ISO 2022 IR 144"], "aZ éüÄЛюкм"),
    (["", "ISO 2022 IR 126", "ISO 2022 IR 127", "ISO 2022 IR 138", "ISO 2022 IR 148"], "aΔιقبשרğş"),
]


@given(st.sampled_from(EXTENDED).flatmap(lambda one: st.tuples(st.just(one[0]), st.text(one[1], max_size=12))))
def test_code_extensions_are_decoded_as_another_implementation_encodes_them(case: tuple[list[str], str]) -> None:
    declared, text = case
    assert decode(encode_string(text, convert_encodings(declared)), declared) == text


@pytest.mark.parametrize(("declared", "encoded", "name"), [case for case in NAMES if isinstance(case[0], str)])
def test_a_set_without_code_extensions_encodes_what_it_decodes(declared: str, encoded: bytes, name: str) -> None:
    if declared in ("ISO_IR 13", "ISO_IR 203"):  # read, never written
        assert not can_encode(name, declared)
    else:
        assert encode(name, declared) == encoded


@given(st.text(), st.sampled_from(["", "ISO_IR 6", "ISO_IR 100", "ISO_IR 144", UTF_8, "GB18030", "GBK"]))
def test_what_can_be_encoded_is_decoded_again(text: str, declared: str) -> None:
    if can_encode(text, declared):
        assert decode(encode(text, declared), declared) == text


@pytest.mark.parametrize(
    "declared", [None, "", "FOO", ["", "ISO 2022 IR 87"], "ISO_IR 100\\ISO 2022 IR 87", "ISO_IR 144"]
)
def test_a_character_that_a_set_has_not_is_never_lost(declared: str | list[str] | None) -> None:
    assert can_encode("plain", declared)
    assert not can_encode("é", declared)
    with pytest.raises(UnicodeEncodeError):
        encode("é", declared)
