"""What SQLite's failures mean to an operator. Knows error codes, not tables."""

import errno
import sqlite3

from relais.errors import Internal, NodeError, OutOfResources, Unavailable

FULL = "The index cannot be written: the disk is full or refuses to write. Free some space; nothing else is needed."
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
    sqlite3.SQLITE_INTERRUPT: "The search was interrupted.",
}
NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def primary_code(exc: sqlite3.Error) -> int:
    """The primary result code, 0 where the driver itself complained."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def as_node_error(exc: BaseException, *, writing: bool) -> NodeError:
    """*exc* in the node's words: OutOfResources for a write that found no room, Unavailable, or Internal."""
    if isinstance(exc, OSError):
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
        return OutOfResources(FULL) if writing and full else Unavailable("The index's lock file cannot be used.")
    code = primary_code(exc) if isinstance(exc, sqlite3.Error) else 0
    if code == sqlite3.SQLITE_FULL or (writing and code in NO_ROOM):
        return OutOfResources(FULL)
    if code in SENTENCES:
        return Unavailable(SENTENCES[code])
    return Internal(f"The index refused a statement: {exc}")
