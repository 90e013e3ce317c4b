"""Objects that wait on one node for the object store to take them: told to all nodes, and moved. Knows no object store.

1. Whoever registers an object that waits here says so in the same transaction: no node takes it for lost.
2. An object is moved, then the nodes are told, then it leaves the spool. A crash between two of these is made good by
   doing all of it again.
3. What was deleted while it waited is not moved; what was deleted while it moved is taken away again.
"""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache

from relais.archive import Archive
from relais.db.database import Database, Transaction
from relais.dicom.refs import SeriesRef
from relais.errors import NodeError, NotFound, Unavailable
from relais.index import changes, condemned, spooled
from relais.storage.base import ObjectStore
from relais.storage.spooling import Spooling
from relais.telemetry import metrics

AT_ONCE = 8  # objects on their way to the object store
BATCH = 64  # objects moved before the nodes are told
STALE = 1000  # records looked at once the spool is empty

log = logging.getLogger(__name__)


class SharedRegister:
    """What the nodes tell each other, in the index that they share."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def waits_elsewhere(self, key: str, here: str) -> bool:
        return spooled.node_of(self._db, key) not in {None, here}

    def found_nearline(self, key: str) -> None:
        series = _series(key)
        if series not in spooled.nearline(self._db, [series.study_instance_uid]):
            self._db.write_soon(lambda tx: spooled.set_nearline(tx, series))

    def listed(self, folder: str, *, is_nearline: bool) -> None:
        series = _series(f"{folder}/")
        if is_nearline != (series in spooled.nearline(self._db, [series.study_instance_uid])):
            say = spooled.set_nearline if is_nearline else spooled.set_online
            self._db.write_soon(lambda tx: say(tx, series))


def record(archive: Archive, tx: Transaction, key: str) -> None:
    """Say that the object waits here, if it does. Part of every registration."""
    store = archive.store
    if _has_spool(type(store)) and isinstance(store, Spooling) and store.is_spooled(key):
        spooled.add(tx, key, store.spool_name)


def waits_elsewhere(archive: Archive, key: str) -> bool:
    """Whether the object waits on another node, by what the nodes have told."""
    store = archive.store
    return isinstance(store, Spooling) and spooled.node_of(archive.db, key) not in {None, store.spool_name}


def drop(tx: Transaction, keys: Sequence[str]) -> None:
    """Condemn *keys*, which no row names any more, and wait for no node that has them: it may be gone for good."""
    condemned.add(tx, keys)
    spooled.remove(tx, keys)


@cache
def _has_spool(kind: type[ObjectStore]) -> bool:
    """Whether such stores may have one: to ask each of them costs 30 µs, with the index locked."""
    return hasattr(kind, "is_spooled")


def told(archive: Archive) -> Iterator[str]:
    """A sentence for each node on which something waits."""
    for one in spooled.by_node(archive.db):
        since = datetime.fromtimestamp(one.since, UTC).isoformat(timespec="seconds")
        yield f"{one.objects} objects wait in {one.node}, the oldest since {since}."


def move_spool(archive: Archive, keep_going: Callable[[], bool] = lambda: True) -> bool:
    """Move what waits on this node; False if nothing did. Raises Unavailable if the object store takes nothing."""
    store = archive.store
    if not isinstance(store, Spooling):
        return False
    waiting = store.waiting()
    metrics.spool(waiting.objects, waiting.size_bytes)
    if not waiting.objects:
        _forget_gone(archive, store)
        return False
    keys = list(store.spooled())
    random.shuffle(keys)  # what cannot be moved must not stand before all others
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="spool") as threads:
        for batch in _batches(keys):
            if not keep_going():
                break
            _move(archive, store, batch, threads)
    return True


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Few at first: the object store may be away."""
    yield keys[:1]
    for start in range(1, len(keys), BATCH):
        yield keys[start : start + BATCH]


def _move(archive: Archive, store: Spooling, keys: Sequence[str], threads: ThreadPoolExecutor) -> None:
    """Move *keys*, tell the nodes, and let them go. Raises Unavailable if none of them could be moved."""
    failures: list[NodeError] = []

    def moved(key: str) -> bool:
        try:
            if not changes.was_dropped(archive.db, key):
                store.move(key)
        except NotFound:
            return True
        except NodeError as error:
            failures.append(error)
            return False
        return True

    gone = [key for key, is_moved in zip(keys, threads.map(moved, keys), strict=True) if is_moved]
    if not gone:
        raise Unavailable(failures[0].message)
    for error in failures[:1]:
        log.warning("stay in the spool: %s of %s objects, such as: %s", len(failures), len(keys), error.message)
    dropped = [key for key in gone if changes.was_dropped(archive.db, key)]
    archive.db.write(lambda tx: _tell(tx, gone, dropped))
    for key in gone:
        store.let_go(key)
    metrics.moved(len(gone))


def _tell(tx: Transaction, gone: Sequence[str], dropped: Sequence[str]) -> None:
    """*gone* wait no more; those that were *dropped* may be in the object store now, where nobody wants them."""
    spooled.remove(tx, gone)
    condemned.add(tx, dropped)


def _forget_gone(archive: Archive, store: Spooling) -> None:
    """Drop records of what does not wait here any more: it was deleted, or moved as it was being registered."""
    gone = [key for key in spooled.behind(archive.db, store.spool_name, "", STALE) if not store.is_spooled(key)]
    if gone:
        archive.db.write(lambda tx: spooled.remove(tx, gone))


def _series(key: str) -> SeriesRef:
    """The series of a key, or of a folder that ends in a slash."""
    return SeriesRef(*key.split("/")[1:3])
