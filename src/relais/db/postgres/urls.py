"""What a URL of PostgreSQL says that cannot be meant. Knows libpq's parameters, opens no connection."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

MAX_PORT = 65535
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
)
# None of these repeats the URL: it may hold the password.
NO_URL = (
    "[index] url is none that PostgreSQL knows; a password has %2F for /, %3F for ?, %23 for #, %40 for @, %25 for %"
)
BAD_PORT = "[index] url has a port that is none; a password has %2F for /, %3F for ?, %23 for #, %40 for @, %3A for :"
BAD_MODE = f"[index] url: sslmode must be one of {', '.join(SSL_MODES)}"
BAD_NUMBER = "[index] url: {} must be a whole number"


def require_sense(url: str) -> None:
    """Raise ValueError if libpq would refuse *url*, whatever server there is."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error as exc:
        raise ValueError(NO_URL) from exc
    if not all(map(_is_port, str(given.get("port") or "").split(","))):
        raise ValueError(BAD_PORT)
    if given.get("sslmode") and given["sslmode"] not in SSL_MODES:
        raise ValueError(BAD_MODE)
    for name in NUMBERS:
        if given.get(name) and not str(given[name]).removeprefix("-").isdecimal():
            raise ValueError(BAD_NUMBER.format(name))


def _is_port(text: str) -> bool:
    """Whether *text* is a port, or nothing: then it is PostgreSQL's usual one."""
    return not text or (text.isdecimal() and 0 < int(text) <= MAX_PORT)
