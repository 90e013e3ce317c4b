"""Which association or request the current work belongs to. Knows no protocol and configures no logging.

The doors bind an id; node's log formatter writes it into every line that is logged meanwhile, whichever room logs.
A new thread starts without ids: bind in the thread that does the work.
"""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from random import Random

_random = Random()  # noqa: S311 - no secret; not the one of all, whose state belongs to whoever runs us
os.register_at_fork(after_in_child=_random.seed)

_ids: ContextVar[Mapping[str, str]] = ContextVar("relais_ids")


class bound:  # a context manager that is entered for every chunk of every answer: a generator takes thrice the time
    """Add *ids* (`assoc="a1b2c3d4"`, `request=...`) to those of the surrounding work, for the time of the context."""

    __slots__ = ("_added", "_token")

    def __init__(self, **ids: str) -> None:
        self._added = ids

    def __enter__(self) -> None:
        self._token = _ids.set({**current(), **self._added})

    def __exit__(self, *exc_info: object) -> None:
        _ids.reset(self._token)


def current() -> Mapping[str, str]:
    """The ids bound here and now, outermost first; empty outside any work."""
    return _ids.get({})


def new_id() -> str:
    """A short random id, unique enough to find one association in a day's log."""
    return f"{_random.getrandbits(32):08x}"
