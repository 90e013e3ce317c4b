"""SQL in pieces, each with its parameters. Knows neither schema nor dialect.

The only way in which SQL is put together. Text from outside is always a parameter; what is put together are templates
and names of our own.
"""

import re
from dataclasses import dataclass

_NAME = re.compile(r'(?:[a-z]\.)?(?:[a-z_]+|"[a-z_]+")')
_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL and its parameters."""

    sql: str
    params: tuple[object, ...] = ()


def fill(template: str, *parts: str | Fragment) -> Fragment:
    """*template* with each `{}` filled by a fragment, or by a name that is an identifier of our own or `alias.name`."""
    fragments = [part if isinstance(part, Fragment) else _name_of_ours(part) for part in parts]
    params = tuple(param for fragment in fragments for param in fragment.params)
    return Fragment(template.format(*(fragment.sql for fragment in fragments)), params)


def _name_of_ours(name: str) -> Fragment:
    assert _NAME.fullmatch(name), name
    return Fragment(name)


TRUE, FALSE = Fragment("TRUE"), Fragment("FALSE")


def any_of(fragments: list[Fragment]) -> Fragment:
    """Whether at least one holds."""
    return _balanced(" OR ", fragments) if fragments else FALSE


def all_of(fragments: list[Fragment]) -> Fragment:
    """Whether all hold."""
    return _balanced(" AND ", fragments) if fragments else TRUE


def _balanced(word: str, fragments: list[Fragment]) -> Fragment:
    """*fragments* as a tree: SQLite refuses an expression that is a thousand deep."""
    if len(fragments) == 1:
        return fragments[0]
    if len(fragments) > _WIDTH:
        half = len(fragments) // 2
        fragments = [_balanced(word, fragments[:half]), _balanced(word, fragments[half:])]
    return fill("({})", joined(word, fragments))


def joined(word: str, fragments: list[Fragment]) -> Fragment:
    """*fragments* with *word* between them."""
    params = tuple(param for fragment in fragments for param in fragment.params)
    return Fragment(word.join(fragment.sql for fragment in fragments), params)
