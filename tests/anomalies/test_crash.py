"""kill -9 at any moment: nothing acknowledged is lost, nothing partial shows, index and storage agree afterwards."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.node import close_archive, make_archive
from relais.access.principals import OPERATOR
from relais.archive import maintenance, retrieve
from relais.dicom.refs import InstanceRef

ROUNDS = 8
SENDER = Path(__file__).with_name("crash_sender.py")


def acknowledged_before_kill(folder: Path, after_s: float) -> list[InstanceRef]:
    """Let a process store instances from four threads, kill it, and return what it had acknowledged."""
    environment = os.environ | {"PYTHONPATH": str(SENDER.parent.parent)}
    process = subprocess.Popen(
        [sys.executable, SENDER, folder], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_s)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        lines = process.stdout.read().splitlines(keepends=True)
        process.stdout.close()
        process.wait()
    return [InstanceRef(*line.split()) for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path, seed: int) -> None:
    refs = acknowledged_before_kill(tmp_path, random.Random(seed).uniform(0.05, 0.6))
    assert refs
    archive = make_archive(tmp_path)
    for ref in refs:
        (row,) = retrieve.instances(archive, OPERATOR, ref)
        body = retrieve.part10(archive, row)
        assert sum(map(len, body.chunks)) == body.length
    maintenance.sweep(archive, upload_age_s=0)
    assert maintenance.check(archive).is_sound
    assert [path for path in (tmp_path / "store" / ".incoming").iterdir() if path.is_file()] == []
    close_archive(archive)
