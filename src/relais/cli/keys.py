"""KEY=VALUE on a command line, as conditions of a search. Knows the DICOM dictionary, no command."""

from collections.abc import Iterable

import click
from pydicom.datadict import tag_for_keyword

from relais.dicom.query import Match
from relais.dicom.query_keys import match_from_text


def parse(keys: Iterable[str]) -> tuple[list[int], tuple[Match, ...]]:
    """The tags that *keys* name, and the conditions of those that have a value. Raises BadParameter, InvalidRequest."""
    tags: list[int] = []
    matches: list[Match] = []
    for text in keys:
        key, _, value = text.partition("=")
        tags.append(tag(key))
        match = match_from_text(tags[-1], value)
        if match is not None:
            matches.append(match)
    return tags, tuple(matches)


def tag(key: str) -> int:
    """The tag of a keyword or of eight hex digits."""
    found = tag_for_keyword(key)
    if found is None and len(key) == 8 and all(c in "0123456789abcdefABCDEF" for c in key):
        found = int(key, 16)
    if found is None:
        raise click.BadParameter(f"{key} is neither a keyword of the DICOM dictionary nor a tag of eight hex digits.")
    return found
