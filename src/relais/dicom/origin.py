"""Where an instance came from. It travels from the door to the File Meta Information and the index."""

from dataclasses import dataclass
from enum import StrEnum


class Channel(StrEnum):
    """The door that an instance came through."""

    DIMSE = "dimse"
    WEB = "web"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who brought an instance: AE titles for DIMSE, a user for the web, a path's host for an import.

    *proofs* is what a certificate says of who brought it (relais.peers.tls). It is not kept with the instance.
    """

    channel: Channel
    address: str = ""
    calling_ae_title: str = ""
    called_ae_title: str = ""
    user: str = ""
    proofs: frozenset[str] = frozenset()
