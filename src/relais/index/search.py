"""Searching the index: a Query becomes a page, or a stream, of attributes. Knows order and paging, not access.

1. Ids first: narrow index entries are filtered, sorted and cut; only then are the wide rows of the page read.
2. The order is stable: studies from the newest to the oldest (Study Date and Time, then id; without a date last),
   series within them by number, instances within those by number; patients by Patient ID and issuer (index.walk).
3. A stream reads batch after batch, each continuing where the last one ended. Between batches no read is open; what is
   stored or deleted meanwhile may or may not be seen, nothing else is seen twice or missed.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from relais.db.database import Connection, Database
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query
from relais.index import compile as sql
from relais.index import keys
from relais.index.bearers import resolved
from relais.index.candidates import Candidates
from relais.index.compile import Condition, supported
from relais.index.fragments import FALSE, Fragment
from relais.index.images import Instances
from relais.index.mapping import all_rows
from relais.index.nearby import nearby
from relais.index.page import rows
from relais.index.plan import EVERYTHING, Plan, plan, rare, tried
from relais.index.walk import Place, behind, behind_patient, oldest_first, page, patients

__all__ = ["Page", "search", "stream", "supported", "unsupported"]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of an answer, whether there are more behind them, and where the last of them stands, if any."""

    rows: list[JsonDataset]
    more: bool
    last: Place | None = None


def unsupported(db: Database, query: Query) -> tuple[int, ...]:
    """The keys of *query* that are not matched, those inside sequences too; they narrow nothing."""
    if not sql.unsupported(query):  # as nearly always: the declared keys could only make it fewer
        return ()
    with db.read() as connection:
        return sql.unsupported(query, keys.filled(connection))


def search(db: Database, query: Query, after: Place | None = None) -> Page:
    """One page of what *query* asks for: what lies behind *after* in order or, without that, behind its offset."""
    limit = EVERYTHING if query.limit is None else query.limit + 1
    with db.read() as connection:
        select = _Select(connection, query, limit, db.settings.read_timeout_s)
        found = select.first(limit, query.offset) if after is None else select.after(after, limit)
        more = query.limit is not None and len(found) > query.limit
        found = found[: query.limit]
        return Page(select.rows(found), more, found[-1] if found else None)


def stream(db: Database, query: Query, batch: int = 500) -> Iterator[JsonDataset]:
    """Everything that *query* asks for, a *batch* at a time, however much it is."""
    left, offset, last = query.limit, query.offset, None  # type: int | None, int, Place | None
    while left is None or left > 0:
        size = batch if left is None else min(batch, left)
        with db.read() as connection:
            select = _Select(connection, query, size, db.settings.read_timeout_s)
            found = select.first(size, offset) if last is None else select.after(last, size)
            batch_rows = select.rows(found)
        yield from batch_rows
        if len(found) < size:
            return
        left, last = None if left is None else left - size, found[-1]


class _Select:
    """One search, planned when it must be."""

    def __init__(self, connection: Connection, query: Query, limit: int, timeout_s: float) -> None:
        declared = keys.filled(connection) if sql.unsupported(query) else frozenset()  # else none of them is asked for
        self._connection, self._query = connection, query
        self._level, self._count = query.level, query.offset + limit
        self._asked = sql.conditions(query, declared)
        self._deadline = time.monotonic() + timeout_s

    @cached_property
    def _conditions(self) -> list[Condition]:
        return self._asked if self._rare else resolved(self._connection, self._asked, self._query.fuzzy)

    @cached_property
    def _plan(self) -> Plan:
        return self._rare or plan(self._connection, self._level, self._conditions, self._count, self._starts)

    @cached_property
    def _rare(self) -> Plan | None:
        return rare(self._connection, self._asked, self._starts)

    @cached_property
    def _starts(self) -> Candidates:
        return tried(self._connection, self._level, self._asked)

    @cached_property
    def _instances(self) -> Instances:
        return Instances(self._connection, self._query, self._plan, self._conditions, self._deadline)

    @cached_property
    def _patients(self) -> list[Plan]:
        lacking = self._connection.execute("SELECT 1 FROM patient WHERE patient_id = '' LIMIT 1").fetchone()
        return patients(self._plan, some_lack_id=lacking is not None)

    @property
    def _filters(self) -> list[Fragment]:
        return [condition.fragment for condition in self._conditions]

    def rows(self, found: list[Place]) -> list[JsonDataset]:
        """What is answered of the places *found*."""
        return rows(self._connection, self._query, found, self._filters if self._level is Level.PATIENT else [])

    def first(self, limit: int, offset: int) -> list[Place]:
        """The first rows in order."""
        if self._level is Level.IMAGE:
            return list(islice(self._instances.places(None), offset, offset + limit))
        if self._level is Level.PATIENT:
            return self._of_patients(limit, offset)
        if offset and self._level is Level.STUDY and not self._asked:
            return self._of_all_studies(limit, offset)
        found = self._nearby(limit, offset) if self._level is Level.STUDY else []
        return found if len(found) == limit else self._run(self._plan, self._filters, limit, offset)

    def _nearby(self, limit: int, offset: int) -> list[Place]:
        """The first rows where they lie near, or not all of them."""
        near = nearby(self._connection, self._asked, offset + limit)
        return [] if near is None else self._run(near.plan, near.filters, limit, offset)

    def _of_patients(self, limit: int, offset: int) -> list[Place]:
        """The patients behind *offset*, of whom those without a Patient ID are counted off one by one."""
        *first, rest = self._patients
        most = min(limit + offset, EVERYTHING)
        found = [place for part in first for place in self._run(part, self._filters, most, 0)]
        left, passed = limit - len(found[offset:]), max(0, offset - len(found))
        return found[offset:] + (self._run(rest, self._filters, left, passed) if left > 0 else [])

    def _of_all_studies(self, limit: int, offset: int) -> list[Place]:
        """The studies behind *offset* among all of them, counted off from the nearer end."""
        behind_it = self._connection.execute("SELECT studies FROM totals").fetchone()[0] - offset
        if offset <= behind_it or behind_it <= 0:
            return self._run(self._plan, [], limit, offset)
        statement = oldest_first(self._plan)
        found = (min(limit, behind_it), max(0, behind_it - limit))
        rows = all_rows(self._connection, statement.sql, (*statement.params, *found))
        return [tuple(place) for place in reversed(rows)]

    def after(self, last: Place, limit: int) -> list[Place]:
        """The rows behind *last* in order."""
        if self._level is Level.IMAGE:
            return list(islice(self._instances.places(last), limit))
        found: list[Place] = []
        for chosen, position in self._behind(last):
            if len(found) < limit:
                found += self._run(chosen, [*self._filters, position], limit - len(found), 0)
        return found

    def _behind(self, last: Place) -> list[tuple[Plan, Fragment]]:
        if self._level is Level.PATIENT:
            return behind_patient(self._patients, last)
        return behind(self._level, self._plan, last)

    def _run(self, chosen: Plan, filters: list[Fragment], limit: int, offset: int) -> list[Place]:
        if chosen.start == FALSE:
            return []
        statement = page(self._level, chosen, filters)
        return [tuple(place) for place in all_rows(self._connection, statement.sql, (*statement.params, limit, offset))]
