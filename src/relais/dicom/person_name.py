"""Person names (PS3.5 6.2.1): component groups, folding and fuzzy words. Knows one name, not queries or tables.

1. A name has up to three component groups, alphabetic, ideographic and phonetic, divided by "=".
2. Folding makes names comparable without regard to case and accents; it is idempotent. Only marks that are accents go:
   the voicing marks of kana and the vowel signs of Thai and of Indian scripts make other letters, not other spellings.
3. Names with the same keys are the same name to every search.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import product

JSON_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")  # PS3.18 F.2.2

_LETTERS = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
    | dict.fromkeys("’‘ʼ", "'")
    | dict.fromkeys("‐–—", "-")
)
MAX_LENGTH = 1024  # characters of a name that compare; the standard allows 3 x 64 (PS3.5 6.2)

_SPACES = re.compile(r"\s+")
_AROUND_CARET = re.compile(r" *\^ *")
_ACCENT_CLASSES = frozenset((1, *range(10, 37), *range(200, 241)))  # canonical combining classes of accents and points


def groups(text: str) -> tuple[str, str, str]:
    """The alphabetic, ideographic and phonetic group; "" for one that is missing. A fourth "=" is part of the third."""
    parts = [part.strip(" \0") for part in text.split("=", 2)]
    return (parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else "")


def from_json(value: dict[str, str]) -> str:
    """One PN of the DICOM JSON model as `Alphabetic=Ideographic=Phonetic`, without the "=" before missing groups."""
    found = [value.get(group) or "" for group in JSON_GROUPS]
    while found and not found[-1]:
        found.pop()
    return "=".join(found)


def to_json(text: str) -> dict[str, str] | None:
    """One PN in the DICOM JSON model, only the groups that are there; None for an empty name (PS3.18 F.2.2)."""
    return {name: group for name, group in zip(JSON_GROUPS, groups(text), strict=True) if group} or None


def fold(text: str) -> str:
    """*text* without case, accents and ligatures, in the composed form; white space as single spaces."""
    if text.isascii():
        return _SPACES.sub(" ", text.casefold())
    previous = None
    while text != previous:  # a letter may fold into one that folds again
        previous = text
        bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not _is_accent(letter))
        text = unicodedata.normalize("NFKC", bare.casefold().translate(_LETTERS))
    return _SPACES.sub(" ", text)


def _is_accent(letter: str) -> bool:
    return unicodedata.combining(letter) in _ACCENT_CLASSES


def keys(text: str) -> tuple[str, str, str]:
    """The three groups folded, spaces around "^" and trailing "^" dropped: trailing null components mean nothing."""
    return _keys(text[:MAX_LENGTH])


@lru_cache(maxsize=4096)
def _keys(text: str) -> tuple[str, str, str]:
    alphabetic, ideographic, phonetic = groups(text.replace("\0", ""))
    return _key(alphabetic), _key(ideographic), _key(phonetic)


def _key(group: str) -> str:
    return _AROUND_CARET.sub("^", fold(group)).strip(" ").rstrip("^ ")


def patterns(text: str) -> tuple[str, ...]:
    """The wild card patterns that *text* stands for, where components and groups of a name may be left out.

    A name that is written `A` is the same as `A^`, `A^^^^` and `A==` (PS3.5 6.2.1.1), which `A^*`, `A*^*` and `A=*`
    match: a group of nothing but "*" asks for nothing.
    """
    groups = [group if group.strip("* ") else "" for group in text.split("=", 2)]
    if not any(groups) and "*" in text:
        return ("*",)
    return tuple("=".join(found) for found in product(*map(_group_patterns, groups)))


def _group_patterns(group: str) -> tuple[str, ...]:
    rest = group.rstrip("*^ ")
    before, star, behind = group[len(rest) :].partition("*")
    if not (rest and star and "^" in before + behind):
        return (group,)
    return (f"{rest}{before}*", rest) if "^" in before else (f"{rest}*",)


def words(text: str) -> tuple[str, ...]:
    """The distinct folded words of all groups, sorted. A word is a run of letters, marks and digits."""
    folded = " ".join(keys(text))
    spaced = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in folded)
    return tuple(sorted(set(spaced.split())))


def word_key(text: str) -> str:
    """All words with a space before each, so that ` ` + prefix occurs in it exactly if some word begins so."""
    return "".join(f" {word}" for word in words(text))


def is_like(key: str, name: str) -> bool:
    """Fuzzy matching: whether every word of *key* begins a word of *name*, in any order and any group.

    A key without any word is like no name.
    """
    found = word_key(name)
    wanted = words(key)
    return bool(wanted) and all(f" {word}" in found for word in wanted)
