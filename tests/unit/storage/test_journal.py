"""The journal inside a local store: what is durable where, and what comes back after a process was killed."""

import errno
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from fixtures.waiting import eventually
from relais.dicom.refs import InstanceRef
from relais.errors import OutOfResources
from relais.storage import journal, redo
from relais.storage.layout import fresh_token, instance_key
from relais.storage.local import LocalStore
from relais.storage.system import FileSystem

HEAD, BODY = b"head", b"body" * 1000
JOURNAL_BYTES = 512 * 1024


def a_key(number: int = 1) -> str:
    return instance_key(InstanceRef("1.2", "1.2.1", f"1.2.1.{number}"), fresh_token())


def put(store: LocalStore, key: str, body: bytes = BODY) -> str:
    with store.begin(HEAD) as upload:
        upload.write(body)
        upload.commit(key)
    return key


def is_ready(store: LocalStore) -> bool:
    own = store._own_journal()
    return own is not None and own._active is not None


def opened(root: Path) -> LocalStore:
    """A store whose journal is ready."""
    store = LocalStore(root, journal_bytes=JOURNAL_BYTES)
    assert store._own_journal() is not None
    assert eventually(lambda: is_ready(store))
    return store


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was synced by fsync."""
    paths: list[Path] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        paths.append(Path(f"/proc/self/fd/{fd}").readlink())

    monkeypatch.setattr(os, "fsync", note)
    return paths


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStore]:
    """A store whose journal is not settled before it is full or closed."""
    monkeypatch.setattr(journal, "IDLE_S", 1000.0)
    store = opened(tmp_path)
    yield store
    store.close()


def test_a_small_object_is_synced_in_the_journal_and_later_in_its_file(store: LocalStore, synced: list[Path]) -> None:
    key = put(store, a_key())
    assert synced == []
    assert store.read_range(key, 0, 8) == b"headbody"
    store.close()
    path = store.root / key
    assert set(synced) >= {path, *list(path.parents)[:4]}


def test_many_files_are_synced_with_their_file_system(
    store: LocalStore, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(FileSystem, "sync", lambda self: calls.append(self) or True)
    for number in range(redo.MANY):
        put(store, a_key(number))
    store.close()
    assert len(calls) == 1
    assert not any(path.suffix == ".dcm" for path in synced)


def test_a_large_object_is_synced_by_itself(store: LocalStore, synced: list[Path]) -> None:
    put(store, a_key(), bytes(JOURNAL_BYTES // 2 // journal.LARGEST_SHARE + 1))
    assert len(synced) == 1 + 4


def test_an_idle_store_has_nothing_to_settle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "IDLE_S", 0.05)
    store = opened(tmp_path)
    put(store, a_key())
    assert eventually(lambda: not any(_is_used(tmp_path)))
    store.close()


def _is_used(root: Path) -> list[bool]:
    return [path.read_bytes()[32] != 0 for name in journal.SEGMENTS for path in (root / ".journal").glob(f"*/{name}")]


def test_where_both_segments_are_full_objects_are_synced_by_themselves(
    store: LocalStore, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(root: str, keys: Iterable[str], whole: FileSystem | None = None) -> None:
        raise OSError(errno.EIO, "not now")

    with monkeypatch.context() as patch:
        patch.setattr(redo, "settle", refused)
        keys = [put(store, a_key(n)) for n in range(100)]
        assert eventually(lambda: not is_ready(store))
        synced.clear()
        key = put(store, a_key(101))
        assert len(synced) >= 2
    store.close()
    assert set(store.iterate()) == {*keys, key}


def test_a_file_whose_sync_failed_is_written_again_unless_it_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel dropped after a failed sync cannot be asked for again (fsync(2))."""
    monkeypatch.setattr(journal, "IDLE_S", 0.3)
    store = opened(tmp_path)
    settle, failures = redo.settle, 1

    def fail_once(root: str, keys: Iterable[str], whole: FileSystem | None = None) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EIO, "Input/output error")
        settle(root, keys, whole)

    monkeypatch.setattr(redo, "settle", fail_once)
    kept, deleted = put(store, a_key(1)), put(store, a_key(2))
    before = (store.root / kept).stat().st_ino
    store.delete(deleted)
    assert eventually(lambda: (store.root / kept).stat().st_ino != before)
    assert store.read_range(kept, 0, 8) == b"headbody"
    assert list(store.iterate()) == [kept]
    store.close()


def test_after_a_failed_write_nothing_is_promised_and_the_journal_is_not_used_again(
    store: LocalStore, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(OutOfResources):
            put(store, a_key(1))
    assert list(store.iterate()) == []
    put(store, a_key(2))
    assert len(synced) >= 2


def killed_after(act: Callable[[], None]) -> None:
    """Let a child process do something and be killed."""
    child = os.fork()
    if not child:
        try:
            act()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_what_a_killed_process_left_is_restored_by_the_next(tmp_path: Path) -> None:
    keys = [a_key(n) for n in range(3)]

    def act() -> None:
        store = opened(tmp_path)
        for key in keys:
            put(store, key)

    killed_after(act)
    (tmp_path / keys[0]).unlink()  # as a power cut may leave them
    (tmp_path / keys[1]).write_bytes(b"head")
    store = LocalStore(tmp_path)
    assert all(store.read_range(key, 0, 4004) == HEAD + BODY for key in keys)
    assert not any(_is_used(tmp_path))
    assert store.sweep(0) == 0


def test_what_a_living_process_has_in_its_journal_is_left_alone(store: LocalStore) -> None:
    key = put(store, a_key())
    (store.root / key).write_bytes(b"damaged")
    other = opened(store.root)
    assert other.read_range(key, 0, 7) == b"damaged"
    assert sorted(path.name for path in (store.root / ".journal").iterdir()) == ["00", "01"]
    other.close()


def test_a_child_process_has_a_journal_of_its_own(store: LocalStore) -> None:
    put(store, a_key(1))
    key = a_key(2)

    def act() -> None:
        assert store._own_journal() is not None
        assert eventually(lambda: is_ready(store))
        put(store, key)

    killed_after(act)
    (store.root / key).unlink()
    LocalStore(store.root)
    assert store.read_range(key, 0, 4) == HEAD


def test_a_journal_that_cannot_be_settled_now_is_kept_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = a_key()
    killed_after(lambda: put(opened(tmp_path), key) and None)
    (tmp_path / key).unlink()

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(redo, "restore", full)
        LocalStore(tmp_path)
    assert "cannot be settled now" in caplog.text
    store = LocalStore(tmp_path)
    assert store.read_range(key, 0, 4) == HEAD


def test_a_small_disk_gets_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path, journal_bytes=JOURNAL_BYTES)
    monkeypatch.setattr(store, "free_bytes", lambda: JOURNAL_BYTES)
    put(store, a_key())
    assert not (tmp_path / ".journal").exists()
    store.close()


def test_a_journal_of_another_size_is_made_anew(tmp_path: Path) -> None:
    opened(tmp_path).close()
    store = LocalStore(tmp_path, journal_bytes=2 * JOURNAL_BYTES)
    put(store, a_key())
    assert eventually(lambda: is_ready(store))
    assert (tmp_path / ".journal" / "00" / "a").stat().st_size == JOURNAL_BYTES
    store.close()
