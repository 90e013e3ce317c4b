"""Person names of keys that the site declared: their rows in study_key and series_key. Knows these tables, no plans.

A name has a row for each of its groups, folded, and one for each of its words. The number of an item says which name of
the attribute it belongs to, and which group it is (0 to 2) or that it is a word.
"""

from collections.abc import Iterable, Iterator

from relais.dicom import person_name
from relais.dicom.query import Match, MatchKind
from relais.index.columns import storable
from relais.index.dialect import glob
from relais.index.fragments import FALSE, Fragment, all_of, any_of, fill

START = 64  # letters of a value that the index holds
LAST_LETTER = "\U0010ffff"
_WORD, _WIDTH = 3, 4


def rows(texts: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Item and value of every row that the names *texts* have."""
    for place, text in enumerate(texts):
        for group, key in enumerate(person_name.keys(text)):
            if key:
                yield _WIDTH * place + group, storable(key)
        for word in person_name.words(text):
            yield _WIDTH * place + _WORD, storable(word)


def condition(table: str, match: Match, fuzzy: bool) -> Fragment:
    """A row k of *table*, one of whose names satisfies *match*, which has one value (see dicom.matching)."""
    text = match.values[0]
    plain = _of_groups(table, match) if "=" in text else _of_any_group(match)
    return any_of([plain, _like(table, text)]) if fuzzy else plain


def _of_any_group(match: Match) -> Fragment:
    wanted = person_name.keys(match.values[0])[0]
    return all_of([Fragment(f"k.item % {_WIDTH} < {_WORD}"), _says("k", wanted, match.kind)]) if wanted else FALSE


def _of_groups(table: str, match: Match) -> Fragment:
    """One row for each group that is named, all of the same name."""
    asked = [(group, key) for group, key in enumerate(person_name.keys(match.values[0])) if key]
    if not asked:
        return FALSE
    (first, key), rest = asked[0], asked[1:]
    others = [_beside(table, group - first, _says("j", wanted, match.kind)) for group, wanted in rest]
    return all_of([Fragment(f"k.item % {_WIDTH} = {first}"), _says("k", key, match.kind), *others])


def _like(table: str, text: str) -> Fragment:
    """One row for each word that is asked for, which it begins, all of the same name."""
    words = person_name.words(text)
    if not words:
        return FALSE
    others = [_beside(table, 0, _begins("j", word)) for word in words[1:]]
    return all_of([Fragment(f"k.item % {_WIDTH} = {_WORD}"), _begins("k", words[0]), *others])


def _beside(table: str, step: int, wanted: Fragment) -> Fragment:
    """Another row of the name of k, whose item is *step* farther."""
    place = Fragment(f"j.row_fk = k.row_fk AND j.tag = k.tag AND j.item = k.item + {step}")
    return fill("EXISTS (SELECT 1 FROM {} AS j WHERE {} AND {})", table, place, wanted)


def _says(alias: str, wanted: str, kind: MatchKind) -> Fragment:
    wanted = storable(wanted)
    if kind is not MatchKind.WILD_CARD:
        return Fragment(f"{alias}.start = ? AND {alias}.value = ?", (wanted[:START], wanted))
    ends = [wanted.find(letter) for letter in "*?" if letter in wanted]
    prefix = wanted[: min(ends)] if ends else wanted
    return all_of([*([_begins(alias, prefix)] if prefix else []), glob(f"{alias}.value", wanted)])


def _begins(alias: str, prefix: str) -> Fragment:
    start, prefix = prefix[:START], storable(prefix)
    sql = f"{alias}.start >= ? AND {alias}.start < ? AND {alias}.value >= ? AND {alias}.value < ?"
    return Fragment(sql, (start, start + LAST_LETTER, prefix, prefix + LAST_LETTER))
