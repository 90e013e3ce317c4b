"""Whether the clock of this machine was ahead once: what came then bears times yet to come. Knows the index."""

import time
from datetime import UTC, datetime

from relais.db.database import Database
from relais.index import changes

AHEAD_S = 3600.0  # nodes of one archive, and a clock that is being set, may differ by less


def ahead(db: Database) -> str | None:
    """A sentence for the operator if the newest change of the archive lies in the future."""
    at = changes.latest_at(db)
    if at is None or at <= time.time() + AHEAD_S:
        return None
    newest = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return f"The newest change was written at {newest}, which is yet to come: a clock is wrong now, or was then."
