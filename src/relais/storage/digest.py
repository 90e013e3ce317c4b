"""The digest of what is stored: SHA-256, and a quick checksum (docs/decisions/0001-digest.md). Knows bytes only."""

from hashlib import sha256
from typing import Protocol

from xxhash import xxh3_128

from relais.storage.base import Buffer

SIZE_BYTES = 32

_NOTHING = sha256(usedforsecurity=False)  # a copy is made in a seventh of the time of another one


class Digest(Protocol):
    """A digest in the making."""

    def update(self, data: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


def new_digest() -> Digest:
    """A digest of nothing yet. Its update releases the interpreter's lock for chunks of 2 KiB and more."""
    return _NOTHING.copy()


def new_checksum() -> Digest:
    """A checksum of nothing yet: XXH3, which finds every accident, but no intent."""
    return xxh3_128()


def digest_of(data: Buffer) -> bytes:
    """The digest of *data*."""
    digest = new_digest()
    digest.update(data)
    return digest.digest()
