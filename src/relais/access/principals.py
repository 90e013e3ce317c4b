"""Who asks. Every verb that reads takes a Principal; every verb that stores takes an Origin."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from relais.dicom.origin import Origin


class Protocol(StrEnum):
    """How a principal speaks to the node."""

    DIMSE = "dimse"
    WEB = "web"
    LOCAL = "local"  # the operator at this machine: command line and background work


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks: an AE title at an address, or a user of the web, or the operator.

    *user* is whom an AE title says it works for (PS3.7 D.3.3.7): recorded, and never a reason to allow anything.
    *proofs* is what a verified certificate says of who asks (relais.peers.tls).
    """

    protocol: Protocol
    name: str = ""
    address: str = ""
    user: str = ""
    proofs: frozenset[str] = frozenset()


PROOFS = "relais.proofs"  # in a WSGI environment: what a verified certificate says of who asks

OPERATOR = Principal(Protocol.LOCAL, "operator")


def of_environment(environ: Mapping[str, Any]) -> Principal:
    """Who asks over HTTP, as a WSGI environment tells of whom the web door has let in (RFC 3875 4.1.8, 4.1.11)."""
    user, address = environ.get("REMOTE_USER") or "", environ.get("REMOTE_ADDR") or ""
    return Principal(Protocol.WEB, user, address, proofs=environ.get(PROOFS, frozenset()))


@lru_cache(maxsize=1024)  # what comes over one association comes from one origin
def of_origin(origin: Origin) -> Principal:
    """The principal behind an instance that arrives."""
    name = origin.calling_ae_title or origin.user
    protocol = Protocol(origin.channel) if origin.channel != "import" else Protocol.LOCAL
    return Principal(protocol, name, origin.address, origin.user, origin.proofs)
