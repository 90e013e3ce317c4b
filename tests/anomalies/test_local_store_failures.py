"""Every call that the local store makes to the file system fails once: nothing promised, no trace left, all goes on.

Also what no single failure shows: short writes, limits of the operating system, folders that vanish, foreign files.
"""

import contextlib
import errno
import os
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relais.dicom.refs import InstanceRef
from relais.errors import NotFound, OutOfResources, Unavailable
from relais.storage.layout import fresh_token, instance_key
from relais.storage.local import LocalStore

CALLS = ("open", "write", "fsync", "rename", "mkdir", "close", "stat", "pread", "fstat", "listdir", "unlink", "rmdir")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS)
HEAD, BODY = b"head", b"body" * 1000
OTHER = InstanceRef("1.2", "1.2.1", "1.2.1.1")
NEW = InstanceRef("1.3", "1.3.1", "1.3.1.1")


class Faults:
    """Counts the calls of some functions of os, and makes one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        self._armed: tuple[str, int, int] | None = None
        self._is_on = False
        for name in (*CALLS, "statvfs"):
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    @contextmanager
    def on(self, name: str = "", number: int = 0, code: int = 0) -> Iterator[None]:
        self.counts.clear()
        self._armed, self._is_on = (name, number, code), True
        try:
            yield
        finally:
            self._is_on = False

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._is_on:
                return real(*args, **kwargs)
            self.counts[name] += 1
            assert self._armed is not None
            if self._armed[:2] == (name, self.counts[name]):
                if name == "close":
                    real(*args, **kwargs)  # what cannot be closed is closed all the same (close(2))
                raise OSError(self._armed[2], os.strerror(self._armed[2]))
            return real(*args, **kwargs)

        return call


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


def put(store: LocalStore, key: str) -> None:
    with store.begin(HEAD) as upload:
        upload.write(BODY)
        upload.read_range(0, 100)
        upload.commit(key)


def a_store(folder: Path) -> tuple[LocalStore, str]:
    """A store with one object in it."""
    store, key = LocalStore(folder), instance_key(OTHER, fresh_token())
    put(store, key)
    return store, key


def traces(store: LocalStore) -> set[str]:
    return {path.relative_to(store.root).as_posix() for path in store.root.rglob("*")}


def descriptors(folder: Path) -> list[str]:
    """What this process has open below *folder*. Its other files, sockets and pipes may come and go meanwhile."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed a moment ago
            opened.append(str(descriptor.readlink()))
    return sorted(path for path in opened if path.startswith(f"{folder}/"))


def calls_of(faults: Faults, act: Callable[[], object]) -> list[tuple[str, int]]:
    """Every call that *act* makes when nothing fails."""
    with faults.on():
        act()
    return [(name, number) for name, count in faults.counts.items() for number in range(1, count + 1)]


def test_every_call_of_a_store_may_fail_once(faults: Faults, tmp_path: Path) -> None:
    rehearsal, _ = a_store(tmp_path / "rehearsal")
    calls = calls_of(faults, lambda: put(rehearsal, instance_key(NEW, fresh_token())))
    assert {name for name, _ in calls} >= {"open", "write", "fsync", "rename", "mkdir", "close"}
    for index, (name, number) in enumerate(calls):
        for code in ERRORS:
            store, kept = a_store(tmp_path / f"{index}-{code}")
            before, open_before, key = traces(store), descriptors(tmp_path), instance_key(NEW, fresh_token())
            try:
                with faults.on(name, number, code):
                    put(store, key)
            except (OutOfResources, Unavailable) as exc:
                assert isinstance(exc, OutOfResources) or name == "pread"
                if key in store.iterate():  # the very last sync failed: whole, and given up by who stored it
                    assert store.read_range(key, 0, len(HEAD + BODY)) == HEAD + BODY
                    assert name in {"open", "fsync", "close"}
                    store.delete(key)
                assert traces(store) == before, (name, number)
            else:
                assert name in {"close", "unlink"}, (name, number)  # nothing depends on these
                assert set(store.iterate()) == {kept, key}
            assert descriptors(tmp_path) == open_before
            assert store.sweep(0) == 0
            again = instance_key(NEW, fresh_token())
            put(store, again)
            assert store.read_range(again, 0, 8) == b"headbody"
            assert store.read_range(kept, 0, 8) == b"headbody"


