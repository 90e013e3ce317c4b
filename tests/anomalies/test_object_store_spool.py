"""The spool before an object store: what waits in it, within its bound, and how it moves on."""

import threading
from pathlib import Path

import pytest

from fixtures.faulty import Fault, Faulty, damages_the_request, loses_the_answer, resets
from fixtures.objects import FAILED, MB, WHOLE, a_key, a_store, empty_the_spool, in_bucket, put, read
from fixtures.waiting import eventually
from relais.errors import NodeError, NotFound, OutOfResources, Unavailable
from relais.storage.settings import SpoolUse

pytestmark = pytest.mark.own_store


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
    assert eventually(lambda: not store.presence.is_away)
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
