"""An object store that fails in every way: nothing acknowledged is lost, and who asks hears a clear sentence."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.faulty import (
    Fault,
    Faulty,
    cuts_the_answer,
    damages_the_answer,
    damages_the_request,
    faulty,
    loses_the_answer,
    resets,
    says,
    waits,
)
from fixtures.object_server import ObjectServer, storage_settings
from relais.dicom.refs import InstanceRef
from relais.errors import InvalidRequest, Nearline, NodeError, NotFound, OutOfResources, Unavailable
from relais.storage.layout import fresh_token, instance_key
from relais.storage.s3 import parts, presence
from relais.storage.s3.store import S3Store, open_s3_store
from relais.storage.settings import SpoolUse

pytestmark = pytest.mark.own_store

HEAD, BODY = b"head of the object", b"and its Data Set " * 1000
WHOLE = HEAD + BODY
SLOW_DOWN, FAILED = says(503, "SlowDown"), says(500, "InternalError")
MB = 1024 * 1024
NEVER = 200.0  # longer than any of these tests waits


def a_key() -> str:
    return instance_key(InstanceRef("1.2.3", "1.2.3.4", "1.2.3.4.5"), fresh_token())


def put(store: S3Store, key: str, body: bytes = BODY) -> None:
    with store.begin(HEAD) as upload:
        for start in range(0, len(body), MB):
            upload.write(body[start : start + MB])
        upload.commit(key)


def read(store: S3Store, key: str) -> bytes:
    with store.open(key) as stream:
        return stream.read()


def in_bucket(door: Faulty, key: str) -> bool:
    """Whether the store behind the door has the object, by another client's word."""
    client = door.behind.client()
    buckets = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    return any(
        one["Key"].endswith(key) for name in buckets for one in client.list_objects_v2(Bucket=name).get("Contents", ())
    )


def empty_the_spool(store: S3Store) -> None:
    """Move all that waits, one after the other; a store that was away may still be taken to be."""
    for key in list(store.spooled()):
        later(lambda key=key: is_moved(store, key))
        store.let_go(key)


def is_moved(store: S3Store, key: str) -> bool:
    try:
        store.move(key)
    except Unavailable:
        return False
    return True


@pytest.fixture
def soon_away(monkeypatch: pytest.MonkeyPatch) -> float:
    """How long anybody waits for an answer, of those who wait in vain: the others are patient with a busy machine."""
    monkeypatch.setattr(presence, "ANSWER_S", 3.0)
    return 3.0


@pytest.fixture
def door(object_server: ObjectServer) -> Iterator[Faulty]:
    with faulty(object_server) as door:
        yield door


@pytest.fixture
def store(door: Faulty, tmp_path: Path) -> Iterator[S3Store]:
    store = a_store(door, tmp_path)
    yield store
    door.heal()
    store.close()


def a_store(door: Faulty, folder: Path, bucket: str = "", **settings: Any) -> S3Store:
    return open_s3_store(storage_settings(door.server, bucket or door.behind.make_bucket(), folder, **settings), folder)


@pytest.mark.parametrize("fault", [FAILED, SLOW_DOWN, resets, loses_the_answer], ids=["500", "503", "reset", "lost"])
def test_what_fails_once_is_tried_again(store: S3Store, door: Faulty, fault: Fault) -> None:
    key = a_key()
    door.fail(fault, 1, "PUT")
    put(store, key)
    assert not store.is_spooled(key)
    door.fail(fault, 1, "GET")
    assert read(store, key) == WHOLE


def test_a_store_that_knows_no_conditions_is_asked_once_before_what_is_new(store: S3Store, door: Faulty) -> None:
    put(store, a_key())  # then that is known of it
    put(store, key := a_key())
    assert [method for method, path in door.asked if key in path] == ["HEAD", "PUT"]


LASTING = {
    "500": FAILED,
    "503": SLOW_DOWN,
    "403": says(403, "AccessDenied"),
    "no bucket": says(404, "NoSuchBucket"),
    "507": says(507, "InsufficientStorage"),
    "reset": resets,
    "lost": loses_the_answer,
    "damaged": damages_the_request,
}


@pytest.mark.parametrize("what", LASTING)
def test_what_the_store_does_not_take_is_acknowledged_by_the_spool_and_moved_later(
    store: S3Store, door: Faulty, what: str
) -> None:
    is_spooled_and_moved_later(store, door, LASTING[what])


