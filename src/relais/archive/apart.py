"""Whether two folders are one, or one is in the other. Knows folders by themselves, not by their names.

Links, mounts and `..` give a folder many names; its device and its number there tell it.
"""

import os
from pathlib import Path

from relais.storage.base import ObjectStore
from relais.storage.local import LocalStore
from relais.storage.spooling import Spooling


def root_of(store: ObjectStore) -> Path | None:
    """The folder in which *store* keeps what it has acknowledged, or some of it; None if that is elsewhere."""
    if isinstance(store, LocalStore):
        return store.root
    return Path(store.spool_name.partition(":")[2]) if isinstance(store, Spooling) else None


def overlap(one: Path, other: Path) -> bool:
    """Whether one of them is the other, or below it. They need not be there yet."""
    return is_within(one, other) or is_within(other, one)


def is_within(path: Path, folder: Path) -> bool:
    """Whether *path* is *folder* or below it. It need not be there yet."""
    there, real = _identity(folder), Path(os.path.realpath(path))
    return there is not None and any(_identity(above) == there for above in (real, *real.parents))


def _identity(path: Path) -> tuple[int, int] | None:
    """What a folder is told by; None if it is not there or may not be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
