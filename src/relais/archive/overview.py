"""What the node holds and how busy it is, for people and metrics."""

import time
from dataclasses import dataclass

from relais.access.policy import Action
from relais.access.principals import OPERATOR, Principal
from relais.archive import Archive
from relais.index import statistics as index_statistics
from relais.index.rows import Statistics


@dataclass(frozen=True, slots=True)
class Overview:
    """*free_bytes* is None where the storage cannot tell. Received counts are of instances."""

    statistics: Statistics
    free_bytes: int | None
    received_last_minute: int
    received_last_hour: int
    received_last_day: int


def overview(archive: Archive, principal: Principal = OPERATOR) -> Overview:
    """The state of the archive now. Raises Forbidden for those who may not search: not even counts are told to them."""
    archive.policy.decide(principal, Action.SEARCH)
    now = time.time()
    minute, hour, day = (index_statistics.received_since(archive.db, now - span) for span in (60, 3600, 86400))
    return Overview(index_statistics.statistics(archive.db), archive.store.free_bytes(), minute, hour, day)