def test_what_the_store_says_nothing_to_likewise(door: Faulty, tmp_path: Path, soon_away: float) -> None:
    store = a_store(door, tmp_path, timeout_s=soon_away)
    is_spooled_and_moved_later(store, door, waits(NEVER))
    store.close()


def is_spooled_and_moved_later(store: S3Store, door: Faulty, fault: Fault) -> None:
    key = a_key()
    door.fail(fault, method="PUT")
    put(store, key)
    assert store.is_spooled(key)
    assert read(store, key) == WHOLE
    with store.as_path(key) as path:
        assert path.read_bytes() == WHOLE
    door.heal()
    empty_the_spool(store)
    later(lambda: not store.presence.is_away)
    assert not store.is_spooled(key)
    assert list(store.iterate()) == [key]
    assert read(store, key) == WHOLE


def test_while_the_store_is_away_nobody_waits_for_it(door: Faulty, tmp_path: Path, soon_away: float) -> None:
    store = a_store(door, tmp_path, timeout_s=soon_away)
    door.fail(waits(NEVER))
    put(store, a_key())
    started, asked = time.monotonic(), door.count("PUT")
    keys = [a_key() for _ in range(20)]
    for key in keys:
        put(store, key)
    assert time.monotonic() - started < len(keys) * soon_away / 2
    assert door.count("PUT") == asked
    assert all(read(store, key) == WHOLE for key in keys)
    with pytest.raises(Unavailable, match="does not answer"):
        store.size_bytes(a_key())  # one who asks waits, the others know
    started = time.monotonic()
    for _ in range(5):
        with pytest.raises(Unavailable, match="does not answer"):
            store.delete(keys[0])
        with pytest.raises(Unavailable, match="does not answer"):
            store.size_bytes(a_key())
    assert time.monotonic() - started < 10 * soon_away / 2
    door.heal()
    later(lambda: is_stored_at_once(store))
    store.close()


def is_stored_at_once(store: S3Store) -> bool:
    """Whether an object goes to the store itself again."""
    put(store, key := a_key())
    return not store.is_spooled(key)


@pytest.mark.usefixtures("soon_away")
def test_the_first_who_meet_silence_wait_for_one_short_look_at_it(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, timeout_s=NEVER, attempts=2)
    door.fail(waits(NEVER))
    keys, started = [a_key() for _ in range(6)], time.monotonic()
    uploads = [threading.Thread(target=put, args=(store, key)) for key in keys]
    for upload in uploads:
        upload.start()
    for upload in uploads:
        upload.join()
    assert time.monotonic() - started < NEVER
    assert all(store.is_spooled(key) for key in keys)
    assert door.count("PUT") == 0
    door.heal()
    store.close()


def test_a_store_that_answers_is_looked_at_once_and_then_only_given_what_comes(store: S3Store, door: Faulty) -> None:
    for _ in range(5):
        put(store, a_key())
    assert [method for method, path in door.asked if "/archive/" not in path] == ["HEAD"]


def test_a_store_that_must_not_be_looked_at_is_given_what_comes(store: S3Store, door: Faulty) -> None:
    refuse = says(403, "AccessDenied")
    door.fail(lambda asked, forward: forward(asked) if "/archive/" in asked.path else refuse(asked, forward))
    key = a_key()
    put(store, key)
    assert not store.is_spooled(key)


def later(is_so: Any, seconds: float = 180) -> None:
    limit = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.05)


SENTENCES = [
    (says(403, "AccessDenied"), "The object store refuses our keys."),
    (says(403, "SignatureDoesNotMatch"), "The object store refuses our keys."),
    (says(404, "NoSuchBucket"), "The bucket of the object store does not exist."),
    (SLOW_DOWN, "The object store asks for fewer requests."),
    (FAILED, "The object store has failed."),
    (says(400, "Peculiar"), "The object store refuses: Peculiar."),
    (resets, "The object store does not answer."),
    (cuts_the_answer, "The object store broke off its answer."),
]


