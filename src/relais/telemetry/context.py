"""Which association or request the current work belongs to. Knows no protocol and configures no logging.

The doors bind an id; node's log formatter writes it into every line that is logged meanwhile, whichever room logs.
A new thread starts without ids: bind in the thread that does the work.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from secrets import token_hex

_ids: ContextVar[Mapping[str, str]] = ContextVar("relais_ids")


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Add *ids* (`assoc="a1b2c3d4"`, `request=...`) to those of the surrounding work, for the time of the context."""
    token = _ids.set({**current(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def current() -> Mapping[str, str]:
    """The ids bound here and now, outermost first; empty outside any work."""
    return _ids.get({})


def new_id() -> str:
    """A short random id, unique enough to find one association in a day's log."""
    return token_hex(4)