@pytest.mark.parametrize("code", ERRORS)
def test_every_call_of_a_reader_may_fail_once(faults: Faults, tmp_path: Path, code: int) -> None:
    store, key = a_store(tmp_path / "objects")

    def as_path() -> None:
        with store.as_path(key):
            pass

    acts: list[Callable[[], object]] = [
        lambda: store.read_range(key, 0, 4),
        lambda: store.size_bytes(key),
        lambda: list(store.iterate()),
        lambda: store.sweep(3600),
        store.free_bytes,
        as_path,
    ]
    for act in acts:
        for name, number in calls_of(faults, act):
            if name == "close":
                continue
            open_before = descriptors(tmp_path)
            with pytest.raises(Unavailable), faults.on(name, number, code):
                act()
            assert descriptors(tmp_path) == open_before
            act()


def test_without_a_free_descriptor_nothing_is_said_to_be_missing_and_nothing_is_taken(tmp_path: Path) -> None:
    store, key = a_store(tmp_path)
    limit, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, limit[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        with pytest.raises(Unavailable):
            store.open(key)
        with pytest.raises(OutOfResources):
            store.begin(HEAD)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    with store.open(key) as stream:
        assert stream.read(4) == HEAD
    put(store, instance_key(NEW, fresh_token()))


def test_what_the_operating_system_refuses_to_write_leaves_no_trace(tmp_path: Path) -> None:
    store, _ = a_store(tmp_path)
    before, limit = traces(store), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        with store.begin(HEAD) as upload, pytest.raises(OutOfResources):
            upload.write(bytes(60_000))
            upload.write(bytes(60_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert traces(store) == before
    put(store, instance_key(NEW, fresh_token()))


def test_an_upload_that_failed_once_cannot_be_committed(faults: Faults, tmp_path: Path) -> None:
    """What the kernel dropped after a failed write or sync does not come back by asking again."""
    store, _ = a_store(tmp_path)
    with store.begin(HEAD) as upload:
        with faults.on("write", 1, errno.ENOSPC), pytest.raises(OutOfResources):
            upload.write(BODY)
        for use in (lambda: upload.write(BODY), lambda: upload.commit(instance_key(NEW, fresh_token()))):
            with pytest.raises(OutOfResources):
                use()
    with store.begin(HEAD) as upload:
        upload.write(BODY)
        with faults.on("fsync", 1, errno.EIO), pytest.raises(OutOfResources):
            upload.commit(instance_key(NEW, fresh_token()))
        with pytest.raises(OutOfResources):
            upload.commit(instance_key(NEW, fresh_token()))
    assert len(list(store.iterate())) == 1


def test_short_writes_and_reads_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, key = LocalStore(tmp_path), instance_key(NEW, fresh_token())
    write, pread = os.write, os.pread
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, 11), offset))
    with store.begin(HEAD) as upload:
        upload.write(BODY)
        assert upload.read_range(0, 10_000) == HEAD + BODY
        upload.commit(key)
    assert store.read_range(key, 2, 100) == (HEAD + BODY)[2:102]


def test_a_file_that_shrank_under_our_feet_gives_what_there_is(tmp_path: Path) -> None:
    with LocalStore(tmp_path).begin(HEAD) as upload:
        upload.write(BODY)
        os.truncate(next((tmp_path / ".incoming").iterdir()), 10)
        assert upload.read_range(0, 100) == (HEAD + BODY)[:10]


def test_a_store_that_cannot_be_made_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutOfResources):
        LocalStore(tmp_path / "file" / "objects")


@pytest.mark.parametrize("code", ERRORS)
def test_every_call_that_makes_a_store_may_fail_once(faults: Faults, tmp_path: Path, code: int) -> None:
    calls = calls_of(faults, lambda: LocalStore(tmp_path / "a" / "b"))
    for index, (name, number) in enumerate(calls):
        folder = tmp_path / str(index) / "objects"
        with pytest.raises(OutOfResources), faults.on(name, number, code):
            LocalStore(folder)
        a_store(folder)


def test_folders_removed_by_others_are_made_again(tmp_path: Path) -> None:
    store, key = a_store(tmp_path)
    (store.root / key).unlink()
    for folder in (store.root / key).relative_to(store.root).parents[:3]:
        (store.root / folder).rmdir()
    sibling = instance_key(InstanceRef("1.2", "1.2.2", "1.2.2.1"), fresh_token())
    put(store, sibling)
    put(store, key)
    assert set(store.iterate()) == {key, sibling}


def test_a_folder_removed_just_when_it_is_made_is_made_again(faults: Faults, tmp_path: Path) -> None:
    store, key = LocalStore(tmp_path), instance_key(OTHER, fresh_token())
    with faults.on("mkdir", 1, errno.EEXIST):  # there when mkdir came, pruned when it looked what is there
        put(store, key)
    assert list(store.iterate()) == [key]


