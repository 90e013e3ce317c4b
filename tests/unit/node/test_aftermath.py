"""node.aftermath: what killed commands left is swept by the next, and by no other."""

import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.places import node_environ
from relais.archive import ingest, maintenance
from relais.config import Config, load
from relais.dicom.origin import Channel, Origin
from relais.dicom.part10 import read_head
from relais.errors import Unavailable
from relais.node import aftermath, compose

DIES = """
import os, sys
from pathlib import Path
from relais.config import load
from relais.node import aftermath
with aftermath.swept(load(Path(sys.argv[1]), os.environ).config):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "empty.toml").touch()
    return load(tmp_path / "empty.toml", node_environ(tmp_path / "data")).config


@pytest.fixture
def another(config: Config, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that takes instances in."""
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, str(tmp_path / "empty.toml")],
        env=node_environ(tmp_path / "data"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"in\n"
    yield process
    process.kill()
    process.communicate()


def orphans(config: Config) -> list[str]:
    with compose.archive_of(config) as archive:
        return maintenance.check(archive).orphans


def leave_an_object(config: Config) -> None:
    """As a kill does between an object and its row."""
    with compose.archive_of(config) as archive:
        ingest.store_part10(archive, BytesIO(part10(a_ct())), Origin(Channel.IMPORT))
        key = next(iter(archive.store.iterate()))
        with archive.store.open(key) as stream:
            head, body = read_head(stream.read)[1], stream.read()
        with archive.store.begin(head) as upload:
            upload.write(body)
            upload.commit(f"{key[:-5]}{'1' if key[-5] == '0' else '0'}.dcm")


def test_what_a_killed_command_left_is_swept_by_the_next(config: Config, another: "subprocess.Popen[bytes]") -> None:
    leave_an_object(config)
    another.kill()
    another.wait()
    with aftermath.swept(config):
        assert orphans(config) == []


def test_nothing_is_swept_while_the_other_command_works(config: Config, another: "subprocess.Popen[bytes]") -> None:
    leave_an_object(config)
    with aftermath.swept(config):
        assert len(orphans(config)) == 1


def test_nothing_is_swept_after_a_command_that_ended_in_order(
    config: Config, another: "subprocess.Popen[bytes]"
) -> None:
    another.communicate(b"")
    leave_an_object(config)
    with aftermath.swept(config):
        assert len(orphans(config)) == 1


def test_marks_are_looked_at_by_one_command_at_a_time(config: Config) -> None:
    config.run_dir.mkdir(parents=True)
    was_in = threading.Event()

    def take_in() -> None:
        with aftermath.swept(config):
            was_in.set()

    with (config.run_dir / aftermath.LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=take_in)
        other.start()
        assert not was_in.wait(0.5)
    other.join(30)
    assert was_in.is_set()


def test_a_data_directory_that_cannot_be_written_is_told(config: Config) -> None:
    config.run_dir.parent.mkdir(parents=True, exist_ok=True)
    config.run_dir.write_text("a file")
    with pytest.raises(Unavailable, match="cannot be written"), aftermath.swept(config):
        pass
