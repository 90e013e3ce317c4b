"""What is held of studies and series, for people and for who brings more of them. Knows rows and sizes, no contents."""

from collections.abc import Sequence

from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive
from relais.dicom.refs import SeriesRef, StudyRef
from relais.errors import NodeError
from relais.index import holdings as index_holdings
from relais.index import lookup
from relais.index.holdings import Holding
from relais.storage.layout import study_folder

__all__ = ["Holding", "is_untouched", "series", "sop_instance_uids", "studies"]


def studies(archive: Archive, principal: Principal, refs: Sequence[StudyRef]) -> dict[StudyRef, Holding]:
    """What is held of studies that a search has just found (and recorded). Raises Forbidden."""
    for ref in refs:
        archive.policy.decide(principal, Action.SEARCH, ref)
    return index_holdings.studies(archive.db, refs)


def series(archive: Archive, principal: Principal, ref: StudyRef) -> dict[SeriesRef, Holding]:
    """What is held of each series of a study. Raises Forbidden."""
    archive.policy.decide(principal, Action.SEARCH, ref)
    return index_holdings.series(archive.db, ref)


def is_untouched(archive: Archive, principal: Principal, ref: StudyRef) -> bool:
    """Whether the study is held and nothing of it was ever deleted or lost: what once came for it is here.

    Lost is what the storage has not, or not in its size. Raises Forbidden.
    """
    archive.policy.decide(principal, Action.SEARCH, ref)
    rows = lookup.instances(archive.db, ref)
    if not rows or lookup.was_deleted(archive.db, ref):
        return False
    try:
        sizes = archive.store.sizes(study_folder(rows[0].key))
    except NodeError:
        return False
    return all(sizes.get(row.key) == row.size_bytes for row in rows)


def sop_instance_uids(archive: Archive, principal: Principal, ref: StudyRef | SeriesRef) -> set[str]:
    """The instances held of a study or series, to be compared with what another archive has. Raises Forbidden."""
    archive.policy.decide(principal, Action.SEARCH, ref)
    return {row.ref.sop_instance_uid for row in lookup.instances(archive.db, ref)}
