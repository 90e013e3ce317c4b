"""How large studies and series are and when they came, for people. Knows rows, no files."""

from collections.abc import Sequence

from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive
from relais.dicom.refs import SeriesRef, StudyRef
from relais.index import holdings as index_holdings
from relais.index import lookup
from relais.index.holdings import Holding

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
    """Whether the study is held and nothing of it was ever deleted: what once came for it is here. Raises Forbidden."""
    archive.policy.decide(principal, Action.SEARCH, ref)
    return lookup.study_revision(archive.db, ref) > 0 and not lookup.was_deleted(archive.db, ref)


def sop_instance_uids(archive: Archive, principal: Principal, ref: StudyRef | SeriesRef) -> set[str]:
    """The instances held of a study or series, to be compared with what another archive has. Raises Forbidden."""
    archive.policy.decide(principal, Action.SEARCH, ref)
    return {row.ref.sop_instance_uid for row in lookup.instances(archive.db, ref)}
