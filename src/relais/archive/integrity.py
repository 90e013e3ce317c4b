"""Whether what is kept is what was received. Knows digests and rows."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from relais.archive import Archive, spooling
from relais.archive.readers import READERS
from relais.errors import Elsewhere, InvalidRequest, Nearline, NodeError, NotFound, Unavailable
from relais.index import lookup
from relais.index.rows import InstanceFacts, InstanceRow, kept_of
from relais.storage.base import Buffer, is_far_away
from relais.storage.digest import digest_of, new_checksum, new_digest

CHUNK_BYTES = 48 * 1024
SMALL_BYTES = 144 * 1024  # up to it an object is one chunk, such as an MR
HANDY_BYTES = 576 * 1024  # up to it it is, too, while readers are few, such as a CT: it costs a quarter less so
WHOLE_BYTES = 2 * 1024 * 1024  # up to it it is for who keeps no chunk waiting, and where it lies far away
KNOWN_OBJECTS = 200_000  # objects whose checksum is remembered, 30 MB; beyond that all are forgotten

log = logging.getLogger(__name__)


class Damaged(Unavailable):
    """The stored instance is damaged."""


class Lost(NamedTuple):
    """The *key* of an object that is damaged, or gone altogether, or as good as gone: it waits on another node.

    Whether that node will ever bring it nobody knows: who sends it again may have been told that its disk is lost.
    """

    key: str
    is_gone: bool = False
    is_elsewhere: bool = False


SOUND = Lost("")


@dataclass(slots=True)
class Lacking:
    """Keys of objects that the archive lacks, has damaged or cannot read now: in slow storage, or on another node."""

    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.damaged or self.unread)

    def lacks(self, key: str, error: NodeError) -> None:
        """Note *key*, which could not be had. Raises *error* if that is of no single object."""
        if isinstance(error, Damaged):
            self.damaged.append(key)
        elif isinstance(error, NotFound):
            self.missing.append(key)
        elif isinstance(error, Nearline | Elsewhere):
            self.unread.append(key)
        else:
            raise error


def verified_chunks(archive: Archive, row: InstanceRow, offset: int, *, always: bool = False) -> Iterator[bytes]:
    """The stored object from *offset* on, which is its start or the start of its Data Set.

    The last chunk leaves only if the digests are right; a reader that counts bytes therefore never takes a damaged
    object for a whole one. Raises Damaged instead. *always* compares with the digest itself, whatever is known.
    """
    check = _Check(row, always=always) if always or archive.settings.verify_on_read else None
    if row.size_bytes - offset <= (WHOLE_BYTES if always or is_far_away(archive.store) else _most_bytes()):
        yield _whole(archive, row, offset, check)
    else:
        yield from _in_chunks(archive, row, offset, check)


def _most_bytes() -> int:
    return HANDY_BYTES if READERS.are_few() else SMALL_BYTES


def _in_chunks(archive: Archive, row: InstanceRow, offset: int, check: "_Check | None") -> Iterator[bytes]:
    if offset == 0:
        yield checked_head(archive, row)
    left, held = row.size_bytes - row.layout.dataset_offset, b""
    with archive.store.open(row.key) as stream:
        stream.seek(row.layout.dataset_offset)
        while chunk := stream.read(CHUNK_BYTES):
            if held:
                yield held
            if check:
                check.update(chunk)
            left -= len(chunk)
            held = chunk
    if left or (check and not check.is_right()):
        raise damaged(row)
    yield held


class _Check:
    """Whether the bytes that pass by are those of the row's digest (docs/decisions/0001-digest.md).

    The digest is compared the first time that this process reads them in full; from then on a checksum is, which was
    made of the same bytes and costs a thirtieth.
    """

    _checksums: ClassVar[dict[bytes, bytes]] = {}  # by digest

    def __init__(self, row: InstanceRow, *, always: bool) -> None:
        self._row_digest = row.digest
        self._known = None if always else self._checksums.get(row.digest)
        self._checksum = new_checksum()
        self._digest = new_digest() if self._known is None else None

    def update(self, data: Buffer) -> None:
        self._checksum.update(data)
        if self._digest is not None:
            self._digest.update(data)

    def is_right(self) -> bool:
        found = self._checksum.digest()
        if self._digest is None:
            return found == self._known
        if kept_of(self._digest.digest()) != self._row_digest:
            return False
        if len(self._checksums) >= KNOWN_OBJECTS:
            self._checksums.clear()
        self._checksums[self._row_digest] = found
        return True


def _whole(archive: Archive, row: InstanceRow, offset: int, check: _Check | None) -> bytes:
    """The object from *offset* on, in one go, if undamaged."""
    try:
        data = archive.store.read_range(row.key, offset, row.size_bytes - offset)
    except InvalidRequest as exc:  # it has become shorter
        raise damaged(row) from exc
    head_bytes, view = row.layout.dataset_offset - offset, memoryview(data)
    if head_bytes and kept_of(digest_of(view[:head_bytes])) != row.head_digest:
        raise damaged(row)
    if check:
        check.update(view[head_bytes:])
        if not check.is_right():
            raise damaged(row)
    return data


def checked_head(archive: Archive, row: InstanceRow) -> bytes:
    """Preamble and File Meta Information, if undamaged."""
    head = archive.store.read_range(row.key, 0, row.layout.dataset_offset)
    if kept_of(digest_of(head)) != row.head_digest:
        raise damaged(row)
    return head


def look_at_kept(archive: Archive, facts: InstanceFacts) -> Lost:
    """What is wrong with the other object that is kept for the instance; SOUND if nothing is, or there is none.

    It is read in full, so not to be asked while the index is locked. A store that does not answer has lost nothing, but
    what waits on another node is not there for it either.
    """
    kept = lookup.instance(archive.db, facts.ref)
    if kept is None or kept.key == facts.key:
        return SOUND
    try:
        for _ in verified_chunks(archive, kept, 0, always=True):
            pass
    except NotFound:
        return Lost(kept.key, is_gone=True)
    except Damaged:
        return Lost(kept.key)
    except Unavailable:
        return Lost(kept.key, is_elsewhere=True) if spooling.waits_elsewhere(archive, kept.key) else SOUND
    return SOUND


def damaged(row: InstanceRow) -> Damaged:
    """Tell the operator, once per finding, and give back what to raise."""
    log.error("damaged key=%s sop_instance_uid=%s", row.key, row.ref.sop_instance_uid)
    return Damaged()
