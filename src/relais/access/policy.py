"""The one release decision, for every protocol. Asked by the verbs of archive, by nobody else.

Today there are two modes. `open-loopback` allows everything: the node refuses to start with it unless every listener
is on loopback. `enforced` allows the operator and the configured peers what their `may` list says, and nobody else.
"""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Policy:
    """Decides and narrows. *grants* maps a peer's AE title to what it may do."""

    mode: Mode = Mode.OPEN_LOOPBACK
    grants: Mapping[str, frozenset[Action]] = field(default_factory=dict)

    def allows(self, principal: Principal, action: Action) -> bool:
        """Whether *principal* may do *action* at all."""
        if self.mode is Mode.OPEN_LOOPBACK or principal.protocol is Protocol.LOCAL:
            return True
        if principal.protocol is Protocol.DIMSE:
            needed = Action.STORE if action is Action.COMMIT else action
            return needed in self.grants.get(principal.name, frozenset())
        return False

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
