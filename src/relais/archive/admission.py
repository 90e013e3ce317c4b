"""Admission: whether somebody is let in at all, and where to, before anything is looked up. Knows no protocol."""

from relais.access.policy import Action
from relais.access.principals import Principal, of_origin
from relais.archive import Archive
from relais.dicom.origin import Origin
from relais.errors import Forbidden


def admits(archive: Archive, principal: Principal) -> bool:
    """Whether *principal* is one whom the policy knows. Not audited: nothing is asked for yet."""
    return archive.policy.knows(principal)


def require_storing(archive: Archive, origin: Origin) -> None:
    """Raise Forbidden unless *origin* may store: asked once before much is sent for nothing; ingest asks again."""
    archive.policy.decide(of_origin(origin), Action.STORE)


def require_retrieving(archive: Archive, principal: Principal, action: Action) -> None:
    """Raise Forbidden unless *principal* may do *action*, to get or have sent, at all: nothing is looked up yet."""
    archive.policy.decide(principal, action)


def require_destination(archive: Archive, principal: Principal, ae_title: str) -> None:
    """Raise Forbidden unless *principal* may have instances sent to the peer with that AE title."""
    if not archive.policy.allows_move(principal, ae_title):
        raise Forbidden("This move destination is not allowed.")
