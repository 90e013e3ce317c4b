"""Late writes where there is not always room: each is committed, or told as lost."""

import threading
import time

import pytest

from relais.db import failures, soon
from relais.db.soon import Soon, Work
from relais.errors import OutOfResources

THREADS, EACH = 4, 100


class Tx:
    """A transaction in which everything succeeds."""

    is_alive = True

    def execute(self, sql: str) -> None:
        pass


class Disk:
    """Full every second time, and slow enough for others to come between."""

    def __init__(self) -> None:
        self._turn = 0

    def write(self, work: Work) -> None:
        self._turn += 1
        time.sleep(0.0002)
        if self._turn % 2:
            raise OutOfResources
        work(Tx())  # type: ignore[arg-type]


class HandedOn:
    """A lock that is somebody else's at once when it is let go, before whoever let it go does anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()
        time.sleep(0.0005)


def test_what_there_is_no_room_for_is_lost_with_a_word_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    lost: list[int] = []
    monkeypatch.setattr(soon.log, "error", lambda text, count, why: lost.append(count))
    monkeypatch.setattr(soon, "WAIT_S", 0.001)
    late = Soon(Disk().write, limit=5, words=failures)
    late._flushing = HandedOn()  # type: ignore[assignment]

    def add(first: int) -> None:
        for number in range(first, first + EACH):
            late.add(lambda tx, number=number: done.append(number))

    threads = [threading.Thread(target=add, args=(begin * EACH,)) for begin in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late.close()
    assert len(done) == len(set(done))
    assert len(done) + sum(lost) == THREADS * EACH
