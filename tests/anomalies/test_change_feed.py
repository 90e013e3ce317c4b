"""The change feed under writers of several processes: no gap, nothing out of order, nothing before what was seen."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from fixtures.builders import a_series, part10
from fixtures.node import close_archive, make_archive
from relais.access.principals import OPERATOR
from relais.archive import delete, feed, ingest
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import StudyRef

WRITERS, SERIES, LENGTH = 3, 6, 5


def write(folder: Path, number: int, together: Barrier) -> None:
    """Store series, each of a study of its own, and delete every other one."""
    archive = make_archive(folder)
    together.wait()
    for turn in range(SERIES):
        instances = a_series(LENGTH, PatientID=f"{number}-{turn}")
        for ds in instances:
            with ingest.receive_part10(archive, Origin(Channel.IMPORT)) as receiving:
                receiving.write(part10(ds))
                receiving.finish()
        if turn % 2:
            delete.delete(archive, OPERATOR, StudyRef(instances[0].StudyInstanceUID))
    close_archive(archive)


def read(folder: Path, together: Barrier, limit: int) -> None:
    """Follow the feed to its end; every page goes on exactly where the last one ended."""
    archive, rev = make_archive(folder), 0
    expected = WRITERS * LENGTH * (SERIES + SERIES // 2)
    together.wait()
    while rev < expected:
        page = feed.changes(archive, OPERATOR, rev, limit)
        assert [change.revision for change in page.changes] == list(range(rev + 1, rev + 1 + len(page.changes)))
        rev += len(page.changes)
    again = feed.changes(archive, OPERATOR, 0, expected + 1).changes
    assert [change.revision for change in again] == list(range(1, expected + 1))
    stored = [change.ref for change in again if change.kind == "stored"]
    assert len(stored) == len(set(stored)) == WRITERS * SERIES * LENGTH
    close_archive(archive)


def test_readers_see_every_revision_once_and_in_order(tmp_path: Path) -> None:
    close_archive(make_archive(tmp_path))
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(WRITERS + 2)
    writers = [spawn.Process(target=write, args=(tmp_path, number, together)) for number in range(WRITERS)]
    readers = [spawn.Process(target=read, args=(tmp_path, together, limit)) for limit in (1, 100)]
    for process in (*writers, *readers):
        process.start()
    for process in (*writers, *readers):
        process.join(120)
    assert [process.exitcode for process in (*writers, *readers)] == [0] * (WRITERS + 2)


def test_processes_that_name_the_feed_at_the_same_time_agree(tmp_path: Path) -> None:
    archives = [make_archive(tmp_path) for _ in range(4)]
    assert len({feed.changes(archive, OPERATOR, 0, 1).name for archive in archives}) == 1
    for archive in archives:
        close_archive(archive)
