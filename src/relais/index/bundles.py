"""The metadata documents of a series in one blob, compressed together. Knows bytes of JSON, not what they say.

Documents of one series say almost the same: together they take a small part of what each takes alone. They lie in
chunks, so that one of them costs no more than its chunk. In front stand the ids and revisions of their instances.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from struct import calcsize, error, pack, unpack

import orjson

from relais.errors import Unavailable
from relais.index import packing
from relais.index.pack_columns import numbers, read_numbers

CHUNK = 64
CHUNK_BYTES = 4 * 1024 * 1024  # a chunk ends behind it
_HEAD = "<I"
_BETWEEN = b"\n"  # JSON has none outside of its texts, and writes it there as \n

Version = tuple[int, int]  # of an instance: id and revision


@dataclass(slots=True)
class Bundle:
    """A bundle that is being made."""

    _versions: list[Version] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _chunks: list[bytes] = field(default_factory=list)
    _open: list[bytes] = field(default_factory=list)

    def add(self, version: Version, document: bytes) -> None:
        """Put in the document of an instance."""
        self._versions.append(version)
        self._open.append(document)
        if len(self._open) >= CHUNK or sum(map(len, self._open)) >= CHUNK_BYTES:
            self._close()

    def packed(self) -> bytes:
        """All that was put in."""
        if self._open:
            self._close()
        ids, revisions = zip(*self._versions, strict=True) if self._versions else ((), ())
        said = [numbers(ids), numbers(revisions), self._counts, [len(chunk) for chunk in self._chunks]]
        head = packing.pack_document(orjson.dumps(said))
        return pack(_HEAD, len(head)) + head + b"".join(self._chunks)

    def _close(self) -> None:
        self._chunks.append(packing.pack_document(_BETWEEN.join(self._open)))
        self._counts.append(len(self._open))
        self._open.clear()


def documents(bundle: bytes, wanted: Iterable[Version]) -> Iterator[tuple[int, bytes]]:
    """Ids and documents of those of the *wanted* that are in *bundle*. Raises Unavailable if it is damaged."""
    try:
        yield from _documents(bundle, set(wanted))
    except (ValueError, LookupError, TypeError, error) as exc:
        raise Unavailable(packing.DAMAGED) from exc


def _documents(bundle: bytes, wanted: set[Version]) -> Iterator[tuple[int, bytes]]:
    start = calcsize(_HEAD)
    at = start + unpack(_HEAD, bundle[:start])[0]
    ids, revisions, counts, lengths = orjson.loads(packing.unpack_documents([bundle[start:at]])[0])
    count = sum(counts)
    versions = list(zip(read_numbers(ids, count), read_numbers(revisions, count), strict=True))
    for place, length in zip(counts, lengths, strict=True):
        mine, versions = versions[:place], versions[place:]
        if not wanted.isdisjoint(mine):
            chunk = packing.unpack_documents([bundle[at : at + length]])[0]
            found = zip(mine, chunk.split(_BETWEEN), strict=True)
            yield from ((version[0], document) for version, document in found if version in wanted)
        at += length
