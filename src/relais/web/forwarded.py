"""Who asks, where a balancer passes requests on: the X-Forwarded-For header field, believed of our own balancers only.

Knows WSGI's environment, nothing of routes.
"""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def caller(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """The address of who asks: the last one in *forwarded_for*, then *peer*, that is not one of *proxies*.

    What stands before that anybody may have written. Where all are proxies, or one is no address, the nearest to it.
    """
    nearest = peer
    for said in (peer, *reversed(forwarded_for.split(",") if forwarded_for else [])):
        found = _address(said.strip())
        if found is None:
            break
        nearest = str(found)
        if not any(found in network for network in proxies):
            break
    return nearest


def behind(application: Application, proxies: Sequence[Network]) -> Application:
    """*application*, told by REMOTE_ADDR who asks and not who passes it on."""

    def passed_on(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        peer, said = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = caller(peer, said, proxies)
        return application(environ, start_response)

    return passed_on


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
