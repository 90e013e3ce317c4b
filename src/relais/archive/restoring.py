"""A backup becomes an archive again, and an archive moves to another index or store. Knows both ends, no command.

The index comes last, whole or not at all: before that the new place is no archive, and whatever was interrupted goes on
where it was.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from relais.archive import Archive, backup, transfer
from relais.archive.transfer import Copied, Progress
from relais.db.database import Database
from relais.db.settings import IndexSettings
from relais.errors import Internal, InvalidRequest, OutOfResources
from relais.index import lookup, portable
from relais.storage.base import ObjectStore

NOT_EMPTY = "There is an archive already in {}: a backup is restored into an empty place."
DIFFERENT = "The new index does not hold what the old one holds: {}."
MARK = "restoring"


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
    """Make the backup *name* of the folder *source*, or its newest, the archive of *store* and *index*, both empty.

    Raises InvalidRequest if they are not, or there is no such backup; Unavailable if that is damaged; OutOfResources.
    """
    mark = data_dir / MARK
    with backup.opened(source, name) as (manifest, file, archive):
        _begin(mark, manifest.made_at, store, index)
        rows = (row for _, row in lookup.keys(archive.db))
        copied = transfer.copy_all(archive, store, rows, portable.history(archive.db), progress)
        portable.load(file, index)
    db = Database(index)
    try:
        portable.begin_anew(db)
    finally:
        db.close()
    mark.unlink()
    return Restored(manifest, copied)


def _begin(mark: Path, name: str, store: ObjectStore, index: IndexSettings) -> None:
    """Say what is restored here, unless the same was interrupted."""
    if mark.exists() and mark.read_text("utf-8") == name:
        return
    if is_taken(index) or next(iter(store.iterate()), None) is not None:
        raise InvalidRequest(NOT_EMPTY.format(mark.parent))
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(name, "utf-8")
    except OSError as exc:
        raise OutOfResources(f"{mark} cannot be written: {exc.strerror}.") from exc


def is_taken(index: IndexSettings) -> bool:
    """Whether there is an index already: a file, or on a server one that ever held something."""
    if not index.is_postgresql:
        return index.path.exists()
    db = Database(index)
    try:
        return not portable.is_empty(db)
    finally:
        db.close()


def copy_objects(archive: Archive, store: ObjectStore, progress: Progress) -> Copied:
    """Copy every object that *archive* names into *store*. The node may work meanwhile."""
    rows = (row for _, row in lookup.keys(archive.db))
    return transfer.copy_all(archive, store, rows, portable.history(archive.db), progress)


def move_index(archive: Archive, index: IndexSettings, room: Path) -> dict[str, int]:
    """Copy the index into that of *index*, which must be empty, and compare; the numbers of its rows by table.

    Nobody may write to the old one any more. Raises InvalidRequest, OutOfResources, Unavailable.
    """
    with TemporaryDirectory(prefix=".relais-", dir=room) as folder:
        file = Path(folder) / "index.sqlite"
        portable.save(archive.db, file)
        portable.load(file, index)
    before, db = portable.counts(archive.db), Database(index)
    try:
        after = portable.counts(db)
    finally:
        db.close()
    if different := [table for table in before if before[table] != after[table]]:
        raise Internal(DIFFERENT.format(", ".join(different)))
    return after
