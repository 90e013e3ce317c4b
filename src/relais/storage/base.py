"""The port to the bytes: what every object store promises. Knows keys and bytes, nothing of DICOM.

Adapters share tests/contract/test_object_store.py. Foreign exceptions are wrapped: OutOfResources where nothing can be
made durable (full, read-only, too many files), Unavailable where the store does not answer, Missing for a key
without an object.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeGuard, TypeVar, runtime_checkable

from relais.errors import Unavailable

Buffer = bytes | bytearray | memoryview
T = TypeVar("T")


class Away(Unavailable):
    """The folder of the objects is gone, or another one than at the start: mount it, or start the node again."""


class StoredObject(NamedTuple):
    """What became of an upload. Digests are SHA-256 or what storage.digest chose, raw bytes.

    *digest* covers what was written after the head (the Data Set, so that the same Data Set from two senders has one
    digest); *head_digest* covers the head.
    """

    size_bytes: int
    digest: bytes
    head_digest: bytes


class Upload(Protocol):
    """Bytes on their way in. Used as a context manager; leaving it without commit removes every trace."""

    def __enter__(self) -> "Upload": ...

    def __exit__(self, *exc_info: object) -> None: ...

    def write(self, chunk: Buffer) -> None:
        """Append *chunk*. Memory does not grow with the size of the object."""

    def read_range(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes of what was written so far, head included."""

    @property
    def size_bytes(self) -> int:
        """What was written so far, head included."""

    def expect(self, key: str) -> None:
        """The object will most likely be committed under *key*: who can begin to bring it there may. No promise."""

    def complete(self) -> None:
        """Nothing more will be written: what can be done before the key is known may begin. No promise."""

    def stage(self, key: str) -> StoredObject:
        """Bring the object to where `seal` makes it durable under *key*, which must be new, without much waiting."""

    def seal(self) -> None:
        """Make what was staged durable under its key. When this returns, power may fail. May be called again.

        What fails at the end may leave the whole object there, not durable: whoever gives it up deletes it.
        """

    def commit(self, key: str) -> StoredObject:
        """Stage and seal. Bytes that were damaged on their way to the store are an error, never an object."""


class ObjectStore(Protocol):
    """Bytes under keys. Keys are relative POSIX paths made by storage.layout, never by a stranger."""

    def begin(self, head: bytes) -> Upload:
        """Start an object whose first bytes are *head*."""

    def open(self, key: str) -> BinaryIO:
        """The object as a readable, seekable stream."""

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Exactly *length* bytes at *offset*; InvalidRequest beyond the end."""

    def size_bytes(self, key: str) -> int: ...

    def as_path(self, key: str) -> AbstractContextManager[Path]:
        """The object as a file on this machine, read-only, for the time of the context."""

    def secure(self, key: str) -> None:
        """Make durable what is under *key*, also if its upload was interrupted; no error if there is nothing."""

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is gone already."""

    def iterate(self, folder: str = "") -> Iterator[str]:
        """Every key, or those below *folder* (one to three whole segments of a key), in no promised order."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The keys below *folder*, as for iterate, each with the bytes of its object: one question instead of many."""

    def sweep(self, older_than_s: float) -> int:
        """Remove leavings of uploads that never committed and return their number."""

    def free_bytes(self) -> int | None:
        """Room left, None where unknown."""

    def prepare(self) -> None:
        """Begin to make ready what the first upload would have to wait for."""

    def close(self) -> None:
        """Finish what is done in the background. Whatever is asked for afterwards opens the store again."""


@runtime_checkable
class Folder(Protocol):
    """What a store promises besides into whose folder anybody can put a file."""

    def foreign(self) -> Iterator[str]:
        """Files that are no objects, below the store's folder. Names that begin with a dot are the store's own."""


@runtime_checkable
class FarAway(Protocol):
    """What a store promises besides that is asked over a network: what is asked side by side comes sooner."""

    def beside(self, work: Callable[..., T], *args: object) -> Future[T]:
        """Have *work*, which reads this store, done beside other work as soon as a thread is free."""

    def bring_back(self, key: str) -> None:
        """Somebody wants to read an object that is Nearline: begin to fetch its series, if the settings say so."""


def is_far_away(store: ObjectStore) -> TypeGuard[FarAway]:
    """Whether *store* is one. Each kind of store is asked once: that takes 15 µs."""
    return _are_far_away(type(store))


@cache
def _are_far_away(kind: type[ObjectStore]) -> bool:
    return issubclass(kind, FarAway)
