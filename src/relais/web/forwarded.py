"""Who asks, where a balancer passes requests on: X-Forwarded-For and a certificate, believed of our own balancers only.

Knows WSGI's environment, nothing of routes. The certificate was verified by the balancer, and comes as the value of
Client-Cert would (RFC 9440 2.2), but not under that name: WSGI makes one name of Client-Cert and Client_Cert, and only
one of them is the balancer's to take away. A name without a hyphen is spelled in one way only.
"""

import base64
from collections.abc import Iterable, Sequence

from relais.access.networks import Network, is_in, parse
from relais.access.principals import PROOFS
from relais.peers import certificate
from relais.web.record import Application, Environment, StartResponse

MAX_CHARACTERS = 32_768  # of a certificate; a longer one proves nothing


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


def proofs(shown: str) -> frozenset[str]:
    """What the one certificate in the header field *shown* says; nothing where there is none or it cannot be read."""
    text = shown.strip()
    if len(text) > MAX_CHARACTERS or not (text.startswith(":") and text.endswith(":")):
        return frozenset()
    try:
        return certificate.facts(base64.b64decode(text[1:-1], validate=True))
    except ValueError:
        return frozenset()


class Behind:
    """A WSGI application around another, which is told by REMOTE_ADDR who asks and not who passes it on.

    With *certificate_field* it is also told what certificate the balancer was shown: in the header field of that name.
    """

    def __init__(self, application: Application, proxies: Sequence[Network], certificate_field: str = "") -> None:
        self._application, self._proxies = application, proxies
        self._shown = f"HTTP_{certificate_field.upper()}" if certificate_field else ""

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        peer, said = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        if self._shown and is_in(peer, self._proxies):
            environ[PROOFS] = proofs(environ.get(self._shown, ""))
        environ["REMOTE_ADDR"] = caller(peer, said, self._proxies)
        return self._application(environ, start_response)
