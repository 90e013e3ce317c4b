"""Who asks, where a balancer passes requests on: the X-Forwarded-For header field, believed of our own balancers only.

Knows WSGI's environment, nothing of routes.
"""

from collections.abc import Iterable, Sequence

from relais.access.networks import Network, parse
from relais.web.record import Application, Environment, StartResponse


def caller(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """The address of who asks: the last one in *forwarded_for*, then *peer*, that is not one of *proxies*.

    What stands before that anybody may have written. Where all are proxies, or one is no address, the nearest to it.
    """
    nearest = peer
    for said in (peer, *reversed(forwarded_for.split(",") if forwarded_for else [])):
        found = parse(said.strip().strip("[]"))
        if found is None:
            break
        nearest = str(found)
        if not any(found in network for network in proxies):
            break
    return nearest


class Behind:
    """A WSGI application around another, which is told by REMOTE_ADDR who asks and not who passes it on."""

    def __init__(self, application: Application, proxies: Sequence[Network]) -> None:
        self._application, self._proxies = application, proxies

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        peer, said = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = caller(peer, said, self._proxies)
        return self._application(environ, start_response)
