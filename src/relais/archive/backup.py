"""Backups: what the archive holds, in a folder on another disk. Knows objects, snapshots of the index and one folder.

    TARGET/objects/          every object that a snapshot names, once, as the storage has it: plain Part 10 files
    TARGET/snapshots/NAME/   index.sqlite, the whole index as of one moment, and manifest.json
    TARGET/snapshots/NAME.part   one that is being made or removed: nothing

1. A snapshot counts only under its own name, which it gets last, when all that it names is there and durable. So an
   interrupted run leaves the former backups whole, and the next one goes on where it was.
2. Every object was compared with its digests while it was copied. What is damaged or lost in the archive itself, or
   cannot be read now, and is not in an older backup, is listed in the manifest, not hidden.
3. Nothing that the snapshot names is removed from the archive until it is copied (the lease archive.removal.HOLD).
"""

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from socket import gethostname
from typing import Any

from relais import __version__, private
from relais.archive import Archive, apart, removal, transfer
from relais.archive.integrity import Damaged, verified_chunks
from relais.archive.transfer import Copied, Progress
from relais.db import copies
from relais.db.database import Database
from relais.db.settings import for_path
from relais.errors import InvalidRequest, NodeError, NotFound, Unavailable, writing
from relais.index import changes, lookup, portable, statistics
from relais.index.leases import Lease
from relais.index.rows import InstanceRow
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers
from relais.storage.base import ObjectStore
from relais.storage.local import LocalStore

