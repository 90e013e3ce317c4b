"""Large objects sent in parts, to an object store that fails half way: nothing acknowledged is lost."""

import pytest

from fixtures.faulty import Fault, Faulty, damages_the_request, loses_the_answer, resets
from fixtures.objects import FAILED, HEAD, MB, a_key, empty_the_spool, in_bucket, read
from fixtures.waiting import eventually
from relais.errors import NotFound
from relais.storage.s3 import parts
from relais.storage.s3.store import S3Store

pytestmark = pytest.mark.own_store

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
        assert eventually(lambda: sum("partNumber" in path for _, path in door.asked) >= 2)
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
    assert eventually(lambda: not store.presence.is_away)
    empty_the_spool(store)
    assert in_bucket(door, key)
    assert read(store, key) == HEAD + LARGE
    assert eventually(
        lambda: store.sweep(0) == 0
    )  # a part that was on its way may have come after its upload was given up


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
