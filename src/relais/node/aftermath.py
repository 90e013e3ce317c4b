"""What a command that took instances in and was killed left behind, put in order by the next. Knows marks, not work.

A kill between an object and its row leaves the object: nothing that was told as done is lost, but `relais check` finds
it. A node sweeps when it starts and now and then; this is soon, and also where no node runs.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relais import private
from relais.archive import maintenance
from relais.config import Config
from relais.errors import Unavailable
from relais.node import compose

MARKS = "taking-in"  # below the node's run folder: a file for each such command, locked as long as it runs
LOCK = "taking-in.lock"  # beside it: held while a command looks at the marks of others and makes its own


@contextmanager
def swept(config: Config) -> Iterator[None]:
    """Take instances in meanwhile. Before, what commands that were killed here left is swept, if there were any.

    Raises Unavailable if the data directory cannot be written, and what a sweep raises.
    """
    folder = config.run_dir / MARKS
    try:
        private.make_folder(folder)
        with (config.run_dir / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # so that nobody finds a mark that is not locked yet
            left = [mark for mark in folder.iterdir() if not _is_held(mark)]
            descriptor, own = tempfile.mkstemp(dir=folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as exc:
        raise Unavailable(f"{folder} cannot be written: {exc.strerror}.") from exc
    try:
        if left:
            with compose.archive_of(config) as archive:
                maintenance.sweep(archive)
        for mark in left:
            mark.unlink(missing_ok=True)
        yield
    finally:
        Path(own).unlink(missing_ok=True)
        os.close(descriptor)


def _is_held(mark: Path) -> bool:
    """Whether the command that made *mark* still runs, or has just ended in order."""
    try:
        with mark.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True
    return False
