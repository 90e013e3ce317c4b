"""Searching instances: series first, in their order, then what of each is asked for. Knows rows and packs alike.

Series come in windows that grow, so that a small page reads little and a long walk takes few statements. In each, rows
are asked by SQL, and packs by dicom.matching, whose word is law for both.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from relais.db.database import Connection
from relais.dicom.attributes import Level, by_tag
from relais.dicom.matching import matches
from relais.dicom.query import Query
from relais.errors import TooBroad
from relais.index import instances
from relais.index.compile import Condition, supported
from relais.index.dialect import as_array, listed, read
from relais.index.fragments import FALSE, Fragment, all_of, fill
from relais.index.instances import PackedSeries
from relais.index.mapping import all_rows
from relais.index.plan import Plan, inside
from relais.index.walk import Place, behind, page

FIRST, MOST = 2, 512  # series in the first window, and in any;
GROWTH = 4  # each has so many times as many as the one before
SERIES = 4  # what a series' place in the order takes


@dataclass(frozen=True, slots=True)
class Instances:
    """One planned search for instances, to be done by *deadline* on the monotonic clock."""

    connection: Connection
    query: Query
    chosen: Plan
    conditions: list[Condition]
    deadline: float

    def places(self, after: Place | None) -> Iterator[Place]:
        """The place of every instance asked for, in order, behind *after*. Raises TooBroad after the deadline."""
        for window in self._windows(after):
            if time.monotonic() > self.deadline:
                raise TooBroad
            found = self._found([int(place[3]) for place in window])
            for series in window:
                own = ((*series, *place) for place in sorted(found[int(series[3])]))
                yield from (place for place in own if after is None or place[3] != after[3] or place[4:] > after[4:])

    def _windows(self, after: Place | None) -> Iterator[list[Place]]:
        """The places of the series, from that of *after* on."""
        size, left = FIRST, [(self.chosen, Fragment("TRUE"))]
        if after is not None:
            left = [(inside(Level.SERIES, after[3]), Fragment("TRUE")), *self._behind(after[:SERIES])]
        while left:
            plan, position = left.pop(0)
            window = self._series(plan, position, size)
            if window:
                yield window
            if len(window) == size:
                left, size = self._behind(window[-1]), min(GROWTH * size, MOST)

    def _behind(self, series: Place) -> list[tuple[Plan, Fragment]]:
        return behind(Level.SERIES, self.chosen, series)

    def _series(self, plan: Plan, position: Fragment, size: int) -> list[Place]:
        if plan.start == FALSE:
            return []
        above = [one.fragment for one in self.conditions if one.level is not Level.IMAGE]
        statement = page(Level.SERIES, plan, [*above, position])
        return [tuple(place) for place in all_rows(self.connection, statement.sql, (*statement.params, size, 0))]

    def _found(self, window: list[int]) -> dict[int, list[Place]]:
        """Position and id of what is asked for in each of these series."""
        found: dict[int, list[Place]] = {number: [] for number in window}
        statement = rows([one.fragment for one in self.conditions if one.level is Level.IMAGE], window)
        for series, position, number in all_rows(self.connection, statement.sql, statement.params):
            found[series].append((position, number))
        for packed in instances.packed(self.connection, window):
            found[packed.id] += self._matching(packed)
        return found

    def _matching(self, series: PackedSeries) -> Iterator[Place]:
        """Position and id of what is asked for in a packed series."""
        asked = [match for match in self.query.matches if supported(Level.IMAGE, match.tag)]
        query = replace(self.query, matches=tuple(one for one in asked if by_tag()[one.tag].level is Level.IMAGE))
        positions, ids = series.packed.columns["position"], series.packed.columns["id"]
        for place, ds in enumerate(instances.datasets(self.connection, series.packed, is_needed=bool(query.matches))):
            if matches(ds, query):
                yield positions[place], ids[place]


def rows(filters: list[Fragment], series: list[int]) -> Fragment:
    """The statement that finds series, position and id of those rows of *series* that satisfy *filters*."""
    source = Fragment(read("instance", "i", "instance_series"))
    where = all_of([fill("i.series_fk IN ({})", listed(series)), *filters])
    return as_array("a, b, c", fill("SELECT i.series_fk, i.position, i.id FROM {} WHERE {}", source, where))
