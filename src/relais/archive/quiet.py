"""Packing series that have fallen quiet, together with their metadata. Knows the steps, not what a pack looks like."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from relais.archive import Archive, documents, integrity
from relais.db.database import Transaction
from relais.errors import NodeError
from relais.index import instances, packs
from relais.index.bundles import Bundle
from relais.index.packs import Made
from relais.index.rows import InstanceRow

AT_ONCE = 2000  # instances packed by one transaction, or those of one series: other writers wait so long

log = logging.getLogger(__name__)


def pack_quiet(archive: Archive, may: Callable[[], bool] = lambda: True) -> bool:
    """Pack the next series in which nothing has happened for the time of the settings; whether there was something.

    Nothing is done if *may*, asked where there is something, says no. Any process may do so at any time: a series that
    changes meanwhile, or that another process packs, is left alone.
    """
    quiet_s = archive.db.settings.quiet_s
    if not quiet_s:
        return False
    due = packs.due(archive.db, time.time() - quiet_s)
    if due.is_nothing or not may():
        return False
    for portion in _portions(archive, due.series):
        archive.db.write(partial(_keep, portion))
    if due.until > due.revision:
        archive.db.write(lambda tx: packs.move_on(tx, due))
    return True


def _portions(archive: Archive, series: list[int]) -> Iterator[list[Made]]:
    """Packs of *series*, as many together as one transaction takes."""
    portion: list[Made] = []
    for number in series:
        portion.append(_made(archive, number))
        if sum(len(made.ids) for made in portion) >= AT_ONCE:
            yield portion
            portion = []
    if portion:
        yield portion


def _made(archive: Archive, number: int) -> Made:
    """A pack of one series, with the documents of all its instances that can be read."""
    with archive.db.read() as connection:
        rows = instances.of_series(connection, number)
    made = packs.make(archive.db, number, _head(archive, rows[:1]))
    if made.packed is None:
        return made
    bundle = Bundle()
    for row, document in documents.readable(archive, rows):
        bundle.add((row.id, row.revision), document)
    return replace(made, documents=bundle.packed())


def _head(archive: Archive, rows: list[InstanceRow]) -> bytes:
    """The head of one object, by which a pack tells those of the others; empty if it cannot be read now."""
    try:
        return integrity.checked_head(archive, rows[0]) if rows else b""
    except NodeError:
        return b""


def _keep(portion: list[Made], tx: Transaction) -> None:
    for made in portion:
        if made.packed is None and made.ids:
            log.warning("not packed series=%s: its pack would not say what its rows say", made.series_fk)
        packs.keep(tx, made)
