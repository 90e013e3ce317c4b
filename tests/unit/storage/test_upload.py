"""Uploads in memory: small ones stay there until they are committed, others go on in a file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relais.dicom.refs import InstanceRef
from relais.errors import OutOfResources
from relais.storage import upload as uploads
from relais.storage.digest import digest_of
from relais.storage.layout import fresh_token, instance_key
from relais.storage.local import LocalStore
from relais.storage.upload import ROOM_BYTES, Rooms

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