@pytest.mark.parametrize(("fault", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_who_reads_hears_what_is_wrong(store: S3Store, door: Faulty, fault: Fault, sentence: str) -> None:
    key = a_key()
    put(store, key)
    door.fail(fault, method="GET")
    for use in (lambda: store.read_range(key, 0, len(WHOLE)), lambda: read(store, key)):
        with pytest.raises(Unavailable) as raised:
            use()
        assert raised.value.message == sentence
        later(lambda: not store.presence.is_away)
    door.heal()
    assert read(store, key) == WHOLE


def test_a_bucket_that_is_not_there_is_no_missing_object(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, bucket="no-such-bucket")
    for use in (store.open, store.size_bytes):
        with pytest.raises(Unavailable, match="bucket") as raised:
            use(a_key())
        assert not isinstance(raised.value, NotFound)
    assert "bucket" in str(store.require_ready())
    store.close()


def test_an_answer_that_is_cut_short_is_asked_for_again(store: S3Store, door: Faulty) -> None:
    key = a_key()
    put(store, key)
    door.fail(cuts_the_answer, 1, "GET")
    assert store.read_range(key, 0, len(WHOLE)) == WHOLE


def test_damage_on_the_way_back_changes_the_bytes_and_nothing_else(store: S3Store, door: Faulty) -> None:
    """The archive compares the whole with its digest: see test_spooling."""
    key = a_key()
    put(store, key)
    door.fail(damages_the_answer, 1, "GET")
    assert read(store, key) != WHOLE
    assert read(store, key) == WHOLE


def test_slow_storage_is_neither_lost_nor_damaged(store: S3Store, door: Faulty) -> None:
    key = a_key()
    put(store, key)
    door.fail(says(403, "InvalidObjectState"), method="GET")
    for use in (lambda: store.open(key), lambda: store.read_range(key, 0, 1)):
        with pytest.raises(Nearline):
            use()
    with pytest.raises(Nearline), store.as_path(key):
        pass
    assert not store.presence.is_away


def test_the_spool_has_a_bound(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, spool_mb=1)
    door.fail(FAILED, method="PUT")
    kept = [a_key() for _ in range(3)]
    for key in kept:
        put(store, key, b"x" * 300_000)
    with pytest.raises(OutOfResources, match="the spool of this node is full"):
        put(store, a_key(), b"x" * 300_000)
    assert sorted(store.iterate()) == sorted(kept)
    assert store.waiting().objects == 3
    door.heal()
    empty_the_spool(store)
    assert store.waiting().objects == 0
    later(lambda: not store.presence.is_away)
    put(store, a_key())
    door.fail(FAILED, method="PUT")
    put(store, a_key(), b"x" * 300_000)
    store.close()


def test_whether_it_is_ready_depends_on_the_room_in_the_spool(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, spool_mb=1)
    assert store.require_ready() is None
    door.fail(FAILED)
    assert "waits in the spool" in str(store.require_ready())
    put(store, a_key(), b"x" * (MB - 100))
    store.spool.bound_bytes = MB - 200
    with pytest.raises(Unavailable, match="spool is full"):
        store.require_ready()
    door.heal()
    store.close()


LARGE = bytes(range(256)) * (7 * MB // 2 // 256)


@pytest.fixture(autouse=True)
def smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", MB)


def send_large(store: S3Store, key: str) -> None:
    with store.begin(HEAD) as upload:
        for start in range(0, len(LARGE), MB):
            upload.write(LARGE[start : start + MB])
            if start == MB:
                upload.expect(key)
        upload.commit(key)


def test_a_large_object_is_sent_while_it_comes_in(store: S3Store, door: Faulty) -> None:
    key = a_key()
    with store.begin(HEAD) as upload:
        for start in range(0, len(LARGE), MB):
            upload.write(LARGE[start : start + MB])
            if start == MB:
                upload.expect(key)
        later(lambda: sum("partNumber" in path for _, path in door.asked) >= 2)
        with pytest.raises(NotFound):
            store.size_bytes(key)
        upload.commit(key)
    assert read(store, key) == HEAD + LARGE
    assert store.read_range(key, MB, 2 * MB) == (HEAD + LARGE)[MB : 3 * MB]
    with store.as_path(key) as path:
        assert path.read_bytes() == HEAD + LARGE
    assert store.sweep(0) == 0


def test_a_large_object_may_end_under_another_key(store: S3Store) -> None:
    key = a_key()
    with store.begin(HEAD) as upload:
        upload.expect(a_key())
        upload.write(LARGE)
        upload.commit(key)
    assert list(store.iterate()) == [key]
    assert read(store, key) == HEAD + LARGE
    assert store.sweep(0) == 0


@pytest.mark.parametrize("fault", [FAILED, resets, damages_the_request], ids=["500", "reset", "damaged"])
@pytest.mark.parametrize("after", [0, 2])
def test_a_large_object_that_fails_half_way_is_whole_in_the_spool(
    store: S3Store, door: Faulty, fault: Fault, after: int
) -> None:
    key = a_key()
    door.fail(lambda asked, forward: forward(asked), after, "PUT", "partNumber")
    door.fail(fault, method="PUT", part="partNumber")
    send_large(store, key)
    assert store.is_spooled(key)
    assert read(store, key) == HEAD + LARGE
    assert not in_bucket(door, key)
    door.heal()
    later(lambda: not store.presence.is_away)
    empty_the_spool(store)
    assert in_bucket(door, key)
    assert read(store, key) == HEAD + LARGE
    later(lambda: store.sweep(0) == 0)  # a part that was on its way may have come after its upload was given up


@pytest.mark.parametrize("fault", [loses_the_answer, FAILED], ids=["lost", "500"])
def test_the_end_of_a_large_object_may_fail(store: S3Store, door: Faulty, fault: Fault) -> None:
    key = a_key()
    door.fail(fault, method="POST", part="uploadId")
    send_large(store, key)
    assert store.is_spooled(key) == (fault is FAILED)
    assert read(store, key) == HEAD + LARGE
    assert list(store.iterate()) == [key]


def test_an_upload_that_is_still_growing_is_not_swept(store: S3Store) -> None:
    key = a_key()
    with store.begin(HEAD) as upload:
        upload.expect(key)
        upload.write(LARGE)
        assert store.sweep(3600) == 0
        upload.commit(key)
    assert read(store, key) == HEAD + LARGE


def test_with_the_spool_first_the_store_may_be_away_unnoticed(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, spool=SpoolUse.FIRST)
    door.fail(resets)
    keys = [a_key() for _ in range(5)]
    for key in keys:
        put(store, key)
    assert door.asked == []
    door.heal()
    empty_the_spool(store)
    assert all(in_bucket(door, key) for key in keys)
    store.close()


def test_moving_twice_changes_nothing(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, spool=SpoolUse.FIRST)
    key = a_key()
    put(store, key)
    store.move(key)
    store.move(key)
    assert list(store.iterate()) == [key]
    store.let_go(key)
    assert list(store.iterate()) == [key]
    with pytest.raises(NotFound):
        store.move(key)
    store.close()


@pytest.mark.parametrize("fault", [damages_the_request, FAILED, loses_the_answer], ids=["damaged", "500", "lost"])
def test_what_could_not_be_moved_stays(door: Faulty, tmp_path: Path, fault: Fault) -> None:
    store = a_store(door, tmp_path, spool=SpoolUse.FIRST)
    key = a_key()
    put(store, key)
    door.fail(fault, method="PUT")
    with pytest.raises(Unavailable):
        store.move(key)
    assert store.is_spooled(key)
    door.heal()
    empty_the_spool(store)
    assert read(store, key) == WHOLE
    store.close()


def test_what_moves_can_be_read_all_the_time(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, spool=SpoolUse.FIRST)
    keys = [a_key() for _ in range(10)]
    for key in keys:
        put(store, key)
    failures: list[NodeError] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            for key in keys:
                try:
                    assert read(store, key) == WHOLE
                    assert store.size_bytes(key) == len(WHOLE)
                    with store.as_path(key) as path:
                        assert path.read_bytes() == WHOLE
                except NodeError as exc:
                    failures.append(exc)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    empty_the_spool(store)
    is_over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    store.close()


def test_copies_of_objects_are_held_under_their_bound(door: Faulty, tmp_path: Path) -> None:
    store = a_store(door, tmp_path, cache_mb=1)
    keys = [a_key() for _ in range(6)]
    for key in keys:
        put(store, key, b"x" * 300_000)
        with store.as_path(key) as path:
            assert path.stat().st_size == 300_000 + len(HEAD)
    kept = list((tmp_path / "spool" / ".cache").iterdir())
    assert sum(path.stat().st_size for path in kept) <= MB
    assert len(kept) >= 2
    asked = len(door.asked)
    with store.as_path(keys[-1]):
        assert len(door.asked) == asked
    store.delete(keys[-1])
    with pytest.raises(NotFound), store.as_path(keys[-1]):
        pass
    store.close()


def test_a_range_beyond_the_end_is_the_callers_fault(store: S3Store) -> None:
    key = a_key()
    put(store, key)
    with pytest.raises(InvalidRequest):
        store.read_range(key, len(WHOLE), 1)
    assert not store.presence.is_away
