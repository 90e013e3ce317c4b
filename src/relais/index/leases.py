"""Leases: what one of several nodes does at a time for all that share an index. Knows names of work, not the work.

Who dies lets its leases run out. The clocks of the nodes must agree to within a few seconds; work under a lease must
harm nobody if it is done twice. A lease that would last longer than a day was taken by a clock that was ahead, and
counts as run out.
"""

import time

from relais.db import statements
from relais.db.database import Database, Transaction

SQL = statements.load("relais.index.sql", "leases.sql")
MOST_S = 86_400.0  # longer than any lease is given


class Lease:
    """The lease *name* as *holder* sees it. Taken for *seconds*, and again before half of them are over.

    A holder keeps its name over restarts: it need not wait for its own lease to run out.
    """

    def __init__(self, db: Database, name: str, holder: str, seconds: float) -> None:
        self._db, self._name, self._holder, self._seconds = db, name, holder, seconds
        self._renew_at = float("-inf")

    def held(self) -> bool:
        """Whether it is ours, taken or renewed if need be. Writes to the index at most twice in *seconds*."""
        begun = time.monotonic()
        if begun < self._renew_at:
            return True
        if self._is_of_others() or not self._db.write(self._take):
            return False
        self._renew_at = begun + self._seconds / 2
        return True

    def give_back(self) -> None:
        """Let others have it at once. Nothing happens if it is not ours."""
        self._renew_at = float("-inf")
        self._db.write(lambda tx: tx.execute(SQL["give_back"], {"name": self._name, "holder": self._holder}))

    def _is_of_others(self) -> bool:
        """Asked first, since a question costs less than a write."""
        return _is_taken(self._db, self._name, but_by=self._holder)

    def _take(self, tx: Transaction) -> bool:
        values = {"name": self._name, "holder": self._holder, "until": tx.now + self._seconds, **_between(tx.now)}
        return tx.execute(SQL["take"], values).fetchone() is not None


def taken(db: Database, name: str) -> bool:
    """Whether anybody has the lease *name* now."""
    return _is_taken(db, name, but_by="")


def _is_taken(db: Database, name: str, *, but_by: str) -> bool:
    values = {"name": name, "holder": but_by, **_between(time.time())}
    with db.read() as connection:
        return connection.execute(SQL["others"], values).fetchone() is not None


def _between(now: float) -> dict[str, float]:
    """When a lease ends that somebody has."""
    return {"now": now, "latest": now + MOST_S}