def test_whoever_stores_does_not_suffer_from_whoever_deletes(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, fsync=False)
    refs = [InstanceRef("1.2", f"1.2.{n % 2}", f"1.2.{n % 2}.{n}") for n in range(400)]
    keys = [instance_key(ref, fresh_token()) for ref in refs]

    def come_and_go(key: str) -> None:
        put(store, key)
        store.delete(key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, keys))
    assert traces(store) == {".incoming"}


def test_a_temporary_file_removed_by_others_cannot_be_committed(tmp_path: Path) -> None:
    store, _ = a_store(tmp_path)
    before = traces(store)
    with store.begin(HEAD) as upload, pytest.raises(OutOfResources):
        next(store.incoming.iterdir()).unlink()
        upload.commit(instance_key(NEW, fresh_token()))
    assert traces(store) == before


def test_leaving_an_upload_twice_is_no_matter(tmp_path: Path) -> None:
    upload = LocalStore(tmp_path).begin(HEAD)
    upload.__exit__()
    upload.__exit__()
    assert traces(LocalStore(tmp_path)) == {".incoming"}


def test_a_failed_deletion_is_told_and_can_be_repeated(faults: Faults, tmp_path: Path) -> None:
    store, key = a_store(tmp_path)
    with pytest.raises(OutOfResources), faults.on("unlink", 1, errno.EROFS):
        store.delete(key)
    assert list(store.iterate()) == [key]
    store.delete(key)
    with pytest.raises(NotFound):
        store.open(key)


def test_folders_that_cannot_be_removed_do_no_harm(faults: Faults, tmp_path: Path) -> None:
    store, key = a_store(tmp_path)
    with faults.on("rmdir", 1, errno.EIO):
        store.delete(key)
    assert list(store.iterate()) == []
    put(store, key)


def test_deletion_leaves_no_empty_folders_and_spares_full_ones(tmp_path: Path) -> None:
    store, key = a_store(tmp_path)
    other = instance_key(InstanceRef("1.2", "1.2.2", "1.2.2.1"), fresh_token())
    put(store, other)
    store.delete(key)
    assert traces(store) == {".incoming", other, *(str(parent) for parent in Path(other).parents if parent.name)}
    store.delete(other)
    assert traces(store) == {".incoming"}


def test_foreign_files_are_ignored_and_left_alone(tmp_path: Path) -> None:
    store, key = a_store(tmp_path)
    foreign = ["notes.txt", "lost+found/x", "a0/readme", "a0/1.2/notes.txt", "a0/1.2/1.3/photo.dcm", "zz/1/1/1"]
    for name in foreign:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert list(store.iterate()) == [key]
    store.sweep(0)
    store.delete(key)
    assert all((tmp_path / name).exists() for name in foreign)


def test_what_another_process_sweeps_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = a_store(tmp_path)
    (store.incoming / "0.part").write_bytes(b"")
    unlink = Path.unlink

    def unlink_twice(path: Path) -> None:
        unlink(path)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", unlink_twice)
    assert store.sweep(0) == 0
    assert list(store.incoming.iterdir()) == []


def test_each_new_folder_is_synced_into_the_one_above_before_a_commit_returns(tmp_path: Path) -> None:
    store, synced = LocalStore(tmp_path), []
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())

    store.sync = note  # type: ignore[method-assign]
    key = instance_key(NEW, fresh_token())
    put(store, key)
    series = tmp_path / Path(key).parent
    assert synced[0].parent == store.incoming
    assert synced[1:] == [tmp_path, series.parent.parent, series.parent, series]
    synced.clear()
    put(store, instance_key(NEW, fresh_token()))
    assert synced[1:] == [series]


def test_folders_are_synced_again_by_a_new_process(tmp_path: Path) -> None:
    """Whoever made them may have died before."""
    a_store(tmp_path)
    store, count = LocalStore(tmp_path), 0

    def note(fd: int) -> None:
        nonlocal count
        count += 1

    store.sync = note  # type: ignore[method-assign]
    put(store, instance_key(OTHER, fresh_token()))
    assert count == 5


def test_durable_folders_are_forgotten_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relais.storage.local.KNOWN_FOLDERS", 4)
    store = LocalStore(tmp_path)
    for n in range(5):
        put(store, instance_key(InstanceRef("1.2", f"1.2.{n}", "1.2.3"), fresh_token()))
    assert len(list(store.iterate())) == 5


def test_without_fsync_nothing_is_synced(faults: Faults, tmp_path: Path) -> None:
    store = LocalStore(tmp_path, fsync=False)
    with faults.on():
        put(store, instance_key(NEW, fresh_token()))
    assert faults.counts["fsync"] == 0
