"""Whom a request means by Host. Which names are ours matters at a node that asks nobody who he is.

A page of the web whose own name comes to mean 127.0.0.1 (DNS rebinding) makes a browser on this machine ask us, and may
read what we answer. Browsers always say by which name they ask, and a page cannot change it.
"""

import re
from urllib.parse import urlsplit

from relais.access.networks import parse

_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::[0-9]*)?")  # RFC 9110 7.2
_ONE = re.compile(r"[^\s,/?#@\\]+")  # several fields come joined by commas


def is_one(host: str) -> bool:
    """Whether *host*, all that came as Host, can be the name and port of one (RFC 9112 3.2)."""
    return _ONE.fullmatch(host) is not None


def is_ours(host: str, public_url: str) -> bool:
    """Whether *host*, a Host header field, names this machine as nobody else's name can.

    By an address, as localhost, or as *public_url* does. What has none comes from no browser.
    """
    if not host:
        return True
    found = _HOST.fullmatch(host)
    name = found[1].lower().removesuffix(".") if found else ""
    if name == "localhost" or name.endswith(".localhost") or parse(name.strip("[]")):
        return True
    return bool(name) and name == (urlsplit(public_url).hostname or "").removesuffix(".")
