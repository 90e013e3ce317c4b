"""Files and folders that tell of patients: closed to whoever is neither the node's user nor of its group.

They are made so, not changed afterwards, and are closed to more where the umask says so. Knows modes, no contents.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FILE_MODE, FOLDER_MODE = 0o640, 0o750
OTHERS = 0o007


def make_folder(path: Path) -> None:
    """See to it that the folder is there, and those above it. Raises OSError."""
    try:
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_folder(path.parent)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def make_file(path: Path) -> None:
    """See to it that the file is there, empty if it was not. Raises OSError.

    One that is there is not opened: closing it would take the locks that SQLite holds on it in this process.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))


def opened(path: Path, flags: int) -> BinaryIO:
    """The file, open for writing, with *flags* such as os.O_TRUNC or os.O_APPEND. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, FILE_MODE), "wb")


def narrow(path: Path) -> bool:
    """Close the file or folder to others, and return whether it was open to them. One that is not there is no error.

    Raises OSError, such as where it is not ours.
    """
    try:
        mode = path.stat().st_mode & 0o7777
    except FileNotFoundError:
        return False
    if not mode & OTHERS:
        return False
    path.chmod(mode & ~OTHERS)
    return True
