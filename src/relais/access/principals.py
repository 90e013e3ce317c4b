"""Who asks. Every verb that reads takes a Principal; every verb that stores takes an Origin."""

from dataclasses import dataclass
from enum import StrEnum

from relais.dicom.origin import Origin


class Protocol(StrEnum):
    """How a principal speaks to the node."""

    DIMSE = "dimse"
    WEB = "web"
    LOCAL = "local"  # the operator at this machine: command line and background work


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks: an AE title at an address, or a user of the web, or the operator."""

    protocol: Protocol
    name: str = ""
    address: str = ""


OPERATOR = Principal(Protocol.LOCAL, "operator")


def of_origin(origin: Origin) -> Principal:
    """The principal behind an instance that arrives."""
    name = origin.calling_ae_title or origin.user
    return Principal(Protocol(origin.channel) if origin.channel != "import" else Protocol.LOCAL, name, origin.address)
