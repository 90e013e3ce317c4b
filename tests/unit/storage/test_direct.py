"""Files written past the kernel's cache: what is in them, what stays in the cache, and what refuses."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relais.dicom.refs import InstanceRef
from relais.errors import OutOfResources
from relais.storage.direct import BLOCK
from relais.storage.layout import fresh_token, instance_key
from relais.storage.local import LocalStore
from relais.storage.upload import ROOM_BYTES

LEAST = 16 * BLOCK


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path, journal_bytes=16 * ROOM_BYTES, direct_bytes=LEAST)
    store.prepare()
    yield store
    store.close()


def put(store: LocalStore, content: bytes) -> str:
    key = instance_key(InstanceRef("1.2", "1.2.1", "1.2.1.1"), fresh_token())
    with store.begin(content[:132]) as upload:
        upload.write(content[132:])
        upload.commit(key)
    return key


def blocks_in_cache(path: Path) -> int:
    """How many blocks of the file can be read without asking the disk."""
    found = 0
    fd = os.open(path, os.O_RDONLY)
    try:
        for at in range(0, os.fstat(fd).st_size, BLOCK):
            try:
                found += os.preadv(fd, [bytearray(BLOCK)], at, os.RWF_NOWAIT) > 0
            except BlockingIOError:
                continue
    finally:
        os.close(fd)
    return found


def takes_direct_writes(folder: Path) -> bool:
    """Whether the file system of *folder* does, and is one that has something to be past of."""
    path = folder / "probe"
    path.write_bytes(bytes(BLOCK))
    try:
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    except OSError:
        return False
    os.close(fd)
    os.sync()
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return not blocks_in_cache(path)


@pytest.mark.parametrize("size", [LEAST - 1, LEAST, LEAST + 1, LEAST + BLOCK - 1, ROOM_BYTES - 1, ROOM_BYTES])
def test_every_byte_is_there_whatever_the_size(store: LocalStore, size: int) -> None:
    content = os.urandom(size)
    key = put(store, content)
    assert (store.root / key).read_bytes() == content


def test_nothing_but_the_end_stays_in_the_cache(store: LocalStore, tmp_path: Path) -> None:
    if not takes_direct_writes(tmp_path):
        pytest.skip("this file system has no cache to write past")

    def fewest(size: int) -> int:
        """Blocks of one of some objects: the kernel may end a direct write through the cache. Seen: once, 3 of 16."""
        return min(blocks_in_cache(store.root / put(store, os.urandom(size))) for _ in range(3))

    assert fewest(LEAST + 100) == 1
    assert fewest(LEAST) == 0
    assert fewest(LEAST - 1) == 16


@pytest.mark.parametrize("refused", ["fcntl", "write"])
def test_a_file_system_that_refuses_is_asked_once(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    asked = []
    real_fcntl, real_write = fcntl.fcntl, os.write

    def is_direct(fd: int) -> bool:
        return bool(real_fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)

    def refusing_fcntl(fd: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            asked.append(fd)
            if refused == "fcntl":
                raise OSError(errno.EINVAL, "no")
        return real_fcntl(fd, command, flags)

    def refusing_write(fd: int, data: memoryview) -> int:
        if refused == "write" and is_direct(fd):
            raise OSError(errno.EINVAL, "no")
        return real_write(fd, data)

    monkeypatch.setattr(fcntl, "fcntl", refusing_fcntl)
    monkeypatch.setattr(os, "write", refusing_write)
    for _ in range(2):
        content = os.urandom(LEAST + 1)
        assert (store.root / put(store, content)).read_bytes() == content
    assert len(asked) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_told_and_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.write

    def failing(fd: int, data: memoryview) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(code, os.strerror(code))
        return real(fd, data)

    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(OutOfResources):
        put(store, os.urandom(LEAST))
    assert list(store.incoming.iterdir()) == []
    assert list(store.iterate()) == []


def test_a_short_write_is_gone_on_with(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:BLOCK]))
    content = os.urandom(LEAST + 5)
    assert (store.root / put(store, content)).read_bytes() == content
