"""Log lines as key=value text."""

from hypothesis import given
from hypothesis import strategies as st

from relais.telemetry.line import MAX_VALUE_CHARACTERS, fields, value_text


def test_plain_words_stand_bare_and_floats_get_one_decimal() -> None:
    assert fields(service="C-STORE", status="0000", ms=3.14159, count=2) == "service=C-STORE status=0000 ms=3.1 count=2"


def test_none_is_left_out_and_empty_text_is_quoted() -> None:
    assert fields(user=None, ae="") == 'ae=""'


def test_spaces_and_quotes_are_quoted() -> None:
    assert value_text('AE "1" \\') == '"AE \\"1\\" \\\\"'


def test_long_values_are_cut() -> None:
    assert len(value_text("x" * 10_000)) <= MAX_VALUE_CHARACTERS + 5


@given(st.text())
def test_whatever_a_stranger_sends_stays_on_one_printable_line(text: str) -> None:
    line = fields(value=text)
    assert line.isprintable()
    assert line.splitlines() == [line]


@given(st.text(max_size=100))
def test_a_quoted_value_never_ends_early(text: str) -> None:
    quoted = value_text(text)
    if quoted.startswith('"'):
        inside = quoted[1:-1].replace("\\\\", "").replace('\\"', "")
        assert '"' not in inside
