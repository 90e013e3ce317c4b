"""Background work, over a real archive."""

import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.node import close_archive, make_archive
from fixtures.waiting import eventually
from relais.access.principals import OPERATOR
from relais.archive import Archive, ingest, retrieve
from relais.archive import documents as archive_documents
from relais.config import load
from relais.db.database import Database
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.errors import Unavailable
from relais.index import composite, documents, statistics
from relais.node import background as background_module
from relais.node import clock, ready
from relais.node.background import AFTER_ERROR_S, IDLE_S, Background


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path)
    yield made
    close_archive(made)


def stored(archive: Archive) -> InstanceRef:
    return ingest.store_part10(archive, BytesIO(part10(a_ct())), Origin(Channel.IMPORT)).ref


def steps(background: Background) -> int:
    """Work until there is nothing to do."""
    count = 0
    while background.step():
        count += 1
        assert count < 100
    return count


def test_the_first_step_sweeps_and_then_there_is_nothing_to_do(archive: Archive) -> None:
    assert steps(Background(archive, "here", lambda: False, calm_s=0)) == 1


def test_bytes_without_a_row_are_indexed_at_the_start(archive: Archive, tmp_path: Path) -> None:
    ref = stored(archive)
    (row,) = retrieve.instances(archive, OPERATOR, ref)
    composite.reset(archive.db)
    assert statistics.statistics(archive.db).instances == 0
    steps(Background(archive, "here", lambda: False, calm_s=0))
    assert [found.key for found in retrieve.instances(archive, OPERATOR, ref)] == [row.key]


def test_a_clock_that_was_ahead_is_told_at_the_start_and_by_health_ready(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    stored(archive)
    assert clock.ahead(archive.db) is None
    archive.db.write(lambda tx: tx.execute("UPDATE change SET at = at + ?", (clock.AHEAD_S - 60,)))
    assert clock.ahead(archive.db) is None
    archive.db.write(lambda tx: tx.execute("UPDATE change SET at = 4102444800 + revision"))
    steps(Background(archive, "here", lambda: False, calm_s=0))
    told = "written at 2100-01-01T00:00:01+00:00, which is yet to come"
    assert [told in record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [True]
    assert told in str(ready.checks(load(None, {}).config, archive)["index"]())


def test_metadata_of_new_instances_is_made_and_kept(archive: Archive) -> None:
    background = Background(archive, "here", lambda: False, calm_s=0)
    steps(background)
    refs = [stored(archive) for _ in range(3)]
    assert background.step()
    rows = [row for ref in refs for row in retrieve.instances(archive, OPERATOR, ref)]
    wanted = {row.id for row in rows}
    assert eventually(lambda: set(documents.get_many(archive.db, rows)) == wanted, 120)  # written soon, not at once
    assert not background.step()


def test_letters_of_names_that_a_program_of_before_wrote_are_read(archive: Archive) -> None:
    stored(archive)
    archive.db.write(lambda tx: tx.execute("UPDATE study SET patient_letters = -1"))
    steps(Background(archive, "here", lambda: False, calm_s=0))
    with archive.db.read() as connection:
        assert connection.execute("SELECT patient_letters FROM study").fetchone()[0] > 0


def test_metadata_waits_while_instances_come(archive: Archive) -> None:
    background = Background(archive, "here", lambda: False, calm_s=0.2)
    steps(background)
    ref = stored(archive)
    assert not background.step()
    (row,) = retrieve.instances(archive, OPERATOR, ref)
    assert documents.get_many(archive.db, [row]) == {}
    assert eventually(background.step, 120)
    assert eventually(lambda: documents.get_many(archive.db, [row]) != {}, 120)


def test_work_that_fails_is_tried_again_later_and_ends_nothing(archive: Archive) -> None:
    slept: list[float] = []
    failures = [Unavailable("not now"), ZeroDivisionError()]

    class Failing(Background):
        def step(self) -> bool:
            if failures:
                raise failures.pop()
            return False

    Failing(archive, "here", lambda: len(slept) == 3, slept.append).run()
    assert slept == [AFTER_ERROR_S, AFTER_ERROR_S, IDLE_S]


def test_of_two_nodes_one_sweeps_and_makes_metadata_and_when_it_is_gone_the_other_does(archive: Archive) -> None:
    first, second = (Background(archive, holder, lambda: False, calm_s=0) for holder in ("here", "there"))
    steps(first)
    ref = stored(archive)
    composite.reset(archive.db)
    assert steps(second) == 1  # its leavings only
    assert statistics.statistics(archive.db).instances == 0
    first.sweeping.give_back()
    second.sweep_at = 0.0
    steps(second)
    assert statistics.statistics(archive.db).instances == 1
    (row,) = retrieve.instances(archive, OPERATOR, ref)
    assert eventually(lambda: documents.get_many(archive.db, [row]) != {}, 120)
    stored_later = ingest.store_part10(archive, BytesIO(part10(a_ct(InstanceNumber=2))), Origin(Channel.IMPORT)).ref
    assert steps(first) == 0  # the second has the lease now
    assert steps(second) == 1
    assert retrieve.instances(archive, OPERATOR, stored_later)


def test_a_quiet_series_is_packed_by_one_of_two_nodes(archive: Archive) -> None:
    ref = stored(archive)
    settings = replace(archive.db.settings, quiet_s=1e-9)
    archive.db.close()
    archive = replace(archive, db=Database(settings))
    first, second = (Background(archive, holder, lambda: False, calm_s=0) for holder in ("here", "there"))
    steps(first)
    assert packed(archive) == 1
    assert ingest.store_part10(archive, BytesIO(part10(a_ct())), Origin(Channel.IMPORT)).ref != ref
    steps(second)
    assert packed(archive) == 1  # the first has the lease
    steps(first)
    assert packed(archive) == 2
    assert retrieve.instances(archive, OPERATOR, ref)
    archive.db.close()


def packed(archive: Archive) -> int:
    with archive.db.read() as connection:
        return int(connection.execute("SELECT count(*) FROM series_pack").fetchone()[0])


def test_where_no_object_can_be_read_the_pauses_grow_until_one_can(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, paused = [time.monotonic()], []
    monkeypatch.setattr(background_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(archive_documents, "BATCH", 1)
    background = Background(archive, "here", lambda: False, calm_s=0)
    steps(background)
    rows = [row for _ in range(14) for row in retrieve.instances(archive, OPERATOR, stored(archive))]
    for row in rows[:-1]:
        archive.store.delete(row.key)
    for row in rows:
        assert background.step()
        assert background.documented_id == row.id
        assert background.pause_s == 0 or not background.step()
        paused.append(background.pause_s)
        now[0] += background.pause_s
    assert paused == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 0]
