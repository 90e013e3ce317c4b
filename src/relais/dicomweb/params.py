"""Query strings of the Search transaction, to and from a Query (PS3.18 8.3.4, 10.6.1). Knows text, not requests or SQL.

1. Every name and value is percent-decoded exactly once, as UTF-8, after the string has been cut at `&` and `=`.
2. A key is a keyword, eight hex digits, or a path of them into a sequence (`00400275.00400009`).
3. No key is ignored in silence: it becomes a match, a return key, a name in Search.unmatched, or an InvalidRequest.
   A name that means nothing here is unmatched (PS3.18 8.3), a value that cannot be is an InvalidRequest.
4. Keys into the same sequence are conditions on one and the same Item (PS3.4 C.2.2.2.6).
5. A date range and the time range beside it are one range of moments (PS3.4 C.2.2.2.5.4), without being asked for.

Reading: `+` is a space, as browsers and most HTTP libraries write it; a plus sign is `%2B`. In `accept` it is a plus.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from relais.dicom.attributes import Level
from relais.dicom.json_model import tag_key
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.query_keys import EMPTY_VALUE_KEY, check_ranges, every_value, match_from_text, unordered_match
from relais.errors import InvalidRequest

MAX_PARAMETERS = 200  # a query string with more is an InvalidRequest
MAX_DEPTH = 8  # a sequence path with more steps is an InvalidRequest
MAX_OFFSET = 2**31 - 1  # a larger offset is an InvalidRequest
MAX_RESULTS = 10_000  # a larger limit, or none, means this many; the answer then says that there are more

# The parameters of a search that are no keys, and what they may be (PS3.18 table 8.3.4-1).
SWITCHES = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching")
RESERVED = frozenset({"limit", "offset", "includefield", "accept", "charset", *SWITCHES})

UTF_8 = ("utf-8", "utf8", "iso_ir 192")  # as it is called in charset
_HEX = re.compile(r"[0-9A-Fa-f]{8}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_BOOLEANS = {"true": True, "false": False}

Path = tuple[int, ...]  # tags, from the Data Set down into sequences


@dataclass(frozen=True, slots=True)
class Search:
    """A search as it was asked for. *unmatched* names what was asked and cannot be matched by anyone."""

    query: Query
    unmatched: tuple[str, ...] = ()


@dataclass(slots=True)
class _Keys:
    """What the keys of a query string come to."""

    values: dict[Path, str] = field(default_factory=dict)
    included: set[int] = field(default_factory=set)
    all_included: bool = False
    unmatched: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def is_on(self, switch: str) -> bool:
        """One of SWITCHES; off if it is not given. InvalidRequest if it is neither true nor false."""
        value = self.settings.get(switch, "false").lower()
        if value not in _BOOLEANS:
            raise InvalidRequest(f"The query parameter {switch} must be true or false.")
        return _BOOLEANS[value]


def parameters(query_string: str) -> Iterator[tuple[str, str]]:
    """Names and values of *query_string*, decoded. InvalidRequest if there are too many or one is not UTF-8."""
    pieces = [piece for piece in query_string.split("&", MAX_PARAMETERS) if piece]
    if len(pieces) > MAX_PARAMETERS or any("&" in piece for piece in pieces):
        raise InvalidRequest(f"At most {MAX_PARAMETERS} query parameters are taken.")
    for piece in pieces:
        name, _, value = piece.partition("=")
        name = _decoded(name)
        yield name, _decoded(value, plus=b"+" if name == "accept" else b" ")


def one_of_each(query_string: str) -> dict[str, str]:
    """The parameters of a resource where none may be repeated. InvalidRequest if one is."""
    found: dict[str, str] = {}
    for name, value in parameters(query_string):
        if name in found:
            raise InvalidRequest(f"The query parameter {_shown(name)} is given twice.")
        found[name] = value
    return found


def parse_search(
    query_string: str, level: Level, scope: Iterable[Match] = (), max_results: int = MAX_RESULTS
) -> Search:
    """The search that *query_string* asks for at *level*, within *scope* (the UIDs of the path).

    Raises InvalidRequest with a sentence for a path that leads nowhere, a repeated key, and a value that its VR does
    not allow.
    """
    keys = _Keys()
    for name, value in parameters(query_string):
        _take(keys, name, value)
    _check_character_set(keys.settings.get("charset", ""))
    fuzzy, may_ask_empty, every = (keys.is_on(switch) for switch in SWITCHES)
    matches = [*scope, *_matches((), keys.values, may_ask_empty, every)]
    matches = [one for match in matches for one in (every_value(match) if every else (match,))]
    check_ranges(matches, combined_date_time=True)
    limit = min(_whole_number(keys.settings, "limit", max_results), max_results)
    offset = _whole_number(keys.settings, "offset", 0)
    if offset > MAX_OFFSET:
        raise InvalidRequest(f"An offset may be at most {MAX_OFFSET}.")
    query = Query(
        level=level,
        matches=tuple(matches),
        return_keys=frozenset(keys.included | {path[0] for path in keys.values}),
        all_keys=keys.all_included,
        limit=limit,
        offset=offset,
        fuzzy=fuzzy,
        combined_date_time=True,
    )
    return Search(query, tuple(keys.unmatched))


def format_search(query: Query) -> str:
    """*query*, which has one condition for each attribute, as a query string. Its level belongs to the path."""
    pairs = [("limit", str(query.limit))] if query.limit is not None else []
    pairs += [("offset", str(query.offset))] if query.offset else []
    pairs += [("fuzzymatching", "true")] if query.fuzzy else []
    values = list(_values_of((), query.matches))
    pairs += [("emptyvaluematching", "true")] if any(value == EMPTY_VALUE_KEY for _, value in values) else []
    pairs += [(".".join(map(tag_key, path)), value) for path, value in values]
    matched = {match.tag for match in query.matches}
    included = ["all"] if query.all_keys else []
    included += [tag_key(tag) for tag in sorted(query.return_keys - matched)]
    pairs += [("includefield", ",".join(included))] if included else []
    return "&".join(f"{name}={quote(value, safe='*,')}" for name, value in pairs)


def attribute_path(name: str) -> Path:
    """The tags that *name* stands for. InvalidRequest if one of its steps is no attribute or leads into no sequence."""
    steps = name.split(".", MAX_DEPTH)
    path = tuple(_tag(step, name) for step in steps)
    if len(path) > MAX_DEPTH or any(vr_of(tag) != "SQ" for tag in path[:-1]):
        raise InvalidRequest(f"{_shown(name)} is not a path through sequences.")
    return path


def vr_of(tag: int) -> str | None:
    """The VR of PS3.6, None for a tag that is not in it."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def _check_character_set(text: str) -> None:
    """Return if *text*, a list, has one that answers come in, or nothing (PS3.18 8.3.3.2). Raises InvalidRequest."""
    names = {piece.partition(";")[0].strip(' "').lower() for piece in text.split(",")}
    if names.isdisjoint({"", *UTF_8}):
        raise InvalidRequest("The results of a search come in UTF-8, and in no other character set.")


