"""The change feed under writers of several processes: no gap, nothing out of order, nothing before what was seen."""

import multiprocessing
from pathlib import Path

from fixtures.followers import WRITERS, read, write
from fixtures.node import close_archive, make_archive
from relais.access.principals import OPERATOR
from relais.archive import feed


def test_readers_see_every_revision_once_and_in_order(tmp_path: Path) -> None:
    close_archive(make_archive(tmp_path))
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(WRITERS + 2)
    writers = [(write, (tmp_path, number, together)) for number in range(WRITERS)]
    readers = [(read, (tmp_path, together, limit)) for limit in (1, 100)]
    processes = [spawn.Process(target=target, args=args, daemon=True) for target, args in (*writers, *readers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(400)
    assert [process.exitcode for process in processes] == [0] * (WRITERS + 2)


def test_processes_that_name_the_feed_at_the_same_time_agree(tmp_path: Path) -> None:
    archives = [make_archive(tmp_path) for _ in range(4)]
    assert len({feed.changes(archive, OPERATOR, 0, 1).name for archive in archives}) == 1
    for archive in archives:
        close_archive(archive)
