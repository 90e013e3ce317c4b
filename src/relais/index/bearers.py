"""The person names that a condition names, found in their dictionary before who bears them. Knows names, no studies.

Where a condition names at most MANY_NAMES names they are listed, exactly: who bears one of them is then found, counted
and put in order by the index on names alone, without a look at the rows of studies. One that names none is FALSE.
"""

import unicodedata
from dataclasses import replace

from relais.db.database import Connection
from relais.dicom import person_name
from relais.dicom.attributes import by_tag
from relais.dicom.matching import alternatives, is_universal
from relais.dicom.query import Match, MatchKind
from relais.index import compile as sql
from relais.index.columns import storable
from relais.index.compile import Bears, Condition
from relais.index.dialect import (
    LITERAL,
    TRIGRAM,
    among,
    glob,
    letters_between_stars,
    listed,
    read,
    with_letters,
    with_trigrams,
)
from relais.index.fragments import FALSE, Fragment, fill, joined
from relais.index.ids import few

MANY_NAMES = 10_000
SAMPLE = 300  # names whose bearers are counted for those of all
MAX_WORDS = 8  # of a fuzzy name, the longest ones, are looked up
MAX_ALTERNATIVES = 50  # of a person name; for more no names are looked up


def resolved(connection: Connection, conditions: list[Condition], fuzzy: bool) -> list[Condition]:
    """*conditions* with each on a person name as a list of names, unless it names many."""
    return [_resolved(connection, condition, fuzzy) for condition in conditions]


def _resolved(connection: Connection, condition: Condition, fuzzy: bool) -> Condition:
    match = condition.match
    if match is None or match.tag not in sql.NAMES or any(is_universal(one) for one in alternatives(match)):
        return condition
    column = column_of(match)
    if match.kind is MatchKind.EMPTY_VALUE:
        return replace(condition, bears=Bears(column, condition.fragment, condition.fragment))
    ids = name_ids(connection, match, fuzzy)
    if ids is None:
        return condition
    if not ids:
        return replace(condition, fragment=FALSE)
    names = listed(ids)
    bears = _bears(column, ids, names)
    return replace(condition, fragment=among(column, names), bears=bears)


def column_of(match: Match) -> str:
    """The column of studies that a condition on a person name is about."""
    return f"s.{by_tag()[match.tag].column}"


def _bears(column: str, ids: list[int], names: Fragment) -> Bears:
    """That *column* is one of *ids*, listed as *names*; of many, some stand for all."""
    found = fill("{} IN ({})", column, names)
    if len(ids) <= SAMPLE:
        return Bears(column, found, found)
    some = ids[:: -(-len(ids) // SAMPLE)]
    return Bears(column, found, fill("{} IN ({})", column, listed(some)), len(ids) / len(some))


def name_ids(connection: Connection, match: Match, fuzzy: bool) -> list[int] | None:
    """Ids of all names that satisfy *match*; None if they are many, or much is asked."""
    if len(alternatives(match)) > MAX_ALTERNATIVES:
        return None
    candidates = name_candidates(match, fuzzy, by_words=connection.is_remote)
    ids = few(connection, joined(" UNION ALL ", candidates), MANY_NAMES) if candidates else []
    if ids is None:
        return None
    found = list(set(ids)) if len(candidates) > 1 else ids
    return found if _tells_all(match, fuzzy) else _exactly(connection, match, fuzzy, found)


def _tells_all(match: Match, fuzzy: bool) -> bool:
    """Whether candidates are just the names that satisfy *match*: one group is asked for, and all words."""
    texts = [one.values[0] for one in alternatives(match)]
    return all("=" not in text and not (fuzzy and len(person_name.words(text)) > MAX_WORDS) for text in texts)


def _exactly(connection: Connection, match: Match, fuzzy: bool, ids: list[int]) -> list[int] | None:
    wanted = sql.names(match, fuzzy)
    names = Fragment(read("person_name", "n", None))
    found = fill("SELECT n.id FROM {} WHERE n.id IN ({}) AND {}", names, listed(ids), wanted)
    return few(connection, found, MANY_NAMES)


def name_candidates(match: Match, fuzzy: bool, *, by_words: bool = False) -> list[Fragment]:
    """SELECTs that together find every name that may satisfy *match*.

    Letters that lie in a word are looked for in the distinct *by_words*, or only those too few for trigrams: a server
    reads each name that has the trigrams, while SQLite's trigrams tell all.
    """
    found = []
    for one in alternatives(match):
        text = one.values[0]
        wanted, is_wild = person_name.keys(text), one.kind is MatchKind.WILD_CARD
        if "=" in text:
            named = [(group, key) for group, key in zip(sql.GROUPS, wanted, strict=True) if key]
            found += [_in_group(group, key, is_wild) for group, key in named[:1]]
        elif is_wild and (piece := _piece_of_a_word(wanted[0])) and (by_words or len(piece) < TRIGRAM):
            found.append(_with_piece(piece))
        elif is_wild and len(letters := letters_between_stars(storable(wanted[0]))) >= TRIGRAM:
            found.append(with_letters("person_name_trigram", letters))
        elif wanted[0]:
            found += [_in_group(group, wanted[0], is_wild) for group in sql.GROUPS]
        if fuzzy and (words := person_name.words(text)):
            found.append(_with_words(words))
    return found


def _piece_of_a_word(key: str) -> str:
    """The letters between stars that a pattern consists of, "" for any other pattern."""
    piece = letters_between_stars(key)
    return piece if all(unicodedata.category(letter)[0] in "LMN" for letter in piece) else ""


def _with_piece(piece: str) -> Fragment:
    words = fill("SELECT p.word FROM person_word AS p WHERE {}", glob("p.word", storable(f"*{piece}*")))
    return fill("SELECT w.name_fk FROM person_name_word AS w WHERE w.word IN ({})", words)


def _in_group(group: str, key: str, is_wild: bool) -> Fragment:
    column, key = f"n.{group}", storable(key)
    if not is_wild:
        found = Fragment(f"{column} = ?", (key,))
        return fill("SELECT n.id FROM person_name AS n WHERE {} <> '' AND {}", column, found)
    if len(sql.beginning(key)) < TRIGRAM and LITERAL.search(key):
        return with_trigrams("person_name_trigram", group, key)
    return fill("SELECT n.id FROM person_name AS n WHERE {}", sql.wild_card(column, key))


def _with_words(words: tuple[str, ...]) -> Fragment:
    telling = sorted(words, key=len)[-MAX_WORDS:]
    ranges = [sql.starts("w.word", storable(word)) for word in telling]
    found = [fill("SELECT w.name_fk FROM person_name_word AS w WHERE {}", one) for one in ranges]
    return found[0] if len(found) == 1 else fill("SELECT name_fk FROM ({}) AS w", joined(" INTERSECT ", found))
