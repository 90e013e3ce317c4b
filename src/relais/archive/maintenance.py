"""Keeping files and index together: the sweep after a crash, the rebuild of the index, the check of everything.

The files are the truth: each says in its File Meta Information what it is and where it came from. Knows no protocol.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from relais.archive import Archive, ahead, registration, removal, spooling
from relais.archive.integrity import Damaged, Lost, look_at_kept, verified_chunks
from relais.archive.settings import OnConflict
from relais.db.database import Transaction
from relais.dicom.elements import reader_of
from relais.dicom.header import read_header
from relais.dicom.origin import Channel, Origin
from relais.dicom.part10 import origin_of, read_head, received_at_of
from relais.dicom.refs import InstanceRef
from relais.errors import Elsewhere, Gone, Nearline, NodeError, NotFound, Unavailable
from relais.index import changes, composite, condemned, lookup, statistics
from relais.index.rows import InstanceFacts, InstanceRow, Outcome, Registered
from relais.storage.base import Folder
from relais.storage.digest import new_digest
from relais.storage.layout import study_folder

CHUNK_BYTES = 1024 * 1024
UPLOAD_AGE_S = 3600.0
"""An upload that was not committed within this time has lost its sender; its leavings go."""

NOTHING_THERE = (
    "The index is left as it is: it names {} instances, and the storage holds none. Is it mounted, and the right one? "
    "Where they are really lost, move the index away, or name a new one, first."
)
NOT_ALL_READ = (
    "The index is left as it is: {} objects cannot be read now, such as {}. Mend that; to go on without them, move the "
    "index away, or name a new one, first."
)

Progress = Callable[[int], None]
"""Told after each object how many are done."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Swept:
    """What a sweep did, in numbers of objects."""

    uploads_removed: int = 0
    indexed: int = 0
    removed: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class Report:
    """What a check found, as keys. *missing* and *damaged* are named by the index; *orphans* by nothing.

    *foreign* are files that are no objects: nobody reads them, and nobody removes them.

    *unread* could not be read now; nor could what is *waiting* on another node, or *nearline* in slow storage, but that
    is as it should be. *spools* says in sentences how much waits on which node.
    """

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    nearline: list[str] = field(default_factory=list)
    spools: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not (self.missing or self.damaged or self.unread or self.orphans or self.foreign or self.miscounted)


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild of the index found, in numbers of objects; *unreadable* are keys."""

    indexed: int = 0
    superseded: int = 0
    unreadable: list[str] = field(default_factory=list)


def sweep(
    archive: Archive, *, upload_age_s: float = UPLOAD_AGE_S, keep_going: Callable[[], bool] = lambda: True
) -> Swept:
    """Deal with what a crash left: drop unfinished uploads, index whole objects without a row, drop deleted ones.

    Safe while the node works: an object that is being registered at this moment is registered once.
    """
    swept = Swept(uploads_removed=archive.store.sweep(upload_age_s))
    for key in _orphans(archive) if keep_going() else ():
        if not keep_going():
            break
        try:
            _deal_with(archive, key, swept)
        except NotFound:
            log.info("deleted meanwhile key=%s", key)
        except NodeError as error:
            log.error("unreadable key=%s: %s", key, error.message)
            swept.unreadable += 1
    return swept


def _deal_with(archive: Archive, key: str, swept: Swept) -> None:
    """Index or remove one object that no row names. Raises NotFound if it is being deleted at this moment."""
    if changes.was_dropped(archive.db, key):
        archive.db.write(lambda tx: condemned.add(tx, [key]))
        removal.take_away(archive, [key])
        swept.removed += 1
        return
    facts = facts_of(archive, key)
    registered = _register_again(archive, facts)
    if registered is None:  # condemned by this
        removal.take_away(archive, [key])
        swept.removed += 1
    elif registered.superseded_key != key:
        swept.indexed += 1
    elif registered.outcome is Outcome.KEPT_FIRST:
        log.warning("left alone key=%s: another Data Set is kept under its UID", key)
    elif _is_sound(archive, facts.ref):
        registration.give_up(archive, facts.ref, key)
        swept.removed += 1
    else:
        log.error("left alone key=%s: what the index names instead is damaged", key)


def _is_sound(archive: Archive, ref: InstanceRef) -> bool:
    """Whether the object that the index names for *ref* is there and undamaged."""
    row = lookup.instance(archive.db, ref)
    try:
        return row is not None and sum(map(len, verified_chunks(archive, row, 0, always=True))) == row.size_bytes
    except NodeError:
        return False


def reindex(archive: Archive, progress: Progress = lambda done: None) -> Rebuilt:
    """Rebuild the index from the stored objects alone. No other process may use the index meanwhile.

    Objects are registered in the order in which they were received, study by study, so that the answers are the same.

    Raises Unavailable, with the index as it was, if it names something and not every object could be asked for its age.
    """
    studies = _by_arrival(archive)
    composite.reset(archive.db)
    rebuilt = Rebuilt()
    keys = (key for study in studies for _, key, _ in sorted(_arrivals(archive, study)))
    found = ahead.each(archive, lambda key: (key, _facts_or_error(archive, key)), keys, _a_piece)
    for done, (key, facts) in enumerate(found, start=1):
        try:
            if isinstance(facts, NodeError):
                raise facts
            registered = _register_again(archive, facts)
        except NotFound:
            log.info("deleted before key=%s", key)
        except NodeError as error:
            log.error("unreadable key=%s: %s", key, error.message)
            rebuilt.unreadable.append(key)
        else:
            stored = registered is not None and registered.outcome is Outcome.STORED
            rebuilt.indexed += stored
            rebuilt.superseded += not stored
        progress(done)
    return rebuilt


def check(archive: Archive, progress: Progress = lambda done: None) -> Report:
    """Read every object in full and compare it with the index, and every counter with the rows it counts."""
    report = Report(miscounted=list(statistics.recount(archive.db)))
    report.spools.extend(spooling.told(archive))
    rows = (row for _, row in lookup.keys(archive.db))
    for row, error in ahead.each(archive, lambda row: (row, _read_through(archive, row)), rows, _a_piece):
        if isinstance(error, Damaged) or (error and _is_named(archive, row)):  # still
            _kind(report, error).append(row.key)
        report.checked += 1
        progress(report.checked)
    report.orphans.extend(key for key in _orphans(archive) if not changes.was_dropped(archive.db, key))
    if isinstance(archive.store, Folder):
        report.foreign.extend(archive.store.foreign())
    return report


def _a_piece(of: object) -> int:
    """What reading any object holds in memory: a piece of it."""
    return CHUNK_BYTES


def _read_through(archive: Archive, row: InstanceRow) -> NodeError | None:
    """What is wrong with an object, read in full."""
    try:
        for _ in verified_chunks(archive, row, 0, always=True):
            pass
    except NodeError as error:
        return error
    return None


def _kind(report: Report, error: NodeError) -> list[str]:
    """Where an object belongs that could not be read because of *error*."""
    kinds = (
        (Damaged, report.damaged),
        (Elsewhere, report.waiting),
        (Nearline, report.nearline),
        (Unavailable, report.unread),
    )
    return next((found for kind, found in kinds if isinstance(error, kind)), report.missing)


def _facts_or_error(archive: Archive, key: str) -> InstanceFacts | NodeError:
    try:
        return facts_of(archive, key)
    except NodeError as error:
        return error
    except OSError as exc:  # the disk, while it is read
        return Unavailable(f"It cannot be read: {exc.strerror}.")


def facts_of(archive: Archive, key: str) -> InstanceFacts:
    """What ingest knew about a stored object, found again in the object. Raises InvalidDataSet, Unavailable."""
    with archive.store.open(key) as stream:
        meta, head = read_head(stream.read)
        digest, head_digest = new_digest(), new_digest()
        head_digest.update(head)
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
        size_bytes = stream.tell()
        header = read_header(reader_of(stream), size_bytes, len(head), meta.transfer_syntax_uid)
    return InstanceFacts(
        ref=header.ref,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
        attributes=header.attributes,
        key=key,
        size_bytes=size_bytes,
        digest=digest.digest(),
        head_digest=head_digest.digest(),
        layout=header.layout,
        origin=origin_of(meta) or Origin(Channel.IMPORT),
        received_at=received_at_of(meta) or 0.0,
    )


def _by_arrival(archive: Archive) -> list[str]:
    """The folders of all studies by their first arrival. Raises Unavailable if that would leave out what the index has.

    Holds one line a study in memory.
    """
    first: dict[str, float] = {}
    unread: list[str] = []
    counted = statistics.statistics(archive.db).instances
    try:
        for received_at, key, is_read in _arrivals(archive):
            study = study_folder(key)
            first[study] = min(received_at, first.get(study, received_at))
            if not is_read:
                unread.append(key)
    except Unavailable as exc:
        raise Unavailable(f"The index is left as it is. {_with_name(exc)}") from exc
    if counted and not first:
        raise Unavailable(NOTHING_THERE.format(counted))
    if counted and unread:
        raise Unavailable(NOT_ALL_READ.format(len(unread), unread[0]))
    return sorted(first, key=first.__getitem__)


def _with_name(error: Unavailable) -> str:
    """What *error* says, and of which folder, where the file system said it."""
    name = getattr(error.__cause__, "filename", None)
    return f"{error.message} ({name})" if name else error.message


def _arrivals(archive: Archive, folder: str = "") -> Iterator[tuple[float, str, bool]]:
    """When each object of *folder* was received, by its own account (0 if it has none), its key, whether it was read.

    What is elsewhere, or in slow storage, is as it should be, and counts as read.
    """

    def arrival(key: str) -> tuple[float, str, bool]:
        try:
            with archive.store.open(key) as stream:
                return received_at_of(read_head(stream.read)[0]) or 0.0, key, True
        except (Unavailable, OSError) as error:
            return 0.0, key, isinstance(error, Elsewhere | Nearline)
        except NodeError:
            return 0.0, key, True

    return ahead.each(archive, arrival, archive.store.iterate(folder), _a_piece)


def _orphans(archive: Archive) -> Iterator[str]:
    return lookup.unknown_keys(archive.db, archive.store.iterate())


def _is_named(archive: Archive, row: InstanceRow) -> bool:
    now = lookup.instance(archive.db, row.ref)
    return now is not None and now.key == row.key


def _register_again(archive: Archive, facts: InstanceFacts) -> Registered | None:
    """Register a stored object; of two Data Sets under one UID the setting and the time of arrival decide.

    None if its instance was rejected for good. Raises NotFound if it was deleted: also since it was read, so that
    nothing deleted comes back.
    """

    def work(tx: Transaction) -> Registered | None:
        if changes.was_dropped(tx, facts.key):
            raise Gone
        archive.store.size_bytes(facts.key)
        registered = registration.register(archive, tx, facts, lost)
        if registered is None or registered.outcome is not Outcome.KEPT_FIRST:
            return registered
        kept = lookup.instance(tx, facts.ref)
        if kept and archive.settings.on_conflict is OnConflict.REPLACE and kept.stored_at < facts.received_at:
            return composite.register(tx, facts, replace=True)
        return registered

    lost: Lost | None = None
    archive.store.secure(facts.key)
    registered = archive.db.write(work)
    if registration.is_met(registered, facts) and (lost := look_at_kept(archive, facts)).key:
        registered = archive.db.write(work)
    return registered