FORMAT = 2  # 1 had no generation
INDEX, MANIFEST, PART = "index.sqlite", "manifest.json", ".part"
BATCH = 256  # keys that are compared at a time
HOLD_S = 600.0  # a backup that is killed lets removals go on after this
UNKNOWN_FORMAT = "The backup {} was made by a newer version of Relais."
NO_BACKUP = "There is no backup in {}."
OTHER_ARCHIVE = "{} holds backups of another archive, which has no object of this one: choose a folder for each."
FORMER_SELF = (
    "{} holds backups of this archive from before it was restored or its index was made anew, or of a copy of it. "
    "If this one takes its place, say so once with --take-over; else choose a folder for each."
)
SAME_PLACE = (
    "A backup in {} would lie among the archive's own objects, which are in {}, maybe by a link or a mount: "
    "choose a folder on another disk."
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself. *index_sha256* is of its index; the lists are keys of objects that it lacks.

    *generation* is one more whenever an archive took the place of that of the backups before.
    """

    made_at: str
    feed: str
    revision: int
    instances: int
    size_bytes: int
    index_sha256: str
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    generation: int = 0
    format: int = FORMAT
    version: str = __version__

    @property
    def is_whole(self) -> bool:
        return not self.lacking

    @property
    def lacking(self) -> list[str]:
        """All that it lacks."""
        return [*self.missing, *self.damaged, *self.unread]


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made, by its name, what it says, and what was copied for it."""

    name: str
    manifest: Manifest
    copied: int
    copied_bytes: int


class BackupFolder:
    """A folder of backups."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.snapshots = self.root / "snapshots"
        self.objects = self.root / "objects"

    def store(self) -> LocalStore:
        """Its objects. Raises OutOfResources if the folder cannot be made."""
        return LocalStore(self.objects)

    def names(self) -> list[str]:
        """The backups, oldest first: by how far the archive had come, since a clock may have been wrong.

        Raises Unavailable where it may not be looked.
        """
        try:
            folders = [path for path in self.snapshots.iterdir() if path.suffix != PART]
            names = [path.name for path in folders if (path / MANIFEST).exists()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise Unavailable(f"{exc.filename} cannot be read: {exc.strerror}.") from exc
        return sorted(names, key=lambda name: (self._place(name), name))

    def _place(self, name: str) -> tuple[int, int]:
        """Which archive it was, and how far that had come; before all others where that cannot be read."""
        try:
            said = self._said(name)
            return int(said.get("generation", 0)), int(said["revision"])
        except (NodeError, KeyError):
            return -1, -1

    def chosen(self, name: str | None) -> str:
        """*name*, or the newest. Raises InvalidRequest if there is no such backup."""
        names = self.names()
        if not names or (name is not None and name not in names):
            raise InvalidRequest(NO_BACKUP.format(self.snapshots / name if name else self.root))
        return name or names[-1]

    def index(self, name: str) -> Path:
        """The index in the backup *name*."""
        return self.snapshots / name / INDEX

    def manifest(self, name: str) -> Manifest:
        """What the backup *name* says. Raises InvalidRequest for a newer format, Unavailable if it cannot be read."""
        said = self._said(name)
        if said.get("format") not in range(1, FORMAT + 1):
            raise InvalidRequest(UNKNOWN_FORMAT.format(name))
        return Manifest(**said)

    def _said(self, name: str) -> dict[str, Any]:
        try:
            said: dict[str, Any] = json.loads((self.snapshots / name / MANIFEST).read_text("utf-8"))
        except (OSError, ValueError) as exc:
            raise Unavailable(f"The manifest of the backup {name} cannot be read.") from exc
        return said

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Have the folder for ourselves, without the leavings of others. Raises Unavailable, OutOfResources."""
        with writing(self.root):
            private.make_folder(self.snapshots)
            with suppress(OSError):  # as on a disk that knows no modes
                private.narrow(self.snapshots)
            with (self.root / ".lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as exc:
                    raise Unavailable(f"Another backup into {self.root} is under way.") from exc
                for path in self.snapshots.glob(f"*{PART}"):
                    shutil.rmtree(path)
                yield


def make(
    archive: Archive,
    target: Path,
    *,
    keep: int | None = None,
    takes_over: bool = False,
    progress: Progress = lambda objects, size_bytes: None,
) -> Made:
    """Make a backup in the folder *target*, and remove all but the newest *keep*, of which it is one. The node may work
    meanwhile.

    *takes_over* says that the archive is in the place of the one whose backups are there: that one before it was
    restored, or before its index was made anew. Raises OutOfResources if *target* cannot be written, Unavailable,
    InvalidRequest if it belongs to another archive or is where this one has its own objects.
    """
    folder = BackupFolder(target)
    _require_apart(archive.store, folder)
    with folder.ours(), closing(folder.store()) as store:
        store.sweep(0)
        generation = _generation(archive, folder, takes_over=takes_over)
        before = transfer.copy_all(archive, store, _rows(archive.db), portable.history(archive.db), progress)
        made = _finish(archive, folder, store, before, progress, generation)
        if keep is not None:
            others = [name for name in folder.names() if name != made.name]
            _prune(folder, store, others[: max(0, len(others) + 1 - keep)])
    return made


def _require_apart(store: ObjectStore, folder: BackupFolder) -> None:
    """Raise InvalidRequest if a backup would lie among the objects of *store*: pruning it would remove them."""
    root = apart.root_of(store)
    if root is not None and (apart.is_within(folder.root, root) or apart.overlap(folder.objects, root)):
        raise InvalidRequest(SAME_PLACE.format(folder.root, root))


def _generation(archive: Archive, folder: BackupFolder, *, takes_over: bool) -> int:
    """That of a backup of *archive* in *folder*. Raises InvalidRequest if those there are of another one.

    An archive is known by the name of its change feed. A restoration or a new index gives it another; then the tokens
    in its keys tell it from a stranger, and nothing from a copy of itself, which the operator has to.
    """
    feed = changes.name(archive.db)  # given now, if it has none yet: it is to be in the snapshot
    if not (names := folder.names()):
        return 0
    newest = folder.manifest(names[-1])
    if newest.feed == feed:
        return newest.generation
    with portable.opened(folder.index(names[-1]), folder.root) as snapshot:
        if not _share_objects(archive.db, snapshot):
            raise InvalidRequest(OTHER_ARCHIVE.format(folder.root))
    if not takes_over:
        raise InvalidRequest(FORMER_SELF.format(folder.root))
    return newest.generation + 1


def _share_objects(one: Database, other: Database) -> bool:
    """Whether the two name any object by the same key."""
    keys = (row.key for row in _rows(one))
    while batch := list(islice(keys, BATCH)):
        if len(list(lookup.unknown_keys(other, batch))) < len(batch):
            return True
    return False


def _finish(
    archive: Archive, folder: BackupFolder, store: LocalStore, before: Copied, progress: Progress, generation: int
) -> Made:
    """The snapshot, and what came since; nothing is removed meanwhile."""
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    part = folder.snapshots / f"{name}{PART}"
    part.mkdir(mode=private.FOLDER_MODE)
    with _nothing_removed(archive, folder):
        portable.save(archive.db, part / INDEX)
        with closing(Database(for_path(part / INDEX))) as snapshot:
            done = transfer.copy_all(archive, store, _rows(snapshot), portable.history(snapshot), progress)
            held = statistics.statistics(snapshot)
            facts = (changes.name(snapshot), changes.latest(snapshot), held.instances, held.size_bytes)
    copies.seal(part / INDEX)
    lacking = (done.missing, done.damaged, done.unread)
    manifest = Manifest(name, *facts, _sha256(part / INDEX), *lacking, generation)
    _write(part / MANIFEST, json.dumps(asdict(manifest), indent=2))
    copies.sync(part)
    part.rename(folder.snapshots / name)
    copies.sync(folder.snapshots)
    return Made(name, manifest, before.copied + done.copied, before.size_bytes + done.size_bytes)


def _rows(db: Database) -> Iterator[InstanceRow]:
    return (row for _, row in lookup.keys(db))


@contextmanager
def _nothing_removed(archive: Archive, folder: BackupFolder) -> Iterator[None]:
    """Let archive.removal wait for the time of the context. Raises Unavailable if another backup is there before us.

    What a backup into the same folder left when it was killed is ours: the folder is.
    """
    holder = f"{gethostname()}:{folder.root}"
    lease, is_over = Lease(archive.db, removal.HOLD, holder, HOLD_S), threading.Event()

    def renew() -> None:
        while not is_over.wait(HOLD_S / 10):
            with suppress(NodeError):  # what is removed after a long failure is missing, and told
                lease.held()

    if not lease.held():
        raise Unavailable("Another backup is taking its snapshot, or was killed less than ten minutes ago: try again.")
    renewing = threading.Thread(target=renew, name="hold", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        is_over.set()
        renewing.join()
        lease.give_back()


def _prune(folder: BackupFolder, store: LocalStore, names: Sequence[str]) -> None:
    """Remove the backups *names*, and then the objects that none of those left names."""
    for name in names:
        shutil.rmtree((folder.snapshots / name).rename(folder.snapshots / f"{name}{PART}"))
    if not names:
        return
    left = store.iterate()
    for name in folder.names():
        with portable.opened(folder.index(name), folder.root) as snapshot:
            left = iter(list(lookup.unknown_keys(snapshot, left)))
    for key in left:
        store.delete(key)


@contextmanager
def opened(target: Path, name: str | None = None) -> Iterator[tuple[Manifest, Path, Archive]]:
    """The backup *name*, or the newest: what it says, its index, and itself as an archive. Nothing in it changes.

    Raises InvalidRequest if there is no such backup, Unavailable if its index is not the one that was made.
    """
    folder = BackupFolder(target)
    name = folder.chosen(name)
    manifest, index = folder.manifest(name), folder.index(name)
    try:
        is_right = _sha256(index) == manifest.index_sha256
    except OSError as exc:
        raise Unavailable(f"The index in the backup {name} cannot be read.") from exc
    if not is_right:
        raise Unavailable(f"The index in the backup {name} is damaged.")
    with portable.opened(index) as db, closing(folder.store()) as store:
        yield manifest, index, Archive(db, store, PixelWorkers(PixelSettings()))


def check(target: Path, name: str | None = None, progress: Progress = lambda objects, size_bytes: None) -> Copied:
    """Read the backup *name*, or the newest, in full, and compare it with its digests. Raises as `opened` does."""
    found = Copied()
    with opened(target, name) as (manifest, _, archive):
        lacking = set(manifest.lacking)
        for row in _rows(archive.db):
            if row.key not in lacking:
                _read(archive, row, found)
                progress(1, row.size_bytes)
        for key in portable.history(archive.db):
            if key not in lacking and not transfer.is_readable(archive.store, key):
                found.missing.append(key)
    return found


def _read(archive: Archive, row: InstanceRow, found: Copied) -> None:
    try:
        found.size_bytes += sum(map(len, verified_chunks(archive, row, 0, always=True)))
        found.present += 1
    except Damaged:
        found.damaged.append(row.key)
    except NotFound:
        found.missing.append(row.key)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    with private.opened(path, os.O_TRUNC) as file:
        file.write(text.encode())
    copies.sync(path)
