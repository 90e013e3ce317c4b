"""The node's own archive, as a command line meets it: whether there is one, and who asks. Knows no command."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relais.access.principals import Principal, Protocol
from relais.archive import Archive
from relais.archive.unfinished import require_restored
from relais.config import Config
from relais.errors import NotFound, Unavailable
from relais.node import compose, mounted

NONE_HERE = (
    "There is no archive here: the index {} does not exist. --config names the configuration of the node; an index "
    "that was lost is made anew by `relais reindex`."
)


@contextmanager
def existing_archive(config: Config) -> Iterator[Archive]:
    """`compose.archive_of`, for commands that look for what is kept.

    Raises NotFound where there is no index, Unavailable where it may not be looked at or a backup is half restored.
    Made where there is none, as the node makes it, an empty archive in the wrong folder would be "sound" for ever.
    """
    require_restored(config.node.data_dir)
    if not config.index.is_postgresql:
        _require_there(config.index.path)
    with compose.archive_of(config) as archive:
        yield archive


@contextmanager
def taking_archive(config: Config) -> Iterator[Archive]:
    """`compose.archive_of`, for commands that take instances in. Raises Unavailable where the disk for them is away."""
    with compose.archive_of(config) as archive:
        mounted.require(archive.db, archive.store)
        yield archive


def _require_there(index: Path) -> None:
    try:
        is_there = index.exists()
    except OSError as exc:
        raise Unavailable(f"The index {index} cannot be read: {exc.strerror}.") from exc
    if not is_there:
        raise NotFound(NONE_HERE.format(index))


def login() -> str:
    """Who is logged in; the number of a user who has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def operator() -> Principal:
    """Who asks on this command line, as the audit names them: the user at this machine."""
    return Principal(Protocol.LOCAL, login(), socket.gethostname())
