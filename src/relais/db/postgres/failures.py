"""What PostgreSQL's failures mean to an operator. Knows SQLSTATE codes, not tables."""

import errno

import psycopg

from relais.db.failures import FULL
from relais.errors import Internal, InvalidDataSet, NodeError, OutOfResources, TooBroad, Unavailable

FOREIGN: tuple[type[Exception], ...] = (psycopg.Error,)
FULL_THERE = "The index cannot be written: the disk of its PostgreSQL server is full. Free some space there."
AWAY = "The PostgreSQL server of the index does not answer, or ended the connection; see whether it runs."
HANGS = "The PostgreSQL server of the index hangs: it has not answered in time; look at its machine, disk and network."
UNKNOWN = "The PostgreSQL server of the index went away while it committed; whether it did is not known."
NOT_COMMITTED = "The index's transaction was given up by the server."
DAMAGED = "The index is damaged, says PostgreSQL; restore its database, or run `relais reindex` on a new one."
REFUSED = "PostgreSQL refuses the index's role, its password or its database; check [index] url."
NO_TLS = (
    "TLS with the PostgreSQL server of the index fails: its certificate or one of the files that [index] url names "
    "does not do; check sslmode, sslrootcert and the host name (psql with the same URL says more)."
)
NO_HOST = "The host that [index] url names is not known to this machine; check the name, and its name service."
TOO_LONG = "A value that is searched is too long for an index of PostgreSQL, far longer than the standard allows."
LOCKED = (
    "The index is locked by another program; end its transaction "
    "(an open psql, or another node that hangs, was stopped or lost its network?)."
)
IDLED = "The index's transaction was given up by its server: this node did nothing in it for too long."
MIGRATED = "0A000"  # of what this connection had prepared
IDLE = "25P03"  # the server has ended a transaction that it had not been told to commit
# By SQLSTATE, or its first two letters.
SENTENCES = {
    "55P03": LOCKED,
    IDLE: IDLED,
    "53300": "PostgreSQL has no connection left for the index; raise its max_connections.",
    "53200": "There is not enough memory for the index on the PostgreSQL server.",
    "40": "Too many transactions met in the index; try again.",
    "42501": "The index's role may not do this; make it the owner of its database.",
    "25006": "The PostgreSQL server only lets the index be read; is it a standby?",
    "28": REFUSED,
    "3D": REFUSED,
    "53": FULL_THERE,
    "58": "The disk under the PostgreSQL server fails; look into its log.",
    "XX": DAMAGED,
    MIGRATED: "Another node has just migrated the index; ask again.",
    "57P": AWAY,
    "08": AWAY,
}
# By what libpq, psycopg or a server that refuses a connection says, without SQLSTATE: the first that fits.
WORDS = (
    (("authentication failed", "no pg_hba.conf", "no password"), REFUSED),
    (("certificate", "does not match host name", "private key file", "SSL was required", " alert "), NO_TLS),
    (("could not translate host name", "failed to resolve host"), NO_HOST),
    (("does not exist",), REFUSED),
)
_NO_ROOM = ("53100", "58030")
_GONE = ("57P", "08", "")


class Overdue(psycopg.OperationalError):
    """The server did not answer in the time that it has, so we ended the connection."""


def state(exc: BaseException) -> str:
    """The SQLSTATE, "" where the server did not speak."""
    return getattr(exc, "sqlstate", None) or ""


def is_gone(exc: BaseException) -> bool:
    """Whether the connection is lost, or was never made."""
    found = state(exc)
    if found == IDLE:  # for psycopg a fault of ours
        return True
    return isinstance(exc, psycopg.OperationalError) and found[: 3 if found[:2] == "57" else 2] in _GONE


def passes(exc: BaseException) -> bool:
    """Whether the same works may do in another transaction: others were preferred, or the connection was lost.

    Not if the server hangs: all would wait for it again.
    """
    return state(exc) in ("40001", "40P01", MIGRATED) or (is_gone(exc) and not isinstance(exc, Overdue))


def of_reading(exc: BaseException) -> NodeError:
    """*exc* in the node's words."""
    found = state(exc)
    if isinstance(exc, Overdue):
        return Unavailable(HANGS)
    if found == "57014":  # it ran for longer than it may
        return TooBroad()
    for length in (5, 3, 2):
        if len(found) == 5 and found[:length] in SENTENCES:
            return Unavailable(SENTENCES[found[:length]])
    if (isinstance(exc, psycopg.OperationalError) and not found) or isinstance(exc, OSError):
        return Unavailable(_in_words(exc) or AWAY)
    return Internal(f"The index refused a statement: {exc}")


def of_writing(exc: BaseException) -> NodeError:
    """The same before anything was committed: OutOfResources where there was no room."""
    if state(exc) == "54000":
        return InvalidDataSet(TOO_LONG)
    if state(exc) in _NO_ROOM:
        return OutOfResources(of_reading(exc).message)
    no_room = isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    return OutOfResources(FULL) if no_room else of_reading(exc)


def is_refusal(exc: BaseException) -> bool:
    """Whether the server will not have us, or we not it, however often we come: that is said in words only."""
    return _in_words(exc) in (REFUSED, NO_TLS)


def _in_words(exc: BaseException) -> str | None:
    said = str(exc)
    return next((sentence for words, sentence in WORDS if any(word in said for word in words)), None)