def _take(keys: _Keys, name: str, value: str) -> None:
    if name == "includefield":
        _include(keys, value)
    elif name in RESERVED:
        if name in keys.settings:
            raise InvalidRequest(f"The query parameter {name} is given twice.")
        keys.settings[name] = value
    else:
        _take_key(keys, name, value)


def _take_key(keys: _Keys, name: str, value: str) -> None:
    if name and not all(map(_is_attribute, name.split("."))):
        keys.unmatched.append(_shown(name))
        return
    path = attribute_path(name)
    if any(vr_of(tag) is None for tag in path):
        keys.unmatched += [name] if value else []
        return
    if path in keys.values:
        raise InvalidRequest(f"The key {_shown(name)} is given twice; separate values by a comma.")
    keys.values[path] = value


def _include(keys: _Keys, value: str) -> None:
    for name in filter(None, (piece.strip() for piece in value.split(","))):
        if name == "all":
            keys.all_included = True
        else:
            keys.included.add(attribute_path(name)[0])


def _matches(prefix: Path, values: dict[Path, str], may_ask_empty: bool, every: bool) -> Iterator[Match]:
    """The conditions below *prefix*, one per attribute; those into one sequence together."""
    depth = len(prefix)
    below = {path: value for path, value in values.items() if path[:depth] == prefix and len(path) > depth}
    parse = match_from_text if prefix else unordered_match
    for tag in dict.fromkeys(path[depth] for path in below):
        path = (*prefix, tag)
        items = tuple(_matches(path, below, may_ask_empty, every))
        match = parse(tag, below[path], may_ask_empty=may_ask_empty, every=every) if path in below else None
        if match is not None:
            yield match
        if items:
            yield Match(tag, MatchKind.SEQUENCE, items=items)


def _values_of(prefix: Path, matches: Iterable[Match]) -> Iterator[tuple[Path, str]]:
    for match in matches:
        path = (*prefix, match.tag)
        if match.kind is MatchKind.SEQUENCE:
            yield from _values_of(path, match.items)
        elif match.kind is MatchKind.EMPTY_VALUE:
            yield path, EMPTY_VALUE_KEY
        else:
            yield path, ("-" if match.kind is MatchKind.RANGE else "\\").join(match.values)


def _tag(step: str, name: str) -> int:
    if _HEX.fullmatch(step):
        return int(step, 16)
    tag = tag_for_keyword(step)
    if not _is_attribute(step) or tag is None:
        raise InvalidRequest(f"{_shown(name)} is neither a query parameter nor the keyword or tag of an attribute.")
    return tag


def _is_attribute(step: str) -> bool:
    tag = tag_for_keyword(step) if step else None
    return bool(_HEX.fullmatch(step)) or (tag is not None and keyword_for_tag(tag) == step)


def _whole_number(settings: dict[str, str], name: str, default: int) -> int:
    if name not in settings:
        return default
    if not _DIGITS.fullmatch(settings[name]):
        raise InvalidRequest(f"The query parameter {name} must be a whole number, not negative.")
    return int(settings[name])


def _decoded(text: str, plus: bytes = b" ") -> str:
    try:
        decoded = unquote_to_bytes(text.replace("+", quote(plus))).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("A query parameter is not percent-encoded UTF-8.") from None
    if "\0" in decoded:
        raise InvalidRequest("A query parameter holds a null character.")
    return decoded


def _shown(name: str) -> str:
    """*name*, short and plain enough for a message."""
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in name[:64])
