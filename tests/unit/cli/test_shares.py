"""`relais import --jobs`: several processes, one archive, one ledger."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fixtures.builders import a_ct, a_series, part10
from fixtures.waiting import eventually
from relais.cli.intake import Summary
from relais.cli.shares import BLOCK, Share

Run = Callable[..., Any]
COUNT = 3 * BLOCK + 7


def fill(folder: Path, count: int = COUNT) -> None:
    folder.mkdir()
    for number, ds in enumerate(a_series(count)):
        (folder / f"{number:05d}.dcm").write_bytes(part10(ds))


def children(process: "subprocess.Popen[bytes]") -> list[int]:
    """Its processes that import and have not ended: not the one that watches over what they share."""
    with suppress(FileNotFoundError, ProcessLookupError):
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [int(pid) for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return []  # one of them has ended meanwhile


def start(config_file: Path, folder: Path, *, has_own_terminal: bool = False) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "relais", "import", str(folder), "--jobs", "2", "--json"]
    environ = {**os.environ, "RELAIS_CONFIG": str(config_file)}
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=has_own_terminal
    )


def has_begun(folder: Path) -> bool:
    return any((folder / "data" / "imports").glob("*/files")) and bool(list((folder / "data").glob("objects/*/*/*/*")))


def test_every_file_is_in_one_share() -> None:
    files = range(COUNT)
    shares = [list(Share(number, 3).mine(files)) for number in range(3)]
    assert sorted(file for share in shares for file in share) == list(files)
    assert min(map(len, shares)) >= COUNT // 3 - BLOCK
    assert list(Share().mine(files)) == list(files)


def test_sums_of_shares_are_told_as_one() -> None:
    total = Summary(stored=1, seconds=2.0)
    total.refuse("a", "damaged")
    other = Summary(stored=2, duplicates=3, size_bytes=10, seconds=1.0, full=True)
    other.refuse("b", "damaged")
    other.refuse("c", "too large")
    total.add(other)
    assert (total.stored, total.duplicates, total.size_bytes, total.seconds, total.full) == (3, 3, 10, 2.0, True)
    assert (total.refused["damaged"].count, total.refused["damaged"].examples) == (2, ["a", "b"])
    assert total.done == 9


def test_several_processes_take_in_everything_once(tmp_path: Path, config_file: Path, relais_json: Run) -> None:
    fill(tmp_path / "in")
    (tmp_path / "in" / "readme.txt").write_text("hello")
    (tmp_path / "in" / "broken.dcm").write_bytes(part10(a_ct())[:-100])
    with start(config_file, tmp_path / "in") as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    told = json.loads(said)
    assert (told["stored"], told["not_dicom"], told["refused_count"]) == (COUNT, 1, 1)
    assert len(relais_json("find", "--level", "instance", "--limit", "0")) == COUNT
    again = relais_json("import", tmp_path / "in", code=1)
    assert (again["stored"], again["known"]) == (0, COUNT + 1)


def test_a_process_that_is_killed_is_told_and_made_good(tmp_path: Path, config_file: Path, relais_json: Run) -> None:
    for folder in (tmp_path / "first", tmp_path / "second", tmp_path / "third"):
        fill(folder, 8 * BLOCK)
        if complaint := complaint_of_a_killed_import(config_file, folder):
            break
    assert b"ended too early" in complaint
    told = relais_json("import", folder)
    assert told["stored"] + told["duplicates"] == 8 * BLOCK
    assert told["stored"] > 0
    assert len(relais_json("find", "--level", "instance", "--limit", "0")) == len(list(tmp_path.glob("*/*.dcm")))


def complaint_of_a_killed_import(config_file: Path, folder: Path) -> bytes:
    """What an import says of which one process was killed; nothing where it was over before that, by its own."""
    with start(config_file, folder) as process:
        assert eventually(lambda: process.poll() is not None or (has_begun(folder.parent) and children(process)))
        for victim in children(process)[:1]:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        _, complaint = process.communicate(timeout=300)
    return complaint if process.returncode else b""


def test_when_the_command_is_killed_its_processes_end(tmp_path: Path, config_file: Path, relais_json: Run) -> None:
    fill(tmp_path / "in", 8 * BLOCK)
    with start(config_file, tmp_path / "in") as process:
        assert eventually(lambda: has_begun(tmp_path))
        ours = children(process)
        process.kill()
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ours))
    told = relais_json("import", tmp_path / "in")
    assert told["stored"] + told["duplicates"] == 8 * BLOCK


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.3])
def test_a_key_that_is_pressed_while_the_processes_begin_is_heeded_without_a_traceback(
    tmp_path: Path, config_file: Path, after_s: float
) -> None:
    """A terminal tells all of them at once."""
    fill(tmp_path / "in", 8 * BLOCK)
    with start(config_file, tmp_path / "in", has_own_terminal=True) as process:
        assert eventually(lambda: len(children(process)) == 2)
        time.sleep(after_s)
        os.killpg(process.pid, signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaint.strip() == b"Aborted!"
