"""kill -9 at any moment: nothing acknowledged is lost, nothing partial shows, index and storage agree afterwards."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fixtures import engines, object_server
from fixtures.node import close_archive, make_archive
from fixtures.places import wait_until_settled
from relais.archive import Archive, maintenance
from relais.archive.integrity import verified_chunks
from relais.dicom.refs import InstanceRef
from relais.index import lookup

SENDER = Path(__file__).with_name("crash_sender.py")
IS_HERE = engines.chosen() == engines.SQLITE and object_server.chosen() == "local"  # all that is needed is this machine
LONGEST_S = 0.35 if IS_HERE else 0.7  # from the birth of a process to its death
LONGEST_OF_ALL_S = 60.0  # on a busy machine
ROUNDS_PER_ARCHIVE = 20
MOST = 4  # times as many rounds, where few would come to an acknowledgement


@dataclass
class Said:
    """What a process said before it was killed."""

    stored: list[InstanceRef] = field(default_factory=list)
    deleting: set[InstanceRef] = field(default_factory=set)
    deleted: set[InstanceRef] = field(default_factory=set)

    def add(self, line: str) -> None:
        verb, *uids = line.split()
        ref = InstanceRef(*uids)
        if verb == "stored":
            self.stored.append(ref)
        else:
            (self.deleted if verb == "deleted" else self.deleting).add(ref)


class Senders:
    """Makes processes that work on an archive, and kills them."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(SENDER.parent.parent)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", SENDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def kill_one(self, folder: Path, after_s: float) -> Said:
        """Let one work and kill it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        time.sleep(after_s)
        with suppress(ProcessLookupError):  # on a busy machine a server may not have let it begin
            os.kill(pid, signal.SIGKILL)
        said = Said()
        while (line := self._process.stdout.readline()) != "ended\n":
            said.add(line)
        return said

    def close(self) -> None:
        self._process.communicate(timeout=120)


@pytest.fixture(scope="module")
def senders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Senders]:
    close_archive(make_archive(tmp_path_factory.mktemp("first")))  # so that there are the servers that all share
    made = Senders()
    yield made
    made.close()


def check_acknowledged(archive: Archive, said: Said) -> None:
    """What was acknowledged is there as it was, or gone if that was acknowledged."""
    for ref in said.stored:
        row = lookup.instance(archive.db, ref)
        if row is None:
            assert ref in said.deleting
            continue
        assert ref not in said.deleted
        for _ in verified_chunks(archive, row, 0, always=True):
            pass


def check_whole(archive: Archive) -> None:
    """After a sweep index and storage agree, and nothing unfinished is left."""
    swept = maintenance.sweep(archive, upload_age_s=0)
    assert not swept.unreadable
    report = maintenance.check(archive)
    assert report.is_sound, report
    assert maintenance.sweep(archive, upload_age_s=0) == maintenance.Swept()


def crash(senders: Senders, folder: Path, rounds: int, seed: int) -> int:
    """Kill *rounds* processes, archives changing now and then; the number of acknowledged instances.

    A busy machine gets to the middle of the work, too: they live longer there, or some more are killed.
    """
    chance, acknowledged, longest_s, number = random.Random(seed), 0, LONGEST_S, 0
    while number < rounds or (acknowledged <= rounds and number < MOST * rounds):
        archive_folder = folder / str(number // ROUNDS_PER_ARCHIVE)
        if not IS_HERE:  # a database and a bucket take their time
            close_archive(make_archive(archive_folder))
        said = senders.kill_one(archive_folder, chance.uniform(0, longest_s))
        wait_until_settled(archive_folder)
        archive = make_archive(archive_folder)
        check_acknowledged(archive, said)
        number += 1
        if number % ROUNDS_PER_ARCHIVE == 0 or number >= rounds:
            check_whole(archive)
        close_archive(archive)
        acknowledged += len(said.stored)
        longest_s = min(1.5 * longest_s, LONGEST_OF_ALL_S) if acknowledged < number else max(longest_s / 1.5, LONGEST_S)
    return acknowledged


def test_nothing_acknowledged_is_lost_in_85_kills(senders: Senders, tmp_path: Path) -> None:
    assert crash(senders, tmp_path, 85, seed=1) > 85


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_nothing_acknowledged_is_lost_in_many_kills(senders: Senders, tmp_path: Path, seed: int) -> None:
    assert crash(senders, tmp_path, 90, seed) > 90
