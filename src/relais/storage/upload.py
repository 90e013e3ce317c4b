"""An object on its way into a local store: in memory while it is small, else in a temporary file. Knows no other store.

1. What fits into a Room is written when it is complete: to the journal, and to its own file while the disk is busy with
   the journal. Where it is alone on its way, a second thread digests it and writes its file.
2. A failed write or sync ends the upload: what the kernel dropped cannot be asked for again, so nothing is retried.
"""

import os
from collections import deque
from contextlib import suppress
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path
from threading import Lock
from typing import Protocol, Self

from relais.errors import OutOfResources, Unavailable, out_of_resources
from relais.storage.base import Buffer, StoredObject
from relais.storage.digest import digest_of, new_digest
from relais.storage.direct import Direct
from relais.storage.journal import Held
from relais.storage.layout import random_hex, require_key
from relais.storage.meanwhile import Errand, Helper
from relais.storage.redo import FILE_MODE

ROOM_BYTES = 1024 * 1024
ROOMS = 64  # of one process; whoever comes when all are taken gets a temporary file
DIGEST_BYTES = 256 * 1024  # digested at once: each time costs the interpreter's lock
WORTH_BYTES = 256 * 1024  # with fewer, digesting and writing take less than having them done


class Rooms:
    """Memory for uploads, used again and again: fresh memory costs more than what is written to it.

    Each begins where a page of memory begins, as `Direct` wants it.
    """

    def __init__(self, count: int = ROOMS) -> None:
        self._count = count
        self._free: deque[memoryview | None] = deque([None] * count)

    @property
    def is_one_taken(self) -> bool:
        """Whether one upload is on its way and no other: a processor may be free to help it."""
        return len(self._free) == self._count - 1

    def take(self) -> memoryview | None:
        """A room of ROOM_BYTES; None if all are taken."""
        try:
            return self._free.pop() or memoryview(mmap(-1, ROOM_BYTES, flags=MAP_PRIVATE | MAP_ANONYMOUS))
        except IndexError:
            return None

    def give_back(self, room: memoryview) -> None:
        """Nobody looks into *room* any more."""
        self._free.append(room)


class Place(Protocol):
    """What an upload needs of its store. Everything raises OSError or OutOfResources."""

    incoming: Path
    rooms: Rooms
    helper: Helper
    direct: Direct

    def hold(self, key: str, head_bytes: int, stored: StoredObject, body: Buffer) -> Held | None: ...

    def may_hold(self, size_bytes: int) -> bool: ...

    def adopt_held(self, temporary: str, key: str) -> None: ...

    def sync(self, fd: int) -> None: ...

    def adopt(self, temporary: str, key: str) -> None: ...


