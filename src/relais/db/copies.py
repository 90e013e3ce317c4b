"""An index in SQLite as a file: copied out of a working index, or into the place of a new one. Knows no tables."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from relais import private
from relais.db import connect, failures, reserve
from relais.db.settings import IndexSettings
from relais.errors import InvalidRequest, writing

BESIDE = ("-wal", "-shm", ".lock", reserve.SUFFIX)  # what lies beside an index that was opened


def copy_out(settings: IndexSettings, path: Path) -> bool:
    """Copy the whole index, as of one moment, into the new file *path*; False if its engine has no file.

    Others read and write meanwhile. Raises Unavailable, OutOfResources.
    """
    if settings.is_postgresql:
        return False
    try:
        private.make_file(path)
        with closing(connect.reader(settings)) as source, closing(sqlite3.connect(path)) as target:
            target.execute("PRAGMA synchronous=OFF")  # synced as a whole, by seal
            source.backup(target)
    except (sqlite3.Error, OSError) as exc:
        raise failures.of_writing(exc) from exc
    return True


def seal(path: Path) -> None:
    """Make the index file *path*, which nobody has open, durable by itself. Raises OutOfResources."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        for end in BESIDE:
            path.with_name(path.name + end).unlink(missing_ok=True)
        sync(path)
        sync(path.parent)
    except (sqlite3.Error, OSError) as exc:
        raise failures.of_writing(exc) from exc


def put_in_place(file: Path, settings: IndexSettings) -> None:
    """Make a sealed *file* the index of *settings*, which is none yet: whole or not at all, durably.

    Raises InvalidRequest if there is an index, OutOfResources.
    """
    path = settings.path
    if path.exists():
        raise InvalidRequest(f"There is an index already: {path}.")
    part = path.with_name(path.name + ".part")
    with writing(path):
        private.make_folder(path.parent)
        part.unlink(missing_ok=True)
        private.make_file(part)
        shutil.copyfile(file, part)
        sync(part)
        part.rename(path)
        sync(path.parent)


def sync(path: Path) -> None:
    """Put a file or folder on stable storage. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
