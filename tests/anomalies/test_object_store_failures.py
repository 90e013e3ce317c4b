"""An object store that fails in every way: nothing acknowledged is lost, and who asks hears a clear sentence."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.faulty import (
    Answered,
    Asked,
    Fault,
    Faulty,
    Forward,
    cuts_the_answer,
    damages_the_answer,
    damages_the_request,
    loses_the_answer,
    resets,
    says,
    waits,
)
from fixtures.objects import FAILED, HEAD, MB, SLOW_DOWN, WHOLE, a_key, a_store, empty_the_spool, put, read
from fixtures.waiting import eventually
from relais.errors import Internal, InvalidRequest, Nearline, NotFound, Unavailable
from relais.storage.s3 import presence
from relais.storage.s3.store import S3Store

pytestmark = pytest.mark.own_store

NEVER = 200.0  # longer than any of these tests waits


@pytest.fixture
def soon_away(monkeypatch: pytest.MonkeyPatch) -> float:
    """How long anybody waits for an answer, of those who wait in vain: the others are patient with a busy machine."""
    monkeypatch.setattr(presence, "ANSWER_S", 3.0)
    return 3.0


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


def encrypts(asked: Asked, forward: Forward) -> Answered:
    """Answer as for an object under SSE-KMS, whose ETag is no MD5."""
    answered = forward(asked)
    told = {"etag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"}
    told["x-amz-server-side-encryption-aws-kms-key-id"] = "arn:aws:kms:eu-central-1:1:key/1"
    kept = {name: value for name, value in answered.headers.items() if name.lower() not in told}
    return replace(answered, headers={**kept, **told})


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_what_was_put_by_an_attempt_whose_answer_was_lost_is_stored(
    store: S3Store, door: Faulty, is_encrypted: bool
) -> None:
    key = a_key()
    store.bucket.put(key, WHOLE, is_new=False)
    door.fail(says(412, "PreconditionFailed"), 1, "PUT")
    if is_encrypted:
        door.fail(encrypts, method="HEAD")
    put(store, key)
    assert not store.is_spooled(key)
    assert read(store, key) == WHOLE


def test_what_lies_under_the_key_of_another_is_not_taken_for_it(store: S3Store, door: Faulty) -> None:
    put(store, key := a_key())
    door.fail(says(412, "PreconditionFailed"), method="PUT")
    for body in (WHOLE[::-1], WHOLE + b"more"):
        store.bucket._knows_conditions = True
        with pytest.raises(Internal, match="taken"):
            store.bucket.put(key, body, is_new=True)


@pytest.mark.parametrize("fault", [says(409, "ConditionalRequestConflict"), says(412, "PreconditionFailed")])
def test_what_the_store_is_still_at_work_on_waits_in_the_spool(store: S3Store, door: Faulty, fault: Fault) -> None:
    is_spooled_and_moved_later(store, door, fault)


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
    assert eventually(lambda: not store.presence.is_away)
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
    assert eventually(lambda: is_stored_at_once(store))
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
        assert eventually(lambda: not store.presence.is_away)
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
