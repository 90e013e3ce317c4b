"""The one release decision, for every protocol. Asked by the verbs of archive, by nobody else.

Today there are two modes. `open-loopback` allows everything: the node refuses to start with it unless every listener
is on loopback. `enforced` allows the operator and the configured peers what their `may` list says, and nobody else; a
peer with `networks` only from there.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from relais.access.principals import Principal, Protocol
from relais.dicom.query import Query
from relais.dicom.refs import Ref
from relais.errors import Forbidden, NotFound


class Mode(StrEnum):
    """How strangers are treated."""

    OPEN_LOOPBACK = "open-loopback"
    ENFORCED = "enforced"


class Action(StrEnum):
    """What a principal wants to do."""

    STORE = "store"
    SEARCH = "search"
    RETRIEVE = "retrieve"
    DELETE = "delete"
    MOVE = "move"  # have instances sent to a third party
    COMMIT = "commit"  # have the node promise that it keeps instances: whoever may store may ask for it


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Policy:
    """Decides and narrows. *grants* maps a peer's AE title to what it may do, *networks* to where it must be."""

    mode: Mode = Mode.OPEN_LOOPBACK
    grants: Mapping[str, frozenset[Action]] = field(default_factory=dict)
    networks: Mapping[str, Sequence[Network]] = field(default_factory=dict)

    def knows(self, principal: Principal) -> bool:
        """Whether *principal* may do anything at all, as far as that is told by who it is and where."""
        if self.mode is Mode.OPEN_LOOPBACK or principal.protocol is Protocol.LOCAL:
            return True
        if principal.protocol is not Protocol.DIMSE or principal.name not in self.grants:
            return False
        networks = self.networks.get(principal.name, ())
        return not networks or _is_in(principal.address, networks)

    def allows(self, principal: Principal, action: Action) -> bool:
        """Whether *principal* may do *action* at all."""
        if self.mode is Mode.OPEN_LOOPBACK or principal.protocol is Protocol.LOCAL:
            return True
        needed = Action.STORE if action is Action.COMMIT else action
        return self.knows(principal) and needed in self.grants[principal.name]

    def decide(self, principal: Principal, action: Action, ref: Ref | None = None) -> None:
        """Return if *principal* may do *action* on *ref*, else raise.

        Raises NotFound for reads of *ref* (not found and not yours answer alike), Forbidden otherwise.
        """
        if self.allows(principal, action):
            return
        if ref is not None and action is Action.RETRIEVE:
            raise NotFound
        raise Forbidden

    def narrow(self, principal: Principal, query: Query) -> Query:
        """*query*, restricted to what *principal* may see. Raises Forbidden where that is nothing."""
        self.decide(principal, Action.SEARCH)
        return query


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
