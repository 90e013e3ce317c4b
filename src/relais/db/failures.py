"""What SQLite's failures mean to an operator. Knows error codes, not tables."""

import errno
import sqlite3

from relais.errors import Internal, NodeError, OutOfResources, TooBroad, Unavailable

FULL = "The index cannot be written: the disk is full or refuses to write. Free some space; nothing else is needed."
LOCK_FILE = "The index's lock file cannot be used; check the owner and the mode of its folder."
FOREIGN: tuple[type[Exception], ...] = (sqlite3.Error,)
NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)  # the latter: -shm, which every opening may have to make
UNDECODABLE = "Could not decode to UTF-8"  # Python's word on a text that we never wrote like this
SENTENCES = {
    sqlite3.SQLITE_BUSY: "The index is locked by another program; stop it (a backup or an open SQLite shell?).",
    sqlite3.SQLITE_LOCKED: "The index is locked by another program; stop it (a backup or an open SQLite shell?).",
    sqlite3.SQLITE_CORRUPT: "The index is damaged; move it away and run `relais reindex`, the files hold everything.",
    sqlite3.SQLITE_NOTADB: "The index file is not a SQLite database; move it away and run `relais reindex`.",
    sqlite3.SQLITE_CANTOPEN: "The index cannot be opened; check that its folder exists and belongs to the node's user.",
    sqlite3.SQLITE_READONLY: "The index cannot be written; check the owner and the mode of the file and its folder.",
    sqlite3.SQLITE_PERM: "The index cannot be opened; check the owner and the mode of the file and its folder.",
    sqlite3.SQLITE_IOERR: "The disk under the index fails; look into the system's log.",
    sqlite3.SQLITE_NOMEM: "There is not enough memory for the index.",
}


def primary_code(exc: BaseException) -> int:
    """The primary result code, 0 where SQLite did not speak."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def found_no_room(exc: BaseException) -> bool:
    """Whether there was no room on the disk, as far as the error says so."""
    if isinstance(exc, OSError):
        return exc.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(exc, "sqlite_errorcode", 0) in NO_ROOM


def of_opening(exc: BaseException, *, is_full: bool) -> NodeError:
    """*exc* in the node's words. On a disk that *is_full* SQLite may say as well that it fails, or has no such file."""
    may_be_that = primary_code(exc) in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return Unavailable(FULL) if is_full and may_be_that else of_reading(exc)


def of_reading(exc: BaseException) -> NodeError:
    """*exc* in the node's words."""
    if found_no_room(exc):
        return Unavailable(FULL)
    code = primary_code(exc)
    if code == sqlite3.SQLITE_INTERRUPT:
        return TooBroad()
    if code in SENTENCES:
        return Unavailable(SENTENCES[code])
    if isinstance(exc, UnicodeDecodeError) or UNDECODABLE in str(exc):
        return Unavailable(SENTENCES[sqlite3.SQLITE_CORRUPT])
    if isinstance(exc, OSError):
        return Unavailable(LOCK_FILE)
    return Internal(f"The index refused a statement: {exc}")


def of_writing(exc: BaseException) -> NodeError:
    """The same before anything was committed: OutOfResources where there was no room."""
    no_room = isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    if no_room or primary_code(exc) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return OutOfResources(FULL)
    return of_reading(exc)


def of_committing(exc: BaseException) -> NodeError:
    """The same for a commit. After a failed sync nobody knows what is on the disk: that is never OutOfResources."""
    return OutOfResources(FULL) if primary_code(exc) == sqlite3.SQLITE_FULL else of_reading(exc)


def passes(exc: BaseException) -> bool:
    """Never: with one writer at a time nobody is given up for another's sake."""
    return False
