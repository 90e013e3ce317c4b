"""The mark of a restoration that has not come to its end: what lies there is no archive yet. Knows one file."""

from contextlib import suppress
from pathlib import Path

from relais.errors import Unavailable

MARK = "restoring"
NOT_RESTORED = (
    "A backup is being restored into [node] data_dir {0}, or that was interrupted: the same `relais restore` goes on "
    "where it was. The file {0}/{1} says so; it goes when all is there."
)


def require_restored(data_dir: Path) -> None:
    """Raise Unavailable while a restoration into *data_dir* is under way or was interrupted."""
    with suppress(OSError):  # that it may not be looked at is told by whoever needs it
        if (data_dir / MARK).exists():
            raise Unavailable(NOT_RESTORED.format(data_dir, MARK))
