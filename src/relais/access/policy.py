"""The one release decision, for every protocol. Asked by the verbs of archive, by nobody else.

Today there are two modes. `open-loopback` allows everything: the node refuses to start with it unless every listener
is on loopback. `enforced` allows the operator everything, and everybody else what a Rule says of them: peers by their
AE title, users of the web by the name that their token proves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from relais.access.networks import Network, is_in
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
    COMMIT = "commit"  # have the node promise that it keeps instances


NO_DELETION = "Nothing is deleted here: [access] delete is off."


@dataclass(frozen=True, slots=True)
class Rule:
    """What somebody *may*. With *networks* only from an address in one of them; with *certificates* only who shows one
    of which all that one of them lists is proven. A move goes to the AE titles in *move_to*, to every peer without any.
    """

    may: frozenset[Action] = frozenset()
    networks: Sequence[Network] = ()
    certificates: Sequence[frozenset[str]] = ()
    move_to: frozenset[str] = frozenset()

    def fits(self, principal: Principal) -> bool:
        """Whether *principal* is the one that this is about, as far as can be told."""
        if self.networks and not is_in(principal.address, self.networks):
            return False
        return not self.certificates or any(wanted <= principal.proofs for wanted in self.certificates)


@dataclass(frozen=True, slots=True)
class Policy:
    """Decides and narrows. *peers* are the rules by AE title, *users* those by the name of a user of the web.

    Without *deletes* nobody but the operator may delete, whatever else is allowed.
    """

    mode: Mode = Mode.OPEN_LOOPBACK
    peers: Mapping[str, Rule] = field(default_factory=dict)
    users: Mapping[str, Rule] = field(default_factory=dict)
    deletes: bool = False

    def knows(self, principal: Principal) -> bool:
        """Whether *principal* may do anything at all, as far as that is told by who it is and where."""
        return self._allows_all(principal) or self._rule(principal) is not None

    def allows(self, principal: Principal, action: Action) -> bool:
        """Whether *principal* may do *action* at all. Who may store may also ask for commitment to it."""
        if action is Action.DELETE and not self.deletes and principal.protocol is not Protocol.LOCAL:
            return False
        if self._allows_all(principal):
            return True
        rule = self._rule(principal)
        return rule is not None and (action in rule.may or (action is Action.COMMIT and Action.STORE in rule.may))

    def allows_move(self, principal: Principal, ae_title: str) -> bool:
        """Whether *principal* may have instances sent to the peer with that AE title."""
        rule = self._rule(principal)
        anywhere = self._allows_all(principal) or (rule is not None and not rule.move_to)
        return self.allows(principal, Action.MOVE) and (anywhere or (rule is not None and ae_title in rule.move_to))

    def _allows_all(self, principal: Principal) -> bool:
        return self.mode is Mode.OPEN_LOOPBACK or principal.protocol is Protocol.LOCAL

    def _rule(self, principal: Principal) -> Rule | None:
        """The one that is about *principal*, None for strangers."""
        rules = self.peers if principal.protocol is Protocol.DIMSE else self.users
        rule = rules.get(principal.name)
        return rule if rule is not None and rule.fits(principal) else None

    def decide(self, principal: Principal, action: Action, ref: Ref | None = None) -> None:
        """Return if *principal* may do *action* on *ref*, else raise.

        Raises NotFound for reads of *ref* (not found and not yours answer alike), Forbidden otherwise.
        """
        if self.allows(principal, action):
            return
        if ref is not None and action is Action.RETRIEVE:
            raise NotFound
        raise Forbidden(NO_DELETION) if action is Action.DELETE and not self.deletes else Forbidden

    def narrow(self, principal: Principal, query: Query, action: Action = Action.SEARCH) -> Query:
        """*query*, restricted to what *principal* may do *action* on. Raises Forbidden where that is nothing."""
        self.decide(principal, action)
        return query
