"""What every object store promises (storage.base). One suite, run over every adapter: a new one is a new fixture."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.object_server import ObjectServer, storage_settings
from relais.dicom.refs import InstanceRef
from relais.errors import InvalidRequest, NodeError, NotFound, OutOfResources
from relais.storage import open_store
from relais.storage.base import ObjectStore
from relais.storage.digest import digest_of
from relais.storage.layout import fresh_token, instance_key, series_folder, study_folder
from relais.storage.local import LocalStore
from relais.storage.settings import SpoolUse

HEAD, BODY = b"head of the object", b"and its Data Set " * 100
LONG_BYTES = 4 * 1024 * 1024  # more than an adapter keeps in memory
REF = InstanceRef("1.2.3", "1.2.3.4", "1.2.3.4.5")


@pytest.fixture(params=["local", "journal", "s3", "s3, spool first"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    stores = {
        "local": lambda: LocalStore(tmp_path / "objects"),
        "journal": lambda: with_journal(tmp_path / "objects"),
        "s3": lambda: in_bucket(request, tmp_path),
        "s3, spool first": lambda: in_bucket(request, tmp_path, spool=SpoolUse.FIRST),
    }
    store = stores[request.param]()
    yield store
    store.close()


def in_bucket(request: pytest.FixtureRequest, folder: Path, **settings: Any) -> ObjectStore:
    server: ObjectServer = request.getfixturevalue("object_server")
    return open_store(storage_settings(server, server.make_bucket(), folder, **settings))


def with_journal(root: Path) -> LocalStore:
    """A store whose journal is ready, and so small that it is full again and again."""
    store = LocalStore(root, journal_bytes=256 * 1024)
    key = a_key()
    put(store, key)
    while len(list((root / ".journal").glob("*/b"))) == 0:
        time.sleep(0.01)
    store.delete(key)
    return store


def a_key(ref: InstanceRef = REF) -> str:
    return instance_key(ref, fresh_token())


def put(store: ObjectStore, key: str, body: bytes = BODY, head: bytes = HEAD) -> None:
    with store.begin(head) as upload:
        upload.write(body)
        upload.commit(key)


def test_what_was_put_can_be_read(store: ObjectStore) -> None:
    key = a_key()
    put(store, key)
    with store.open(key) as stream:
        assert stream.read() == HEAD + BODY
    assert store.size_bytes(key) == len(HEAD + BODY)
    assert list(store.iterate()) == [key]


def test_digests_are_of_the_head_and_of_what_follows(store: ObjectStore) -> None:
    with store.begin(HEAD) as upload:
        for start in range(0, len(BODY), 100):
            upload.write(BODY[start : start + 100])
        stored = upload.commit(a_key())
    assert (stored.digest, stored.head_digest) == (digest_of(BODY), digest_of(HEAD))
    assert stored.size_bytes == len(HEAD + BODY)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_chunks_may_be_any_buffer(store: ObjectStore, kind: type) -> None:
    key = a_key()
    put(store, key, kind(BODY))
    assert store.read_range(key, len(HEAD), len(BODY)) == BODY


def test_chunks_may_be_parts_of_other_buffers(store: ObjectStore) -> None:
    key = a_key()
    put(store, key, memoryview(BODY)[10:20].cast("B"))
    assert store.read_range(key, len(HEAD), 10) == BODY[10:20]


def test_a_chunk_may_be_changed_once_it_was_written(store: ObjectStore) -> None:
    key, chunk = a_key(), bytearray(b"as it was")
    with store.begin(HEAD) as upload:
        upload.write(chunk)
        chunk[:] = b"different"
        upload.commit(key)
    assert store.read_range(key, len(HEAD), 9) == b"as it was"


def test_an_object_may_be_empty_behind_its_head(store: ObjectStore) -> None:
    key = a_key()
    put(store, key, b"")
    assert store.size_bytes(key) == len(HEAD)


def test_ranges_of_an_upload_can_be_read_before_it_is_committed(store: ObjectStore) -> None:
    with store.begin(HEAD) as upload:
        upload.write(BODY)
        assert upload.size_bytes == len(HEAD + BODY)
        assert upload.read_range(2, 30) == (HEAD + BODY)[2:32]
        assert upload.read_range(len(HEAD + BODY) - 3, 100) == BODY[-3:]
        assert upload.read_range(len(HEAD + BODY), 100) == b""
        assert upload.read_range(10_000_000, 100) == b""
        upload.write(b"more")
        assert upload.read_range(len(HEAD + BODY), 100) == b"more"


def test_nobody_sees_an_object_before_it_is_committed(store: ObjectStore) -> None:
    key = a_key()
    with store.begin(HEAD) as upload:
        upload.write(BODY)
        assert list(store.iterate()) == []
        with pytest.raises(NotFound):
            store.size_bytes(key)
        upload.commit(key)
        assert list(store.iterate()) == [key]


def test_an_object_is_staged_and_then_sealed(store: ObjectStore) -> None:
    key = a_key()
    with store.begin(HEAD) as upload:
        upload.write(BODY)
        upload.complete()
        stored = upload.stage(key)
        upload.seal()
        upload.seal()
    assert (stored.digest, stored.head_digest) == (digest_of(BODY), digest_of(HEAD))
    assert store.read_range(key, len(HEAD), len(BODY)) == BODY


def test_an_upload_that_was_left_leaves_no_trace(store: ObjectStore) -> None:
    with pytest.raises(ZeroDivisionError), store.begin(HEAD) as upload:
        upload.write(BODY)
        raise ZeroDivisionError
    assert list(store.iterate()) == []
    assert store.sweep(0) == 0


def test_a_key_is_never_given_twice(store: ObjectStore) -> None:
    key = a_key()
    put(store, key, b"first")
    with pytest.raises(NodeError):
        put(store, key, b"second")
    assert store.read_range(key, len(HEAD), 5) == b"first"
    assert store.sweep(0) == 0


def test_an_upload_is_committed_once(store: ObjectStore) -> None:
    with store.begin(HEAD) as upload:
        upload.commit(a_key())
        with pytest.raises(NodeError):
            upload.commit(a_key())
        with pytest.raises(NodeError):
            upload.write(b"more")
    assert len(list(store.iterate())) == 1


NO_KEYS = ["", "..", "../../etc/passwd", "/etc/passwd", "a0/1.2/../1.3", "a0/1.2/1.3/1.4.dcm", "x" * 999]


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_key_is_refused_everywhere(store: ObjectStore, key: str) -> None:
    put(store, a_key())
    with store.begin(HEAD) as upload, pytest.raises(InvalidRequest):
        upload.commit(key)
    for use in (store.open, store.size_bytes, store.delete, lambda k: store.read_range(k, 0, 1)):
        with pytest.raises(InvalidRequest):
            use(key)
    with pytest.raises(InvalidRequest), store.as_path(key):
        pass


def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    put(store, a_key())
    for use in (store.open, store.size_bytes, lambda k: store.read_range(k, 0, 1)):
        with pytest.raises(NotFound):
            use(a_key())
    with pytest.raises(NotFound), store.as_path(a_key(InstanceRef("9", "9", "9"))):
        pass


def test_ranges_are_exact(store: ObjectStore) -> None:
    key, whole = a_key(), HEAD + BODY
    put(store, key)
    assert store.read_range(key, 5, 20) == whole[5:25]
    assert store.read_range(key, 0, len(whole)) == whole
    assert store.read_range(key, len(whole), 0) == b""


@pytest.mark.parametrize(("offset", "length"), [(0, 10**12), (-1, 5), (5, -1), (10**9, 1), (1719, 1), (1718, 2)])
def test_ranges_beyond_the_end_are_refused(store: ObjectStore, offset: int, length: int) -> None:
    key = a_key()
    put(store, key)
    if offset + length <= len(HEAD + BODY) and offset >= 0 and length >= 0:
        pytest.fail("a range that is there")
    with pytest.raises(InvalidRequest):
        store.read_range(key, offset, length)


def test_streams_can_be_searched(store: ObjectStore) -> None:
    key = a_key()
    put(store, key)
    with store.open(key) as stream:
        stream.seek(len(HEAD))
        assert stream.read(10) == BODY[:10]
        assert stream.seek(0, os.SEEK_END) == len(HEAD + BODY)


def test_an_object_can_be_had_as_a_file(store: ObjectStore) -> None:
    key = a_key()
    put(store, key)
    with store.as_path(key) as path:
        assert path.read_bytes() == HEAD + BODY


def test_what_was_deleted_is_gone_and_may_be_deleted_again(store: ObjectStore) -> None:
    kept, key = a_key(), a_key()
    put(store, kept)
    put(store, key)
    store.delete(key)
    store.delete(key)
    with pytest.raises(NotFound):
        store.open(key)
    assert list(store.iterate()) == [kept]
    put(store, a_key())


def test_who_reads_keeps_reading_what_is_deleted_meanwhile(store: ObjectStore) -> None:
    key = a_key()
    put(store, key)
    with store.open(key) as stream:
        store.delete(key)
        assert stream.read() == HEAD + BODY


def test_every_key_is_listed(store: ObjectStore) -> None:
    refs = [InstanceRef(f"1.{a}", f"1.{a}.{b}", f"1.{a}.{b}.{c}") for a in range(4) for b in range(3) for c in range(2)]
    keys = [a_key(ref) for ref in refs]
    for key in keys:
        put(store, key, b"")
    assert sorted(store.iterate()) == sorted(keys)


def test_the_keys_of_one_study_can_be_listed_alone(store: ObjectStore) -> None:
    refs = [InstanceRef(f"1.{a}", f"1.{a}.{b}", "1.2.3") for a in range(3) for b in range(2)]
    keys = [a_key(ref) for ref in refs]
    for key in keys:
        put(store, key, b"")
    study = study_folder(keys[0])
    assert sorted(store.iterate(study)) == sorted(key for key in keys if key.startswith(f"{study}/"))
    assert set(store.iterate(study.split("/")[0])) >= set(store.iterate(study))
    assert sorted(store.iterate(series_folder(keys[0]))) == [keys[0]]
    assert list(store.iterate("00/9.9.9")) == []


def test_the_objects_of_a_series_are_told_with_their_sizes(store: ObjectStore) -> None:
    keys = [a_key(InstanceRef("1.2", "1.2.3", f"1.2.3.{number}")) for number in range(3)]
    for number, key in enumerate(keys):
        put(store, key, bytes(number))
    put(store, a_key(InstanceRef("1.2", "1.2.33", "1.2.33.1")))  # no part of it, though its UID begins alike
    assert store.sizes(series_folder(keys[0])) == {key: len(HEAD) + number for number, key in enumerate(keys)}
    assert store.sizes("00/9.9.9/9.9.9.9") == {}


def test_leavings_of_uploads_are_swept_when_they_are_old(store: ObjectStore) -> None:
    upload = store.begin(HEAD)
    upload.__enter__()
    upload.write(bytes(LONG_BYTES))
    assert store.sweep(3600) == 0
    assert store.sweep(0) == 1
    with pytest.raises(NodeError):
        upload.commit(a_key())
    upload.__exit__()
    assert list(store.iterate()) == []


def test_there_is_room_or_nobody_knows(store: ObjectStore) -> None:
    room = store.free_bytes()
    assert room is None or room > 0


def test_many_writers_of_one_study_do_not_disturb_each_other(store: ObjectStore) -> None:
    keys = [a_key(InstanceRef("1.2", f"1.2.{n % 3}", f"1.2.3.{n}")) for n in range(60)]
    failures: list[BaseException] = []

    def write(mine: list[str]) -> None:
        try:
            for key in mine:
                put(store, key, key.encode())
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=write, args=(keys[n::6],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(store.iterate()) == sorted(keys)
    assert all(store.read_range(key, len(HEAD), len(key)) == key.encode() for key in keys)


def test_storing_and_deleting_one_series_at_the_same_time_loses_nothing(store: ObjectStore) -> None:
    """Folders come and go under the feet of whoever is storing."""
    failures: list[BaseException] = []

    def churn() -> None:
        try:
            for _ in range(25):
                key = a_key()
                put(store, key, key.encode())
                assert store.read_range(key, len(HEAD), len(key)) == key.encode()
                store.delete(key)
        except OutOfResources:
            pass  # allowed, if the folder went three times in a row; nothing was promised
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(store.iterate()) == []
    assert store.sweep(0) == 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.binary(max_size=300), st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_in_any_pieces_come_back(store: ObjectStore, head: bytes, chunks: list[bytes]) -> None:
    key = a_key()
    with store.begin(head) as upload:
        for chunk in chunks:
            upload.write(chunk)
        stored = upload.commit(key)
    body = b"".join(chunks)
    with store.open(key) as stream:
        assert stream.read() == head + body
    assert (stored.digest, stored.size_bytes) == (digest_of(body), len(head + body))
