"""The object store in a bucket, with a spool on the local disk for the time in which the bucket takes nothing.

1. An object gathers on this machine. It is acknowledged when the bucket has it, or when it is durable in the spool.
2. What is in the spool moves to the bucket later, and leaves the spool only when the bucket has it, whole. Moving twice
   changes nothing. Who reads looks into the spool first: what moves meanwhile is found in the one place or the other.
3. Many nodes share the bucket, each has its own spool. What the bucket has not and the Register knows to wait elsewhere
   is unavailable, not lost.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from relais.errors import Elsewhere, Internal, InvalidRequest, Nearline, NotFound, Unavailable
from relais.storage.base import Away, Buffer, StoredObject, Upload
from relais.storage.layout import require_key, series_folder
from relais.storage.s3.bucket import Bucket
from relais.storage.s3.failures import DAMAGED_ON_THE_WAY, NoAnswer
from relais.storage.s3.kept_files import KeptFiles
from relais.storage.s3.parts import Parts, is_large
from relais.storage.s3.presence import Presence
from relais.storage.s3.slow import SlowStorage
from relais.storage.s3.spool import Spool
from relais.storage.s3.stream import LARGEST_BYTES, ObjectStream
from relais.storage.s3.threads import Threads
from relais.storage.settings import SLOW_CLASSES, SpoolUse, StorageSettings
from relais.storage.spooling import Register, Waiting

CACHE = ".cache"  # below the spool: no key begins like that
THREADS = 16  # of one process, for what is asked of the bucket beside the work of others
READERS = 16  # of one process, for whole objects that are read before their turn
BUFFER_BYTES = 64 * 1024

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Nothing:
    """The register of a node that is alone."""

    def waits_elsewhere(self, key: str, here: str) -> bool:
        return False

    def found_nearline(self, key: str) -> None: ...

    def listed(self, folder: str, *, is_nearline: bool) -> None: ...


class S3Upload:
    """An object on its way in. It gathers here, and goes to the bucket at the same time once its key is expected."""

    def __init__(self, store: "S3Store", head: bytes) -> None:
        self._store = store
        self._local = store.spool.files.begin(head)
        self._parts: Parts | None = None
        self._is_done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_done = True
        self._give_up()
        self._local.__exit__(*exc_info)

    @property
    def size_bytes(self) -> int:
        return self._local.size_bytes

    def write(self, chunk: Buffer) -> None:
        self._require_open()
        self._local.write(chunk)
        if self._parts is not None:
            self._try(lambda parts: parts.send(self._local.size_bytes))

    def read_range(self, offset: int, length: int) -> bytes:
        return self._local.read_range(offset, length)

    def expect(self, key: str) -> None:
        """The object will be committed under *key*, if nothing comes between: begin to send it."""
        require_key(key)
        if self._parts is None and self._store.goes_straight():
            try:
                self._parts = self._store.parts(key, self._local)
            except Unavailable as exc:
                self._store.presence.failed(exc)

    def complete(self) -> None:
        """What may be sent early is sent when the key is known: see expect."""

    def seal(self) -> None:
        """What was staged is durable."""

    def commit(self, key: str) -> StoredObject:
        return self.stage(key)

    def stage(self, key: str) -> StoredObject:
        require_key(key)
        self._require_open()
        self._is_done = True
        stored = self._local.described()
        if self._parts is not None and self._parts.key != key:
            self._give_up()
        if (self._parts is not None or self._store.goes_straight()) and self._send(key, stored.size_bytes):
            return stored
        return self._store.spool.keep(self._local, key)

    def _send(self, key: str, size_bytes: int) -> bool:
        """Whether the bucket has the object now."""
        try:
            if self._parts is None and is_large(size_bytes):
                self._parts = self._store.parts(key, self._local)
            if self._parts is None:
                self._store.bucket.put(key, self._local.read_range(0, size_bytes), is_new=True)
            else:
                self._parts.complete(size_bytes)
                self._parts = None
        except Unavailable as exc:
            self._store.presence.failed(exc)
            self._give_up()
            return False
        self._store.presence.answered()
        return True

    def _try(self, send: Callable[[Parts], None]) -> None:
        """Send parts; after a failure the object goes to the spool when it is whole."""
        assert self._parts is not None
        try:
            send(self._parts)
        except Unavailable as exc:
            self._store.presence.failed(exc)
            self._give_up()

    def _give_up(self) -> None:
        parts, self._parts = self._parts, None
        if parts is not None and self._store.presence.is_away:
            parts.abandon()
        elif parts is not None:
            parts.abort()

    def _require_open(self) -> None:
        if self._is_done:
            raise Internal("This upload is over.")


class S3Store:
    """Objects in *bucket*, and in *spool* as long as *settings* say or the bucket takes nothing."""

    def __init__(
        self, bucket: Bucket, spool: Spool, kept: KeptFiles, settings: StorageSettings, register: Register | None = None
    ) -> None:
        self.bucket, self.spool = bucket, spool
        self.presence = Presence(bucket.answers)
        self._kept, self._use = kept, settings.spool
        self._register: Register = register or _Nothing()
        self.threads = Threads(THREADS, "object-store")
        self._readers = Threads(READERS, "read-ahead")
        self._slow = SlowStorage(bucket, self.threads, settings.restore_days, settings.restore_tier)

    def prepare(self) -> None:
        if self._use is SpoolUse.FIRST:
            self.spool.files.prepare()
        self.bucket.prepare()

    def close(self) -> None:
        self._readers.close()
        self.threads.close()
        self.presence.close()
        self.spool.files.close()
        self.bucket.close()

    def begin(self, head: bytes) -> S3Upload:
        return S3Upload(self, head)

    def open(self, key: str) -> BinaryIO:
        return self._found(key, self.spool.files.open, self._stream)

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        return self._found(
            key,
            lambda key: self.spool.files.read_range(key, offset, length),
            lambda key: self._read_range(key, offset, length),
        )

    def size_bytes(self, key: str) -> int:
        return self._found(key, self.spool.files.size_bytes, self.bucket.size_bytes)

    @contextmanager
    def as_path(self, key: str) -> Iterator[Path]:
        with ExitStack() as stack:
            yield self._found(
                key,
                lambda key: stack.enter_context(self._kept.link(self.spool.files.root / key)),
                lambda key: stack.enter_context(self._kept.file(key, lambda file: self._copy(key, file))),
            )

    def secure(self, key: str) -> None:
        self.spool.files.secure(key)

    def delete(self, key: str) -> None:
        """Remove the object. Raises Unavailable if it has to be done again, Elsewhere until another node lets it go."""
        self.spool.files.delete(key)
        self._kept.forget(key)
        self.presence.require()
        self._ask(lambda: self.bucket.delete(key))
        if self._register.waits_elsewhere(key, self.spool.name):
            raise Elsewhere

    def iterate(self, folder: str = "") -> Iterator[str]:
        spooled = set(self.spool.files.iterate(folder))
        yield from spooled
        for key in self._listed(folder):
            if key not in spooled:
                yield key

    def sizes(self, folder: str) -> dict[str, int]:
        spooled = self.spool.files.sizes(folder)  # before the bucket: what moves meanwhile is found in one of them
        return self._ask(lambda: {one.key: one.size_bytes for one in self.bucket.listed(folder)}) | spooled

    def sweep(self, older_than_s: float) -> int:
        removed = self.spool.files.sweep(older_than_s)
        self._kept.sweep(older_than_s)
        return removed + self.bucket.abort_stale(older_than_s)

    def free_bytes(self) -> int | None:
        return None

    def require_ready(self) -> str | None:
        try:
            self.presence.look()
            return None
        except Unavailable as exc:
            why = exc.message
        if not self.spool.has_room():
            raise Unavailable(f"{why} The spool is full.")
        return f"{why} What comes in waits in the spool."

    @property
    def spool_name(self) -> str:
        return self.spool.name

    def is_spooled(self, key: str) -> bool:
        return self.spool.holds(key)

    def spooled(self) -> Iterator[str]:
        return self.spool.files.iterate()

    def waiting(self) -> Waiting:
        return self.spool.waiting()

    def move(self, key: str) -> None:
        size_bytes = self.spool.files.size_bytes(key)
        if is_large(size_bytes):
            parts = Parts(self.bucket, key, lambda at, count: self.spool.files.read_range(key, at, count), self.threads)
            try:
                parts.complete(size_bytes, is_new=False)
            except BaseException:
                parts.abort()
                raise
        else:
            self.bucket.put(key, self.spool.files.read_range(key, 0, size_bytes), is_new=False)
            if self.bucket.size_bytes(key) != size_bytes:
                raise Unavailable(DAMAGED_ON_THE_WAY)

    def let_go(self, key: str) -> None:
        self.spool.files.delete(key)

    def bring_back(self, key: str) -> None:
        self._slow.bring_back(key)

    def goes_straight(self) -> bool:
        """Whether to try the bucket at once. For uploads."""
        return self._use is SpoolUse.WHEN_AWAY and self.presence.is_there()

    def parts(self, key: str, upload: Upload) -> Parts:
        """Begin to send an object in parts. For uploads."""
        return Parts(self.bucket, key, upload.read_range, self.threads)

    def beside(self, work: Callable[..., T], *args: object) -> Future[T]:
        return self._readers.submit(work, *args)

    def _found(self, key: str, in_spool: Callable[[str], T], in_bucket: Callable[[str], T]) -> T:
        """What the one finds, or else the other."""
        try:
            return in_spool(require_key(key))
        except (NotFound, Away):
            pass
        try:
            return self._ask(lambda: in_bucket(key))
        except NotFound:
            if self._register.waits_elsewhere(key, self.spool.name):
                raise Elsewhere from None
            raise
        except Nearline:
            self._register.found_nearline(key)
            raise

    def _ask(self, what: Callable[[], T]) -> T:
        """Ask the bucket, unless it is known not to answer."""
        self.presence.require_voice()
        try:
            return what()
        except NoAnswer as exc:
            self.presence.silent(exc)
            raise

    def _read_range(self, key: str, offset: int, length: int) -> bytes:
        if offset >= 0 and length > 0:
            data, _ = self.bucket.get(key, offset, length)
        else:
            data = b""
            if offset < 0 or length < 0 or offset > self.bucket.size_bytes(key):
                raise InvalidRequest("There are not so many bytes.")
        if len(data) != length:
            raise InvalidRequest("There are not so many bytes.")
        return data

    def _stream(self, key: str) -> BinaryIO:
        get = self.bucket.get
        raw = ObjectStream(lambda offset, length: get(key, offset, length), self.threads)
        return BufferedReader(raw, BUFFER_BYTES)

    def _copy(self, key: str, file: BinaryIO) -> None:
        with self._stream(key) as stream:
            while chunk := stream.read(LARGEST_BYTES):
                file.write(chunk)

    def _listed(self, folder: str) -> Iterator[str]:
        """Every key in the bucket; the register is told what cannot be read at once, series by series."""
        series, is_nearline = "", False
        for one in self.bucket.listed(folder):
            if (begins := series_folder(one.key)) != series:
                if series:
                    self._register.listed(series, is_nearline=is_nearline)
                series, is_nearline = begins, False
            is_nearline = is_nearline or one.storage_class in SLOW_CLASSES
            yield one.key
        if series:
            self._register.listed(series, is_nearline=is_nearline)


def open_s3_store(settings: StorageSettings, data_dir: Path, register: Register | None = None) -> S3Store:
    """The store that *settings* name, its spool made if need be. The bucket is not asked yet: it may be away."""
    root = settings.root(data_dir)
    megabyte = 1024 * 1024
    spool = Spool(root, settings.spool_mb * megabyte, journal_bytes=settings.journal_mb * megabyte)
    kept = KeptFiles(spool.files.root / CACHE, settings.cache_mb * megabyte)
    return S3Store(Bucket(settings), spool, kept, settings, register)
