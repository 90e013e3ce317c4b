"""A backup becomes an archive again, and an archive moves to another index or store. Knows both ends, no command.

The index comes last, whole or not at all: before that the new place is no archive, and whatever was interrupted goes on
where it was.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from relais import private
from relais.archive import Archive, apart, backup, transfer, unfinished
from relais.archive.transfer import Copied, Progress
from relais.db.database import Database
from relais.db.settings import IndexSettings
from relais.errors import Internal, InvalidRequest, Unavailable, writing
from relais.index import changes, lookup, portable
from relais.index.scratch import scratch, sweep
from relais.storage.base import ObjectStore
from relais.storage.local import LocalStore

NOT_EMPTY = "There is an archive already in {}, its [index] or its [storage]: a backup is restored into an empty place."
UNDER_WAY = (
    "The backup {0} was being restored into {1}, and that was interrupted: go on with the folder that has it, by "
    "--name {0}, or empty [node] data_dir, [index] and [storage] and begin with another."
)
TAKEN = "There is something in the new index already: an archive moves into an empty one."
SAME_STORE = "The objects would be copied from {} to {}, which are one place, maybe by a link or a mount."
DIFFERENT = "The new index does not hold what the old one holds: {}."
MARK = unfinished.MARK


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restoration did. *manifest* tells what the backup itself lacks."""

    manifest: backup.Manifest
    copied: Copied


def restore(
    source: Path,
    store: ObjectStore,
    index: IndexSettings,
    data_dir: Path,
    *,
    name: str | None = None,
    progress: Progress = lambda objects, size_bytes: None,
) -> Restored:
    """Make the backup *name* of the folder *source* the archive of *store* and *index*, both empty.

    Without a *name* it is the one that was `begun` here, or the newest. Raises InvalidRequest if they are not empty, or
    there is no such backup; Unavailable if that is damaged; OutOfResources.
    """
    mark = data_dir / MARK
    with backup.opened(source, name or begun(source, data_dir)) as (manifest, file, archive):
        feed = _begin(mark, manifest.made_at, store, index)
        copied = copy_objects(archive, store, progress)
        if not (is_taken(index) and _feed(index) == feed):  # else it is ours, and only the mark was left
            portable.begin_anew(archive.db, feed)
            with scratch(data_dir) as folder:
                portable.save(archive.db, folder / file.name)
                portable.load(folder / file.name, index)
    sweep(data_dir)  # of who was killed when the index was there already
    mark.unlink()
    return Restored(manifest, copied)


def begun(source: Path, data_dir: Path) -> str | None:
    """The backup of the folder *source* whose restoration into *data_dir* was interrupted, if there is one."""
    name, _ = _marked(data_dir / MARK)
    return name if name in backup.BackupFolder(source).names() else None


def _marked(mark: Path) -> tuple[str, str]:
    """The backup that is being restored here, and the new name of its change feed; empty if there is none."""
    said = mark.read_text("utf-8").split() if _exists(mark) else []
    return (said[0], said[-1]) if said else ("", "")


def _begin(mark: Path, name: str, store: ObjectStore, index: IndexSettings) -> str:
    """Say what is restored here, and the new name of its change feed; the same if it was interrupted."""
    marked, feed = _marked(mark)
    if marked == name:
        return feed
    if is_taken(index) or next(iter(store.iterate()), None) is not None:
        raise InvalidRequest(UNDER_WAY.format(marked, mark.parent) if marked else NOT_EMPTY.format(mark.parent))
    with writing(mark):
        private.make_folder(mark.parent)
        mark.write_text(f"{name} {token_hex(8)}", "utf-8")
    return _marked(mark)[1]


def _feed(index: IndexSettings) -> str:
    with closing(Database(index)) as db:
        return changes.name(db)


def is_taken(index: IndexSettings) -> bool:
    """Whether there is an index already: a file, or on a server one that ever held something.

    Raises Unavailable if somebody has it open, or it may not be looked at.
    """
    if not index.is_postgresql:
        return _exists(index.path)
    with closing(Database(index)) as db, db.alone():
        return not portable.is_empty(db)


def _exists(path: Path) -> bool:
    """Raises Unavailable where it may not be looked."""
    try:
        return path.exists()
    except OSError as exc:
        raise Unavailable(f"{path} cannot be read: {exc.strerror}.") from exc


def copy_objects(archive: Archive, store: ObjectStore, progress: Progress) -> Copied:
    """Copy every object that *archive* names into *store*. The node may work meanwhile.

    Raises InvalidRequest if they lie in one place: what is damaged there would be removed, to be copied from itself.
    """
    if isinstance(archive.store, LocalStore) and isinstance(store, LocalStore):
        here, there = archive.store.root, store.root
        if apart.overlap(here, there):
            raise InvalidRequest(SAME_STORE.format(here, there))
    rows = (row for _, row in lookup.keys(archive.db))
    return transfer.copy_all(archive, store, rows, portable.history(archive.db), progress)


def move_index(archive: Archive, index: IndexSettings, room: Path) -> dict[str, int]:
    """Copy the index into that of *index*, which must be empty, and compare; the numbers of its rows by table.

    Done once more it only compares. Nobody may write to the old one any more. Raises InvalidRequest if there is
    something else in the new one, OutOfResources, Unavailable.
    """
    archive.db.close()  # late writes are to be in it too
    was_taken = is_taken(index)
    if not was_taken:
        with scratch(room) as folder:
            file = folder / "index.sqlite"
            portable.save(archive.db, file)
            portable.load(file, index)
    sweep(room)
    before = portable.counts(archive.db)
    with closing(Database(index)) as db:
        after = portable.counts(db)
    if different := [table for table in before if before[table] != after[table]]:
        raise InvalidRequest(TAKEN) if was_taken else Internal(DIFFERENT.format(", ".join(different)))
    return after
