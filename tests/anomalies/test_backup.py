"""Backups of a busy archive, and commands that are killed at any moment: what counts is whole, and all goes on."""

import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.engines import index_environ, index_settings
from fixtures.moved import answers
from fixtures.node import close_archive, make_archive, make_store
from fixtures.object_server import chosen, chosen_settings, environment, section
from fixtures.places import wait_until_settled
from fixtures.waiting import eventually
from relais.access.principals import OPERATOR
from relais.archive import Archive, backup, delete, ingest, maintenance, restoring
from relais.archive.removal import Removal
from relais.dicom.origin import Channel, Origin

ORIGIN = Origin(Channel.IMPORT)
INSTANCES = 300 if chosen() == "local" else 60  # a bucket on this machine takes one at a time
KILLS = 4
STARTED_S, DONE_S = 0.6, 2.2  # a command is killed somewhere between


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path / "north")
    yield made
    close_archive(made)


def store(archive: Archive, count: int = 1) -> list[ingest.Stored]:
    return [ingest.store_part10(archive, io.BytesIO(part10(a_ct())), ORIGIN) for _ in range(count)]


class Busy:
    """Somebody who stores and deletes, and somebody who takes the bytes away, for the time of the context."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self._is_over, self.deleted = archive, threading.Event(), 0
        self._threads = [threading.Thread(target=work) for work in (self._store_and_delete, self._remove)]

    def __enter__(self) -> "Busy":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _store_and_delete(self) -> None:
        kept = store(self._archive, 10)
        while not self._is_over.is_set():
            kept += store(self._archive, 2)
            delete.delete(self._archive, OPERATOR, kept.pop(random.randrange(len(kept))).ref)
            self.deleted += 1

    def _remove(self) -> None:
        remover = Removal(self._archive)
        while not self._is_over.is_set():
            if not remover.step():
                time.sleep(0.01)


def test_backups_of_a_busy_archive_are_whole(archive: Archive, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with Busy(archive) as busy:
        for _ in range(5):
            made = backup.make(archive, disk, keep=3)
            assert made.manifest.is_whole
            found = backup.check(disk)
            assert found.is_whole
            assert found.present == made.manifest.instances
        assert eventually(lambda: busy.deleted > 5, 120)
    for name in backup.BackupFolder(disk).names():
        assert backup.check(disk, name).is_whole
    with closing(make_store(tmp_path / "south")) as objects:
        restoring.restore(disk, objects, index_settings(tmp_path / "south"), tmp_path / "south")
    south = make_archive(tmp_path / "south")
    assert maintenance.check(south).is_sound
    assert maintenance.sweep(south) == maintenance.Swept()
    close_archive(south)


def start(folder: Path, *words: object) -> "subprocess.Popen[bytes]":
    """`relais` with the archive in *folder*."""
    environ = {
        **os.environ,
        "RELAIS_NODE__DATA_DIR": str(folder),
        **environment(chosen_settings(folder)),
        **index_environ(folder),
    }
    command = [sys.executable, "-m", "relais", *map(str, words)]
    return subprocess.Popen(command, env=environ, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def kill_somewhere(folder: Path, *words: object) -> None:
    process = start(folder, *words)
    time.sleep(random.uniform(STARTED_S, DONE_S))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until_settled(folder)


def run(folder: Path, *words: object) -> None:
    process = start(folder, *words)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said.decode()


def test_backup_and_restoration_may_be_killed_at_any_moment(archive: Archive, tmp_path: Path) -> None:
    disk, north, south = tmp_path / "disk", tmp_path / "north", tmp_path / "south"
    store(archive, INSTANCES)
    folder = backup.BackupFolder(disk)
    for _ in range(KILLS):
        kill_somewhere(north, "backup", disk)
        store(archive)
        for name in folder.names():
            assert backup.check(disk, name).is_whole
    run(north, "backup", disk)
    run(north, "restore", disk, "--check")
    for _ in range(KILLS):
        kill_somewhere(south, "restore", disk)
        assert backup.check(disk).is_whole
    if not restoring.is_taken(index_settings(south)) or (south / restoring.MARK).exists():
        run(south, "restore", disk)
    restored = make_archive(south)
    assert answers(restored) == answers(archive)
    assert maintenance.check(restored).is_sound
    close_archive(restored)


def test_a_move_may_be_killed_at_any_moment(archive: Archive, tmp_path: Path) -> None:
    north, south = tmp_path / "north", tmp_path / "south"
    store(archive, INSTANCES)
    wanted = tmp_path / "south.toml"
    places = f'[index]\nurl = "{index_settings(south).url}"\n{section(chosen_settings(south))}'
    wanted.write_text(f'[node]\ndata_dir = "{south}"\n{places}')
    for _ in range(KILLS):
        kill_somewhere(north, "migrate", "--to", wanted)
        store(archive)
    for _ in range(KILLS):
        kill_somewhere(north, "migrate", "--to", wanted, "--finish")
    run(north, "migrate", "--to", wanted, "--finish")
    moved = make_archive(south)
    assert answers(moved) == answers(archive)
    assert maintenance.check(moved).is_sound
    close_archive(moved)
