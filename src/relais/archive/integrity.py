"""Whether what is kept is what was received. Knows digests and rows."""

import logging
from collections.abc import Iterator

from relais.archive import Archive
from relais.db.database import Transaction
from relais.errors import InvalidRequest, NotFound, Unavailable
from relais.index import lookup
from relais.index.rows import InstanceFacts, InstanceRow
from relais.storage.digest import digest_of, new_digest

CHUNK_BYTES = 256 * 1024
WHOLE_BYTES = 2 * 1024 * 1024  # up to it a Data Set is read at once: most instances are smaller

log = logging.getLogger(__name__)


class Damaged(Unavailable):
    """The stored instance is damaged."""


def verified_chunks(archive: Archive, row: InstanceRow, offset: int, *, always: bool = False) -> Iterator[bytes]:
    """The stored object from *offset* on, which is its start or the start of its Data Set.

    The last chunk leaves only if the digests are right; a reader that counts bytes therefore never takes a damaged
    object for a whole one. Raises Damaged instead.
    """
    head_bytes, verify = row.layout.dataset_offset, always or archive.settings.verify_on_read
    if offset == 0:
        yield checked_head(archive, row)
    if row.size_bytes - head_bytes <= WHOLE_BYTES:
        yield _whole(archive, row, verify=verify)
        return
    digest, left, held = new_digest(), row.size_bytes - head_bytes, b""
    with archive.store.open(row.key) as stream:
        stream.seek(head_bytes)
        while chunk := stream.read(CHUNK_BYTES):
            if held:
                yield held
            if verify:
                digest.update(chunk)
            left -= len(chunk)
            held = chunk
    if left or (verify and digest.digest() != row.digest):
        raise damaged(row)
    yield held


def _whole(archive: Archive, row: InstanceRow, *, verify: bool) -> bytes:
    """The Data Set, if undamaged."""
    start = row.layout.dataset_offset
    try:
        data = archive.store.read_range(row.key, start, row.size_bytes - start)
    except InvalidRequest as exc:  # it has become shorter
        raise damaged(row) from exc
    if verify and digest_of(data) != row.digest:
        raise damaged(row)
    return data


def checked_head(archive: Archive, row: InstanceRow) -> bytes:
    """Preamble and File Meta Information, if undamaged."""
    head = archive.store.read_range(row.key, 0, row.layout.dataset_offset)
    digest = new_digest()
    digest.update(head)
    if digest.digest() != row.head_digest:
        raise damaged(row)
    return head


def is_lost(archive: Archive, tx: Transaction, facts: InstanceFacts) -> bool:
    """Whether the other object that is kept for the instance is gone, or not whole: then this one takes its place."""
    kept = lookup.instance(tx, facts.ref)
    if kept is None or kept.key == facts.key:
        return False
    try:
        return archive.store.size_bytes(kept.key) != kept.size_bytes
    except NotFound:
        return True


def damaged(row: InstanceRow) -> Damaged:
    """Tell the operator, once per finding, and give back what to raise."""
    log.error("damaged key=%s sop_instance_uid=%s", row.key, row.ref.sop_instance_uid)
    return Damaged()
