"""A segment of the journal: a file made in advance, of records that hold whole objects. Knows keys, no store.

Overwriting blocks that a file has already costs one flush of the disk and no entry in the file system's own journal:
that is why an object is durable sooner here than in a file of its own (docs/decisions/0008-journal.md).

1. Every record begins at a block, so that a write torn by a power cut damages no other record.
2. A record is whole if the secret of its segment, its checksum and both digests are right. The secret is random, new
   whenever the segment is used again, and never leaves the file: nothing that is stored can look like a record.
3. The block that says "used" reaches the disk no later than the first record: the same sync carries both.
"""

import errno
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Self

from relais.storage import system
from relais.storage.base import Buffer, StoredObject
from relais.storage.digest import SIZE_BYTES, new_digest

BLOCK = 4096
CHUNK_BYTES = 1024 * 1024
FILE_MODE = 0o640
_MAGIC = b"RELAIS JOURNAL 1"
_SECRET_BYTES = 16
_FIRST = struct.Struct(f"<{len(_MAGIC)}s{_SECRET_BYTES}s?")
_RECORD = struct.Struct(f"<{_SECRET_BYTES}sQQH{SIZE_BYTES}s{SIZE_BYTES}s")
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Record:
    """A whole object in the journal: *size_bytes* at *offset*."""

    key: str
    offset: int
    size_bytes: int


class Segment:
    """One open segment. *reserve* and *reset* are for one thread at a time, everything else for many."""

    def __init__(self, fd: int, size_bytes: int, secret: bytes, *, is_used: bool) -> None:
        self._fd, self._size, self._secret = fd, size_bytes, secret
        self._is_used = is_used
        self._end = BLOCK
        self._syncing = threading.Lock()
        self._syncs_begun = self._syncs_done = 0
        self._has_failed = False

    @classmethod
    def create(cls, path: Path, size_bytes: int) -> Self:
        """A new, empty segment in place of what is at *path*, every block of it written. Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            zeros = bytes(CHUNK_BYTES)
            for start in range(0, size_bytes, CHUNK_BYTES):
                _pwrite(fd, memoryview(zeros)[: size_bytes - start], start)
            segment = cls(fd, size_bytes, b"", is_used=False)
            segment.reset()
            os.fsync(fd)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return segment

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The segment at *path*; None if its making was not finished. Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            first = os.pread(fd, _FIRST.size, 0)
            magic, secret, is_used = _FIRST.unpack(first) if len(first) == _FIRST.size else (b"", b"", False)
            if magic == _MAGIC:
                return cls(fd, os.fstat(fd).st_size, secret, is_used=is_used)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def close(self) -> None:
        os.close(self._fd)

    @property
    def size_bytes(self) -> int:
        return self._size

    @property
    def is_used(self) -> bool:
        """Whether there may be records in it."""
        return self._is_used

    def reserve(self, size_bytes: int) -> int | None:
        """Room for a record of an object of that size; None if there is not so much left."""
        start, end = self._end, self._end + _blocks(BLOCK + size_bytes)
        if end > self._size:
            return None
        self._end = end
        return start

    def write(self, place: int, key: str, head_bytes: int, stored: StoredObject, body: Buffer) -> int:
        """Write the object to the *place* reserved for it; what this returns `sync` makes durable. Raises OSError."""
        name = key.encode("ascii")
        fields = (self._secret, head_bytes, stored.size_bytes, len(name), stored.digest, stored.head_digest)
        record = _RECORD.pack(*fields) + name
        block = (record + _CHECKSUM.pack(zlib.crc32(record))).ljust(BLOCK, b"\0")
        if not self._is_used:
            self._mark(is_used=True)
        written = os.pwritev(self._fd, (block, body), place)
        if written < BLOCK + len(body):
            _pwrite(self._fd, memoryview(block + body)[written:], place + written)
        system.begin_writing(self._fd, place, BLOCK + len(body))
        return self._syncs_begun

    def sync(self, written: int) -> None:
        """Make durable what was *written*, as `write` says. One sync serves all who wrote before it. Raises OSError.

        After a failure it fails for ever: what the kernel dropped cannot be asked for again.
        """
        with self._syncing:
            if self._syncs_done > written:
                return  # it began after our write
            if self._has_failed:
                raise OSError(errno.EIO, "an earlier sync of this segment failed")
            self._syncs_begun += 1
            try:
                os.fdatasync(self._fd)
            except OSError:
                self._has_failed = True
                raise
            self._syncs_done = self._syncs_begun

    def void(self, place: int) -> None:
        """Let the record go. Not synced: after a power cut it may be back."""
        _pwrite(self._fd, memoryview(bytes(_SECRET_BYTES)), place)

    def reset(self) -> None:
        """Let all records go, and begin again. Not synced: after a power cut they may be back."""
        self._secret = token_bytes(_SECRET_BYTES)
        self._mark(is_used=False)
        self._end = BLOCK

    def records(self) -> Iterator[Record]:
        """Every whole record, in the order of the file. Raises OSError."""
        place = BLOCK
        while place < self._size:
            record = self._record(place)
            if record is not None and self._is_whole(record[0], *record[1:]):
                yield record[0]
                place += _blocks(BLOCK + record[0].size_bytes)
            else:
                place += BLOCK

    def chunks(self, record: Record) -> Iterator[bytes]:
        """The object of *record*."""
        done = 0
        while done < record.size_bytes:
            chunk = os.pread(self._fd, min(CHUNK_BYTES, record.size_bytes - done), record.offset + done)
            if not chunk:
                return
            yield chunk
            done += len(chunk)

    def _mark(self, *, is_used: bool) -> None:
        _pwrite(self._fd, memoryview(_FIRST.pack(_MAGIC, self._secret, is_used)), 0)
        self._is_used = is_used

    def _record(self, place: int) -> tuple[Record, int, bytes, bytes] | None:
        """What the block at *place* says, if it begins a record: with the size of the head, and both digests."""
        block = os.pread(self._fd, BLOCK, place)
        if not block.startswith(self._secret) or len(block) < _RECORD.size:
            return None
        _, head_bytes, size_bytes, length, digest, head_digest = _RECORD.unpack_from(block)
        end = _RECORD.size + length
        if end + _CHECKSUM.size > BLOCK or block[end : end + _CHECKSUM.size] != _CHECKSUM.pack(zlib.crc32(block[:end])):
            return None
        key = block[_RECORD.size : end].decode("ascii")
        return Record(key, place + BLOCK, size_bytes), head_bytes, digest, head_digest

    def _is_whole(self, record: Record, head_bytes: int, digest: bytes, head_digest: bytes) -> bool:
        head, body, left = new_digest(), new_digest(), head_bytes
        for chunk in self.chunks(record):
            head.update(chunk[:left])
            body.update(chunk[left:])
            left = max(left - len(chunk), 0)
        return (head.digest(), body.digest()) == (head_digest, digest)


def _blocks(size_bytes: int) -> int:
    """*size_bytes*, rounded up to whole blocks."""
    return -(-size_bytes // BLOCK) * BLOCK


def _pwrite(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
