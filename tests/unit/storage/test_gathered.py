"""Large ranges are read into the kernel's cache in large pieces, and the store reads what it always read."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relais.errors import InvalidRequest
from relais.storage import local, system
from relais.storage.local import GATHERED_BYTES, GATHERED_END, LocalStore
from relais.storage.upload import LocalUpload

BLOCK = 4096
KEY = "00/1.2/1.3/1.4.0000000{}.dcm"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    made = LocalStore(tmp_path / "objects", fsync=False)
    yield made
    made.close()


def put(store: LocalStore, content: bytes, number: int = 1) -> str:
    with store.begin(b"") as upload:
        assert isinstance(upload, LocalUpload)
        upload.write(content)
        upload.commit(KEY.format(number))
    return KEY.format(number)


def forget(path: Path) -> None:
    """Have the kernel drop *path* from its cache, if it has one for it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def is_cached(fd: int, offset: int) -> bool:
    try:
        return os.preadv(fd, [bytearray(BLOCK)], offset, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False


@pytest.mark.parametrize("size", [1, 300_000, 525_646, GATHERED_END])
def test_what_is_gathered_is_in_the_cache(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    forget(path)
    with path.open("rb") as file:
        system.gather(file.fileno(), size)
        assert all(is_cached(file.fileno(), at) for at in range(0, size, BLOCK))


def test_what_cannot_be_gathered_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with path.open("rb") as file:
        system.gather(file.fileno(), GATHERED_END)  # has become shorter
    system.gather(-1, GATHERED_END)
    reading, writing = os.pipe()
    system.gather(reading, GATHERED_END)
    os.close(reading)
    os.close(writing)


def test_the_first_large_range_of_an_object_is_gathered(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[int] = []

    def gather(fd: int, size_bytes: int) -> None:
        gathered.append(size_bytes)
        system.gather(fd, size_bytes)

    monkeypatch.setattr(local, "gather", gather)
    content = os.urandom(GATHERED_END + 1)
    key, other = put(store, content), put(store, content, 2)
    forget(store.root / key)
    asked = (0, 1000), (1358, GATHERED_BYTES - 1), (1358, GATHERED_BYTES), (0, GATHERED_BYTES + 1), (1, GATHERED_END)
    for offset, length in asked:
        assert store.read_range(key, offset, length) == content[offset : offset + length]
    assert store.read_range(other, 0, GATHERED_END) == content[:-1]
    assert gathered == [1358 + GATHERED_BYTES, GATHERED_END]


def test_a_range_beyond_the_end_is_refused_as_ever(store: LocalStore) -> None:
    for number, size in enumerate((0, 1, GATHERED_BYTES), 1):
        key = put(store, bytes(size), number)
        with pytest.raises(InvalidRequest):
            store.read_range(key, 0, GATHERED_BYTES + 1)
