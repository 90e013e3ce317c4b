"""One log line as `key=value` text. Knows how to quote what a stranger sent, not where lines go."""

import re

PLAIN = re.compile(r"[A-Za-z0-9_.:/@+*,%\-]+")  # what needs no quotes
MAX_VALUE_CHARACTERS = 256  # beyond it a value is cut and ends in three dots


def fields(**values: object) -> str:
    """`level=STUDY matches=12 ms=3.1`: in the order given, None left out, one line whatever the values hold."""
    return " ".join(f"{key}={value_text(value)}" for key, value in values.items() if value is not None)


def value_text(value: object) -> str:
    """*value* bare if it is one plain word, else quoted with quotes, backslashes and control characters escaped."""
    if type(value) is int:
        return str(value)
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    if len(text) > MAX_VALUE_CHARACTERS:
        text = text[:MAX_VALUE_CHARACTERS] + "..."
    if PLAIN.fullmatch(text):
        return text
    return '"' + one_line(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def one_line(text: str) -> str:
    """*text* with every character that could start a new line or drive a terminal escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
