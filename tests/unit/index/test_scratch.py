"""Folders for a while: gone with their use, and those of killed processes with the next."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from relais.index import scratch as folders
from relais.index.scratch import scratch

A_USER = """
import sys, time
from pathlib import Path
from relais.index.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "index.sqlite").write_text("names")
    print(folder.name, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("is_named", [True, False])
def test_what_a_killed_process_left_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    users = [
        subprocess.Popen([sys.executable, "-c", A_USER, tmp_path], stdout=subprocess.PIPE, text=True) for _ in "12"
    ]
    lives, dies = (tmp_path / user.stdout.readline().strip() for user in users if user.stdout)
    try:
        users[1].send_signal(signal.SIGKILL)
        users[1].communicate()
        assert (dies / "index.sqlite").exists()
        with scratch(tmp_path if is_named else None) as folder, scratch(tmp_path) as another:
            assert set(tmp_path.iterdir()) == {lives, folder, another}
        assert list(tmp_path.iterdir()) == [lives]
        assert (lives / "index.sqlite").exists()
    finally:
        users[0].kill()
        users[0].communicate()


def test_a_folder_that_was_removed_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(prefix: str, dir: Path) -> str:
        monkeypatch.undo()
        return str(dir / f"{prefix}gone")

    monkeypatch.setattr(folders.tempfile, "mkdtemp", made)
    with scratch(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes folders of others")
def test_what_is_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / ".relais-theirs").mkdir()
    os.chown(tmp_path / ".relais-theirs", 12345, 12345)
    (tmp_path / ".relais-link").symlink_to("/")
    with scratch(tmp_path):
        assert len(list(tmp_path.iterdir())) == 3
    assert len(list(tmp_path.iterdir())) == 2