class LocalUpload:
    """One object on its way in."""

    def __init__(self, store: Place, head: bytes) -> None:
        self._store = store
        self._fd, self._path = -1, ""
        self._digest = new_digest()
        self._head_bytes, self._head_digest = len(head), digest_of(head)
        self._size, self._digested = 0, len(head)
        self._is_broken = self._is_sealed = False
        self._ending = Lock()  # who seals may be another thread than who gives up
        self._key = ""
        self._held: Held | None = None  # in the journal, while it has not got its key
        self._digesting: Errand | None = None
        self._writing: Errand | None = None  # to its own file
        self._room = store.rooms.take()
        try:
            if self._room is None:
                self._to_file()
            self._append(head)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._ending:
            self._is_broken = True
            for errand in filter(None, (self._digesting, self._writing)):
                with suppress(OutOfResources):  # who waited for it was told
                    errand.wait()
            self._release(is_kept=False)
            self._leave_room()
            self._leave_file()

    @property
    def size_bytes(self) -> int:
        return self._size

    def write(self, chunk: Buffer) -> None:
        self._append(chunk)
        if self._room is None:
            self._digest.update(chunk)
            self._digested = self._size
        elif self._size - self._digested >= DIGEST_BYTES:
            self._digest_room()

    def read_range(self, offset: int, length: int) -> bytes:
        length = min(length, self._size - offset)
        if offset < 0 or length <= 0:
            return b""
        if self._room is not None:
            return bytes(self._room[offset : offset + length])
        try:
            return pread(self._fd, offset, length)
        except OSError as exc:
            raise Unavailable("The storage cannot be read now.") from exc

    def expect(self, key: str) -> None:
        """Nothing can be done in advance."""

    def described(self) -> StoredObject:
        """What commit would return, of what was written so far. Raises OutOfResources if it could not be committed."""
        if self._is_broken or (self._fd >= 0 and not os.fstat(self._fd).st_nlink):
            raise OutOfResources
        return self._described()

    def complete(self) -> None:
        if self._room is None or self._is_broken or self._size < WORTH_BYTES:
            return
        if self._store.rooms.is_one_taken:
            self._digest_room()
            self._writing = self._store.helper.send(self._to_file)

    def stage(self, key: str) -> StoredObject:
        self._key = require_key(key)
        if self._is_broken:
            raise OutOfResources
        self._is_broken = True  # whatever happens now, this upload takes no more
        stored = self._described()
        self._held = self._hold(key, stored)
        if self._held is None:
            self._adopt()
        elif self._writing is None:
            self._to_file()
        return stored

    def seal(self) -> None:
        with self._ending:
            if self._is_sealed:
                return
            if self._held is None:
                raise OutOfResources
            self._end_writing()
            self._held.sync()
            try:
                self._store.adopt_held(self._path, self._key)
            except OSError as exc:
                raise OutOfResources from exc
            self._path, self._is_sealed = "", True
            self._release(is_kept=True)

    def commit(self, key: str) -> StoredObject:
        stored = self.stage(key)
        self.seal()
        return stored

    def _adopt(self) -> None:
        """Without the journal: its own file is synced, and has its key."""
        self._end_writing()
        self._to_file()
        with out_of_resources():
            self._store.sync(self._fd)
            self._store.adopt(self._path, self._key)
        self._path, self._is_sealed = "", True

    def _hold(self, key: str, stored: StoredObject) -> Held | None:
        """Have the journal write the object, if it is small enough and there is room."""
        if not self._store.may_hold(self._size):
            return None
        if self._room is not None:
            return self._store.hold(key, self._head_bytes, stored, self._room[: self._size])
        with out_of_resources():
            body = pread(self._fd, 0, self._size)
        return self._store.hold(key, self._head_bytes, stored, body)

    def _release(self, *, is_kept: bool) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release(is_kept=is_kept)

    def _append(self, chunk: Buffer) -> None:
        if self._is_broken:
            raise OutOfResources
        end = self._size + len(chunk)
        if self._room is not None and end > ROOM_BYTES:
            self._move_out()
        if self._room is not None:
            self._room[self._size : end] = chunk
            self._size = end
            return
        try:
            self._size += _write(self._fd, chunk)
        except OSError as exc:
            self._is_broken = True
            raise OutOfResources from exc

    def _move_out(self) -> None:
        """The object is no small one: go on in a file."""
        self._digest_room()
        self._end_digesting()
        try:
            self._to_file()
        except OutOfResources:
            self._is_broken = True
            raise
        self._leave_room()

    def _to_file(self) -> None:
        """Have what came so far in a temporary file."""
        if self._fd >= 0:
            return
        self._path = f"{self._store.incoming}/{random_hex(32)}.part"
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            if self._room is not None:
                done = self._store.direct.write(self._fd, self._room[: self._size])
                _write(self._fd, self._room[done : self._size])
        except OSError as exc:
            raise OutOfResources from exc

    def _described(self) -> StoredObject:
        self._digest_room()
        self._end_digesting()
        return StoredObject(self._size, self._digest.digest(), self._head_digest)

    def _end_writing(self) -> None:
        if self._writing is not None:
            self._writing.wait()

    def _digest_room(self) -> None:
        """Digest what came since the last time, or have it digested while more comes."""
        if self._room is None or self._digested == self._size:
            return
        self._end_digesting()
        chunk, self._digested = self._room[self._digested : self._size], self._size
        if len(chunk) >= WORTH_BYTES and self._store.rooms.is_one_taken:
            self._digesting = self._store.helper.send(lambda: self._digest.update(chunk))
        else:
            self._digest.update(chunk)

    def _end_digesting(self) -> None:
        if self._digesting is not None:
            self._digesting.wait()
            self._digesting = None

    def _leave_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            self._store.rooms.give_back(room)

    def _leave_file(self) -> None:
        if self._fd < 0:
            return
        with suppress(OSError):
            os.close(self._fd)
        self._fd = -1
        if self._path:
            with suppress(OSError):  # what cannot be removed now is swept later
                os.unlink(self._path)  # noqa: PTH108 - as everywhere on this way: paths are strings, for speed


def pread(fd: int, offset: int, length: int) -> bytes:
    """*length* bytes at *offset*, less only where the file ends. Raises OSError."""
    data = os.pread(fd, length, offset)
    if len(data) == length:
        return data
    pieces = [data]
    while data and (missing := length - sum(map(len, pieces))) > 0:
        data = os.pread(fd, missing, offset + length - missing)
        pieces.append(data)
    return b"".join(pieces)


def _write(fd: int, data: Buffer) -> int:
    """All of *data*; its length. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return len(data)
