"""The change feed, for those who may see what there is. Knows revisions, no protocol."""

from collections.abc import Sequence
from dataclasses import dataclass

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive
from relais.errors import Gone
from relais.index import changes as index_changes
from relais.index.rows import Change

ANEW = "The index was made anew since this was read: begin at revision 0 of the feed."


@dataclass(frozen=True, slots=True)
class Page:
    """Some *changes*, oldest first, of the feed *name*, and its newest revision, *latest*."""

    name: str
    changes: Sequence[Change]
    latest: int


def changes(archive: Archive, principal: Principal, since: int, limit: int, name: str = "") -> Page:
    """The first *limit* changes behind revision *since*; recorded if there are any.

    Raises Forbidden, and Gone if *since* was never a revision of this feed, or *name* is that of another one.
    """
    archive.policy.decide(principal, Action.SEARCH)
    own = index_changes.name(archive.db)
    found = index_changes.since(archive.db, since, limit)
    latest = max(index_changes.latest(archive.db), *(change.revision for change in found[-1:]), 0)
    if since > latest or (name and name != own):
        raise Gone(ANEW)
    if found:
        detail: dict[str, object] = {"changes": len(found), "since": since}
        record = audit.Record(principal, Action.SEARCH, detail=detail)
        archive.db.write_soon(lambda tx: audit.write(tx, record))
    return Page(own, found, latest)


def has_changed(archive: Archive, since: int) -> bool:
    """Whether there is any revision behind *since*. Releases nothing, and asks nobody."""
    return index_changes.latest(archive.db) > since
