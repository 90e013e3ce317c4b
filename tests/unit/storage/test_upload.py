"""Uploads in memory: small ones stay there until they are committed, others go on in a file."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from relais.dicom.refs import InstanceRef
from relais.errors import NotFound, OutOfResources
from relais.storage import upload as uploads
from relais.storage.digest import digest_of
from relais.storage.layout import fresh_token, instance_key
from relais.storage.local import LocalStore
from relais.storage.upload import ROOM_BYTES, WORTH_BYTES, Rooms

HEAD = b"head"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path, journal_bytes=16 * ROOM_BYTES)
    yield store
    store.close()


def a_key() -> str:
    return instance_key(InstanceRef("1.2", "1.2.1", "1.2.1.1"), fresh_token())


def temporary_files(store: LocalStore) -> int:
    return len(list(store.incoming.iterdir()))


@pytest.mark.parametrize("size", [0, 1, ROOM_BYTES - len(HEAD), ROOM_BYTES - len(HEAD) + 1, 3 * ROOM_BYTES])
def test_what_was_written_is_what_is_there(store: LocalStore, size: int) -> None:
    body, key = os.urandom(size), a_key()
    with store.begin(HEAD) as upload:
        for start in range(0, size, 300_001):
            upload.write(memoryview(body)[start : start + 300_001])
        assert temporary_files(store) == (len(HEAD) + size > ROOM_BYTES)
        assert upload.read_range(2, 10) == (HEAD + body)[2:12]
        assert upload.read_range(max(size - 2, 0), 100) == (HEAD + body)[max(size - 2, 0) :]
        stored = upload.commit(key)
    assert (stored.size_bytes, stored.digest) == (len(HEAD) + size, digest_of(body))
    with store.open(key) as stream:
        assert stream.read() == HEAD + body
    assert temporary_files(store) == 0


@pytest.mark.parametrize("is_alone", [True, False])
def test_what_is_digested_and_written_by_another_thread_is_the_same(store: LocalStore, is_alone: bool) -> None:
    body, key = os.urandom(ROOM_BYTES - len(HEAD)), a_key()
    with ExitStack() as company, store.begin(HEAD) as upload:
        if not is_alone:
            company.enter_context(store.begin(HEAD))
        for start in range(0, len(body), 100_000):
            upload.write(memoryview(body)[start : start + 100_000])
        upload.complete()
        stored = upload.stage(key)
        upload.seal()
    assert stored.digest == digest_of(body)
    with store.open(key) as stream:
        assert stream.read() == HEAD + body
    assert temporary_files(store) == 0


def a_store_with_journal(store: LocalStore) -> LocalStore:
    """Whose journal, which is made beside the work, takes objects by now."""
    for _ in range(3000):
        key = a_key()
        with store.begin(HEAD) as upload:
            upload.stage(key)
            if not (store.root / key).exists():
                return store
        time.sleep(0.01)
    pytest.fail("There is no journal.")


def test_what_is_staged_gets_its_key_when_it_is_sealed(store: LocalStore) -> None:
    key = a_key()
    with a_store_with_journal(store).begin(HEAD) as upload:
        upload.stage(key)
        with pytest.raises(NotFound):
            store.size_bytes(key)
        upload.seal()
        assert store.size_bytes(key) == len(HEAD)
        upload.seal()
    assert store.size_bytes(key) == len(HEAD)


def test_what_was_staged_and_given_up_is_not_there_and_cannot_be_sealed(store: LocalStore) -> None:
    """Not by another thread either, which would then commit a row without bytes."""
    key = a_key()
    with a_store_with_journal(store).begin(HEAD) as upload:
        upload.write(bytes(WORTH_BYTES))
        upload.complete()
        upload.stage(key)
    with pytest.raises(OutOfResources):
        upload.seal()
    store.close()
    with pytest.raises(NotFound):
        LocalStore(store.root).size_bytes(key)
    assert temporary_files(store) == 0


def test_what_another_thread_cannot_write_is_refused_and_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    kept = list(a_store_with_journal(store).iterate())
    monkeypatch.setattr(uploads.os, "write", full)
    with store.begin(HEAD) as upload:
        upload.write(bytes(WORTH_BYTES))
        upload.complete()
        upload.stage(a_key())
        with pytest.raises(OutOfResources):
            upload.seal()
    assert temporary_files(store) == 0
    assert list(store.iterate()) == kept


def test_where_all_rooms_are_taken_an_upload_begins_in_a_file(store: LocalStore) -> None:
    store.rooms = Rooms(1)
    with store.begin(HEAD), store.begin(HEAD) as second:
        assert temporary_files(store) == 1
        second.write(b"body")
        stored = second.commit(a_key())
    assert stored.digest == digest_of(b"body")
    with store.begin(HEAD):
        assert temporary_files(store) == 0


def test_a_room_is_used_again() -> None:
    rooms = Rooms()
    first = rooms.take()
    assert first is not None
    rooms.give_back(first)
    assert rooms.take() is first


def test_what_cannot_go_on_in_a_file_is_refused_and_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    with store.begin(HEAD) as upload:
        with monkeypatch.context() as patch:
            patch.setattr(uploads.os, "write", full)
            with pytest.raises(OutOfResources):
                upload.write(bytes(ROOM_BYTES))
        with pytest.raises(OutOfResources):
            upload.commit(a_key())
    assert temporary_files(store) == 0
    assert list(store.iterate()) == []
