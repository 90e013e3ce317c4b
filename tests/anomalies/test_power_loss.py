"""The power fails at any moment: nothing acknowledged is lost, whatever was not synced may be.

The file system calls of a run are recorded, and the disks that a cut may have left are made from the record.
"""

import os
import random
import shutil
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fixtures import strace
from fixtures.disk import Disk
from relais import config
from relais.archive import maintenance
from relais.archive.integrity import verified_chunks
from relais.dicom.refs import InstanceRef
from relais.errors import NodeError
from relais.index import lookup
from relais.node import compose

SENDER = Path(__file__).with_name("power_sender.py")
SHARED_MEMORY = Path("/dev/shm")
KEPT = (0.0, 0.0, 0.1, 0.5, 0.9, 1.0)  # how much of what was not synced is there after the cut

RECORDINGS = 3  # of a run without a sync: in one of them something lies open to a cut


@dataclass
class Recording:
    """A run: its disk, and every line that it printed with the moment when it did."""

    disk: Disk
    said: list[tuple[int, str, InstanceRef]]
    first: int
    last: int

    def moment(self, chance: random.Random) -> int:
        """Any moment, or just after an acknowledgement."""
        if chance.random() < 0.5:
            return chance.randint(self.first, self.last)
        return chance.choice(self.said)[0] + 1

    def said_before(self, at: int, verb: str) -> set[InstanceRef]:
        return {ref for when, said, ref in self.said if said == verb and when < at}


def recorded(folder: Path, count: int, journal_mb: int, mutation: str = "") -> Recording:
    root = folder / "disk"
    root.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(SENDER.parent.parent)}
    command: list[str | Path] = [sys.executable, "-P", SENDER, root, str(count), str(journal_mb)]
    command += filter(None, [mutation])
    calls = strace.record(command, folder / "strace.txt", environment)
    said = []
    for call in calls:
        if call.name == "write" and call.fd == 1:
            verb, *uids = call.texts[0].decode().split()
            said.append((call.begun, verb, InstanceRef(*uids)))
    ours = [call for call in calls if not (call.name == "write" and call.fd in {1, 2})]
    made = next(call.begun for call in calls if call.name == "mkdir" and call.paths[0].is_relative_to(root))
    return Recording(Disk(root, ours), said, made, calls[-1].ended + 1)


def complaint_after_cut(recording: Recording, into: Path, seed: int) -> str:
    """What is wrong after a power cut; nothing should be."""
    chance = random.Random(seed)
    at, kept = recording.moment(chance), chance.choice(KEPT)
    into.mkdir()
    recording.disk.after_power_cut(at, chance, kept, into)
    given = config.load(None, {"RELAIS_NODE__DATA_DIR": str(into / "srv" / "relais")}).config
    try:
        with compose.archive_of(given) as archive:
            deleted, deleting = recording.said_before(at, "deleted"), recording.said_before(at, "deleting")
            for ref in recording.said_before(at, "stored"):
                row = lookup.instance(archive.db, ref)
                if (row is None and ref not in deleting) or (row is not None and ref in deleted):
                    return f"{seed}: lost or back: {ref}"
                if row is not None:
                    list(verified_chunks(archive, row, 0, always=True))
            swept = maintenance.sweep(archive, upload_age_s=0)
            report = maintenance.check(archive)
            return "" if report.is_sound and not swept.unreadable else f"{seed}: {swept} {report}"
    except NodeError as error:
        return f"{seed}: {error!r}"
    finally:
        shutil.rmtree(into)


def complaints(recording: Recording, folder: Path, cuts: int, most: int | None = None) -> list[str]:
    """After *cuts* cuts, *most* at most; the disks made for them are in memory, where there is such a file system."""
    with TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else folder) as name:
        found = (complaint_after_cut(recording, Path(name) / "cut", seed) for seed in range(cuts))
        return list(islice(filter(None, found), most))


@pytest.mark.parametrize("journal_mb", [0, 1])
def test_nothing_acknowledged_is_lost_in_200_power_cuts(tmp_path: Path, journal_mb: int) -> None:
    recording = recorded(tmp_path, 8, journal_mb)
    assert len(recording.said_before(recording.last, "stored")) == 8 * 4 + 4
    assert complaints(recording, tmp_path, 200) == []


@pytest.mark.parametrize(
    ("journal_mb", "mutation"),
    [(0, "objects"), (0, "folders"), (0, "index"), (1, "index"), (1, "journal"), (1, "settling")],
)
def test_a_sync_that_is_left_out_is_noticed(tmp_path: Path, journal_mb: int, mutation: str) -> None:
    assert any(
        complaints(recorded(tmp_path / str(number), 3, journal_mb, mutation), tmp_path, 400, most=1)
        for number in range(RECORDINGS)
    )


@pytest.mark.slow
@pytest.mark.parametrize("journal_mb", [0, 1])
def test_nothing_acknowledged_is_lost_in_many_power_cuts(tmp_path: Path, journal_mb: int) -> None:
    assert complaints(recorded(tmp_path, 20, journal_mb), tmp_path, 1000) == []
