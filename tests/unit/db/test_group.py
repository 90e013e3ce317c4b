"""Group commit when somebody is interrupted: nobody waits for ever."""

import threading
import time
from pathlib import Path

import pytest

from fixtures.indexed import an_index
from fixtures.waiting import eventually
from relais.db import group
from relais.db.database import Database, Transaction
from relais.errors import Unavailable


class Interrupted(BaseException):
    """What a thread is hit by."""


def test_an_interrupted_work_ends_its_leader_and_tells_those_who_shared_the_commit(tmp_path: Path) -> None:
    def interrupted(tx: Transaction) -> None:
        tx.execute("INSERT INTO uid(uid) VALUES ('gone')")
        raise Interrupted

    with an_index(tmp_path) as db:
        with pytest.raises(Interrupted):
            db.write(interrupted)
        assert db.write(lambda tx: tx.execute("SELECT count(*) FROM uid").fetchone()[0]) == 0


def test_those_who_share_an_interrupted_commit_are_told(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        started, goes_on = threading.Event(), threading.Event()
        outcomes: list[str] = []

        def slow(tx: Transaction) -> None:
            started.set()
            goes_on.wait(30)

        def interrupted(tx: Transaction) -> None:
            raise Interrupted

        threads = [threading.Thread(target=_record, args=(db, slow, outcomes))]
        threads[0].start()
        started.wait(30)
        for work in (lambda tx: None, interrupted, lambda tx: None):
            threads.append(threading.Thread(target=_record, args=(db, work, outcomes)))
            threads[-1].start()
            assert _have_come(db, outcomes, len(threads) - 1)
        goes_on.set()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert sorted(outcomes) == ["Interrupted", "Unavailable", "Unavailable", "done"]
        assert db.write(lambda tx: 1) == 1


def _have_come(db: Database, outcomes: list[str], count: int) -> bool:
    """Whether, before long, so many wait behind the first or have an outcome already."""
    return eventually(lambda: len(db._process().group._waiting) + len(outcomes) == count, 30, 0.001)


def _record(db: Database, work: object, outcomes: list[str]) -> None:
    try:
        db.write(work)  # type: ignore[arg-type]
        outcomes.append("done")
    except (Unavailable, Interrupted) as exc:
        outcomes.append(type(exc).__name__)


@pytest.mark.parametrize("at_once", [True, False])
def test_one_who_is_interrupted_while_waiting_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    class ImpatientItem(group.Item):
        """Whose waiter is interrupted: at once, or in the moment when it is woken."""

        def wait(self) -> None:
            is_impatient = threading.current_thread().name == "impatient"
            if not (is_impatient and at_once):
                super().wait()
            if is_impatient:
                raise Interrupted

    monkeypatch.setattr(group, "Item", ImpatientItem)
    with an_index(tmp_path) as db:
        started, goes_on = threading.Event(), threading.Event()
        outcomes: list[str] = []

        def slow(tx: Transaction) -> None:
            started.set()
            goes_on.wait(30)

        threads = [threading.Thread(target=_record, args=(db, slow, outcomes))]
        threads[0].start()
        started.wait(30)
        for name in ("impatient", "second", "third"):
            threads.append(threading.Thread(target=_record, args=(db, lambda tx: None, outcomes), name=name))
            threads[-1].start()
            assert _have_come(db, outcomes, len(threads) - 1)
        goes_on.set()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert sorted(outcomes) == ["Interrupted", "done", "done", "done"]
        assert db.write(lambda tx: 1) == 1


def test_who_is_given_the_lead_before_he_waits_is_woken_once_and_wakes_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LateItem(group.Item):
        """Who waits only when he has been woken."""

        def wait(self) -> None:
            until = time.monotonic() + 30
            while threading.current_thread().name == "late" and not self.leads and time.monotonic() < until:
                time.sleep(0.001)
            super().wait()

    monkeypatch.setattr(group, "Item", LateItem)
    with an_index(tmp_path) as db:
        started, goes_on = threading.Event(), threading.Event()
        outcomes: list[str] = []

        def slow(tx: Transaction) -> None:
            started.set()
            goes_on.wait(30)

        threads = [threading.Thread(target=_record, args=(db, slow, outcomes))]
        threads[0].start()
        started.wait(30)
        for name in ("late", "second", "third"):
            threads.append(threading.Thread(target=_record, args=(db, lambda tx: None, outcomes), name=name))
            threads[-1].start()
            assert _have_come(db, outcomes, len(threads) - 1)
        goes_on.set()
        for thread in threads:
            thread.join(30)
        assert outcomes == ["done"] * 4


def test_many_who_write_at_once_are_all_done(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        outcomes: list[str] = []

        def many() -> None:
            for _ in range(150):
                _record(db, lambda tx: None, outcomes)

        threads = [threading.Thread(target=many) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert outcomes == ["done"] * 1800
