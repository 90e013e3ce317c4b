"""The object store on a local file system. Knows system calls, not instances.

1. An object is written under a temporary name in `.incoming`, made durable, and renamed to its key. Whoever sees a key
   sees a whole object. Durable means: a small one is in the journal (storage.journal) before it has its key, and its
   own file is synced later; any other is synced, and after the rename its folder.
2. A folder counts as durable once this process has synced the folder above it; before that no commit returns.
3. A failed write or sync ends the upload: what the kernel dropped cannot be asked for again, so nothing is retried.
4. A root that is gone, or another folder than the one that was opened (a disk that is not mounted), takes nothing and
   has lost nothing: Away.
5. Nothing that is not a key (storage.layout) becomes a path, and what lies around in the folder besides is left alone.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from posixpath import dirname
from typing import BinaryIO

from relais.errors import (
    Internal,
    InvalidRequest,
    Missing,
    NotFound,
    OutOfResources,
    Unavailable,
    out_of_resources,
)
from relais.storage import redo
from relais.storage.base import Away, Buffer, StoredObject
from relais.storage.direct import Direct
from relais.storage.journal import SEGMENTS, Held, Journal, settle_the_dead
from relais.storage.layout import is_key, require_key
from relais.storage.meanwhile import Helper
from relais.storage.redo import FOLDER_MODE
from relais.storage.system import FileSystem, gather
from relais.storage.upload import ROOMS, LocalUpload, Rooms, pread

INCOMING, JOURNAL = ".incoming", ".journal"
SPARE = 8  # the disk must have this many times the room of a journal before one is made
KNOWN_FOLDERS = 200_000  # folders remembered as durable; beyond that all are forgotten, and synced once more
KNOWN_OBJECTS = 100_000  # remembered as gathered; beyond that all are forgotten
GATHERED_BYTES, GATHERED_END = 256 * 1024, 2 * 1024 * 1024  # at least so much, within the largest piece that Linux has
LARGE_BYTES = 16 * 1024 * 1024  # of a range that is longer it is asked first whether there are so many
TOO_SHORT = "There are not so many bytes."
RENAME_ATTEMPTS = 100  # a folder may be pruned between being made and being used; after that many the upload fails

log = logging.getLogger(__name__)


class LocalStore:
    """Objects as files below *root*. Safe to use from many threads and processes.

    *journal_bytes* is the size of the journal that each process makes when it first stores something; 0 for none.
    Files of *direct_bytes* or more that waited in memory are written past the kernel's cache; 0 for none.
    *fsync* False gives durability away; it is for tests that are about something else.
    """

    def __init__(self, root: Path, *, fsync: bool = True, journal_bytes: int = 0, direct_bytes: int = 0) -> None:
        self.root = root.absolute()
        self._root_name = str(self.root)
        self.incoming = self.root / INCOMING
        self._fsync = fsync
        self._journal_bytes = journal_bytes if fsync else 0
        self._journal: tuple[int, Journal | None] = (0, None)  # and the process whose it is
        self._whole: FileSystem | None = None
        self._opening = threading.Lock()
        self.helper = Helper()
        self.direct = Direct(direct_bytes)
        self.rooms = Rooms(ROOMS if self._journal_bytes else 0)
        self._durable: set[str] = set()  # a series is only there with the folders above it
        self._gathered: set[int] = set()  # hashes of keys
        with out_of_resources():
            for folder in (*reversed(self.root.parents), self.root, self.incoming):
                self._settle(folder)
            settle_the_dead(self.root / JOURNAL, self)
            self._identity = _identity(self._root_name)

    def prepare(self) -> None:
        self._own_journal()

    def close(self) -> None:
        """Sync what is in the journal. The next upload opens it again."""
        with self._opening:
            (process, journal), self._journal = self._journal, (0, None)
        self.helper.close()
        if journal is not None and process == os.getpid():
            journal.close()
        if self._whole is not None:
            self._whole.close()
            self._whole = None

    def begin(self, head: bytes) -> LocalUpload:
        try:
            self._require_there()
        except Away as exc:
            raise OutOfResources(exc.message) from exc
        return LocalUpload(self, head)

    def open(self, key: str) -> BinaryIO:
        with self._reading():
            return os.fdopen(self._opened(key), "rb")

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        with self._reading():
            fd = self._opened(key)
            try:
                if offset < 0 or length < 0 or (length > LARGE_BYTES and offset + length > os.fstat(fd).st_size):
                    raise InvalidRequest(TOO_SHORT)
                if length >= GATHERED_BYTES and offset + length <= GATHERED_END:
                    self._gather(fd, key, offset + length)
                found = pread(fd, offset, length)
            finally:
                os.close(fd)
        if len(found) < length:
            raise InvalidRequest(TOO_SHORT)
        return found

    def size_bytes(self, key: str) -> int:
        with self._reading():
            return self._path(key).stat().st_size

    @contextmanager
    def as_path(self, key: str) -> Iterator[Path]:
        self.size_bytes(key)
        yield self._path(key)

    def secure(self, key: str) -> None:
        require_key(key)
        if self._fsync:
            with out_of_resources():
                self.settle([key])

    def delete(self, key: str) -> None:
        """Remove the object and the folders it leaves empty.

        Not synced: after a power failure within seconds the bytes may be back, without a row that names them.
        """
        path = self._path(key)
        with out_of_resources():
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                self._require_there()
        process, journal = self._journal
        if journal is not None and process == os.getpid():
            journal.forget(key)
        self._prune(path.parent)

    def iterate(self, folder: str = "") -> Iterator[str]:
        with self._reading():
            self._require_there()
            yield from self._keys(folder, depth=3 - len(Path(folder).parts))

    def sizes(self, folder: str) -> dict[str, int]:
        found = {}
        for key in self.iterate(folder):
            with suppress(NotFound):  # deleted meanwhile
                found[key] = self.size_bytes(key)
        return found

    def foreign(self) -> Iterator[str]:
        with self._reading():
            for folder, folders, files in os.walk(self.root):
                folders[:] = [name for name in folders if not name.startswith(".")]
                paths = (Path(folder, name).relative_to(self.root).as_posix() for name in files)
                yield from (path for path in paths if not is_key(path) and not Path(path).name.startswith("."))

    def sweep(self, older_than_s: float) -> int:
        removed, limit = 0, time.time() - older_than_s
        with self._reading():
            settle_the_dead(self.root / JOURNAL, self)
            for name in _names(self.incoming):
                path = self.incoming / name
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime <= limit:
                        path.unlink()
                        removed += 1
        return removed

    def free_bytes(self) -> int | None:
        with self._reading():
            self._require_there()
            room = os.statvfs(self.root)
            return room.f_bavail * room.f_frsize

    def _keys(self, folder: str, depth: int) -> Iterator[str]:
        for name in _names(self.root / folder):
            path = f"{folder}/{name}" if folder else name
            if depth:
                yield from self._keys(path, depth - 1)
            elif is_key(path):
                yield path

    def may_hold(self, size_bytes: int) -> bool:
        """As Journal.may_hold; False without a journal. For uploads."""
        journal = self._own_journal()
        return journal is not None and journal.may_hold(size_bytes)

    def hold(self, key: str, head_bytes: int, stored: StoredObject, body: Buffer) -> Held | None:
        """As Journal.hold; None without a journal. For uploads."""
        journal = self._own_journal()
        return None if journal is None else journal.hold(key, head_bytes, stored, body)

    def adopt_held(self, temporary: str, key: str) -> None:
        """Give a temporary file its key, while the journal holds the object. For uploads."""
        self._rename(temporary, f"{self._root_name}/{key}", is_held=True)

    def settle(self, keys: Iterable[str]) -> None:
        """Sync these objects, and their folders, if they are still there. For the journal; raises OSError."""
        redo.settle(str(self.root), keys, self._whole)

    def restore(self, key: str, chunks: Callable[[], Iterator[bytes]], *, is_forced: bool) -> None:
        """See to it that the object is durable and made of *chunks*. For the journal; raises OSError.

        If *is_forced*, it is written anew, unless it was deleted: a sync of its file has failed.
        """
        path = self._path(key)
        if is_forced and path.exists():
            redo.restore(self.root, self.incoming, key, chunks)
        elif is_forced or redo.is_made_of(path, chunks()):
            redo.settle(str(self.root), [key])
        else:
            redo.restore(self.root, self.incoming, key, chunks)
            log.warning("restored from the journal key=%s", key)

    def sync(self, fd: int) -> None:
        """Put a file or folder on stable storage. For uploads."""
        if self._fsync:
            os.fsync(fd)

    def adopt(self, temporary: str, key: str) -> None:
        """Give a synced temporary file its key, durably. For uploads.

        If the last sync fails the object stays: it has been seen, and may have been registered, since it was renamed.
        """
        path = self._name(key)
        try:
            self._rename(temporary, path, is_held=False)
        except OSError:
            self._prune(Path(path).parent)
            raise
        self._sync_folder(dirname(path))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whatever the file system refuses while an object is read."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as exc:
            self._require_there()
            raise Missing from exc
        except OSError as exc:
            raise Unavailable("The storage cannot be read now.") from exc

    def _require_there(self) -> None:
        """Raise Away where the root is not the one that was opened: what lies in another one is not ours."""
        try:
            is_there = _identity(self._root_name) == self._identity
        except OSError as exc:
            raise Away from exc
        if not is_there:
            raise Away

    def _path(self, key: str) -> Path:
        return self.root / require_key(key)

    def _name(self, key: str) -> str:
        """The same as a string: a Path costs more than opening it."""
        return f"{self._root_name}/{require_key(key)}"

    def _opened(self, key: str) -> int:
        """A descriptor to read from."""
        return os.open(self._name(key), os.O_RDONLY | os.O_CLOEXEC)

    def _gather(self, fd: int, key: str, end: int) -> None:
        """Before the first large range of an object is read: what the cache lacks gets there in large pieces."""
        if (mark := hash(key)) not in self._gathered:
            if len(self._gathered) >= KNOWN_OBJECTS:
                self._gathered.clear()
            self._gathered.add(mark)
            gather(fd, end)

    def _own_journal(self) -> Journal | None:
        """The journal of this process, made when it is first needed and the disk has room for one."""
        process, journal = self._journal
        if process == os.getpid() or not self._journal_bytes:
            return journal
        with self._opening:
            if self._journal[0] != os.getpid():
                room = self.free_bytes()
                has_room = room is None or room >= SPARE * self._journal_bytes
                segment = self._journal_bytes // len(SEGMENTS)
                if has_room:
                    with suppress(OSError):  # then files are synced one by one
                        self._whole = FileSystem(self.root)
                made = Journal(self.root / JOURNAL, segment, self) if has_room else None
                self._journal = (os.getpid(), made)
            return self._journal[1]

    def _rename(self, temporary: str, path: str, *, is_held: bool) -> None:
        """Give a temporary file its name; folders that are not there, or vanish meanwhile, are made."""
        for attempt in range(RENAME_ATTEMPTS):
            try:
                if not is_held:
                    self._make_folders(dirname(path))
                elif attempt:
                    redo.make_folders(dirname(path))
                _require_absent(path)
                os.rename(temporary, path)  # noqa: PTH104
                return
            except (FileNotFoundError, FileExistsError):  # the second: gone between mkdir and its look at what is there
                self._durable.difference_update(redo.folders_of(dirname(path)))
                if attempt + 1 == RENAME_ATTEMPTS:
                    raise

    def _settle(self, folder: Path) -> None:
        """Make a folder of the way to the store if need be; durable also if another process made it a moment ago."""
        if not folder.is_dir():
            self._make_folder(str(folder))
            return
        with suppress(PermissionError):  # whose parent is not ours to open did not make it just now
            self._sync_folder(str(folder.parent))

    def _make_folders(self, series: str) -> None:
        """See to it that the folders of a key are there, and durable."""
        if series not in self._durable:
            for folder in redo.folders_of(series):
                if folder not in self._durable:
                    self._make_folder(folder)

    def _make_folder(self, folder: str) -> None:
        """Make *folder* if need be, and sync the one above in any case: another process may have made it just now."""
        Path(folder).mkdir(mode=FOLDER_MODE, exist_ok=True)
        self._sync_folder(dirname(folder))
        if len(self._durable) >= KNOWN_FOLDERS:
            self._durable.clear()
        self._durable.add(folder)

    def _sync_folder(self, folder: str) -> None:
        if self._fsync:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.sync(fd)
            finally:
                os.close(fd)

    def _prune(self, series: Path) -> None:
        """Remove what is empty of the folders of a key, from below."""
        for folder in (series, series.parent, series.parent.parent):
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return
            self._durable.discard(str(folder))


def _identity(folder: str) -> tuple[int, int]:
    """Which folder it is, whatever it is called. Raises OSError."""
    found = os.stat(folder)  # noqa: PTH116 - for speed, before every upload
    return found.st_dev, found.st_ino


def _require_absent(path: str) -> None:
    if os.access(path, os.F_OK):
        raise Internal("This storage key is taken.")


def _names(folder: Path) -> list[str]:
    """What is in *folder*: nothing, if it is gone by now or no folder."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return [path.name for path in folder.iterdir()]
    return []
