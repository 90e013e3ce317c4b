"""Admission: whether somebody is let in at all, before it is known what is wanted. Knows no protocol."""

from relais.access.principals import Principal
from relais.archive import Archive


def admits(archive: Archive, principal: Principal) -> bool:
    """Whether *principal* is one whom the policy knows. Not audited: nothing is asked for yet."""
    return archive.policy.knows(principal)
