"""What tells of patients is closed to the other users of the machine, under the umask that nearly all machines have."""

import os
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.engines import only_sqlite
from fixtures.places import node_environ
from fixtures.served import Served, put_away
from relais import private

OTHERS_MAY_PASS, OTHERS_MAY_READ = stat.S_IXOTH, stat.S_IROTH
INDEX = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")


def under(umask: str) -> list[str]:
    """What goes before a command that is to run under *umask*."""
    return ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]


def relais(folder: Path, *words: str | Path, umask: str = "022") -> str:
    """What a command of the node in *folder* says."""
    environ = {**os.environ, **node_environ(folder / "data")}
    command = [*under(umask), sys.executable, "-m", "relais", *map(str, words)]
    return subprocess.run(command, env=environ, cwd=folder, check=True, capture_output=True, text=True).stdout


def open_to_others(path: Path) -> Iterator[Path]:
    """Every file from *path* on that any user of the machine could read, by the modes of files and folders."""
    mode = path.stat().st_mode
    if path.is_dir():
        for inner in path.iterdir() if mode & OTHERS_MAY_PASS else ():
            yield from open_to_others(inner)
    elif mode & OTHERS_MAY_READ:
        yield path


def modes(*paths: Path) -> set[str]:
    return {f"{stat.S_IMODE(path.stat().st_mode):o}" for path in paths}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "one.dcm"
    path.write_bytes(part10(ds := a_ct()))
    path.with_suffix(".uid").write_text(f"{ds.StudyInstanceUID}")
    return path


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Served]:
    """A node whose data directory the operator has made: as systemd makes a StateDirectory unless told otherwise."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    made = Served(tmp_path, prefix=under("022"))
    yield made
    put_away(made)


@only_sqlite("an index that is files")
def test_nothing_that_a_node_keeps_can_be_read_by_others(node: Served, file: Path, tmp_path: Path) -> None:
    node.wait_until_ready()
    data = tmp_path / "data"
    relais(tmp_path, "import", file)
    study = file.with_suffix(".uid").read_text()
    with urllib.request.urlopen(f"{node.url}/dicom-web/studies/{study}/rendered", timeout=60) as answer:
        assert answer.read()
    relais(tmp_path, "backup", tmp_path / "backup")
    assert [path for path in (data / "cache").rglob("*") if path.is_file()]
    assert list(open_to_others(data)) == []
    assert list(open_to_others(tmp_path / "backup")) == []
    assert modes(*(data / name for name in INDEX)) == {"640"}
    assert modes(data / "cache", data / "imports", data / "run", tmp_path / "backup" / "snapshots") == {"750"}
    assert modes(*(tmp_path / "backup" / "snapshots").glob("*/*")) == {"640"}


@only_sqlite("an index that is files")
def test_what_an_older_version_left_open_is_closed_when_the_node_starts(
    node: Served, file: Path, tmp_path: Path
) -> None:
    node.wait_until_ready()
    data = tmp_path / "data"
    relais(tmp_path, "import", file)
    (data / "cache" / "0a").mkdir(parents=True)
    node.kill()
    for name in (*INDEX, "imports", "cache", "cache/0a"):
        (data / name).chmod(0o775 if (data / name).is_dir() else 0o664)
    node.process = node._started()
    node.wait_until_ready()
    assert list(open_to_others(data)) == []
    assert modes(*(data / name for name in INDEX)) == {"660"}  # what the group has is the operator's to decide
    assert 'event="closed to others"' in node.errors.read_text()


@only_sqlite("an index that is files")
def test_what_is_restored_or_moved_is_closed_too(file: Path, tmp_path: Path) -> None:
    relais(tmp_path, "import", file)
    relais(tmp_path, "backup", tmp_path / "backup")
    other = tmp_path / "other"
    other.mkdir()
    relais(other, "restore", tmp_path / "backup")
    moved = tmp_path / "moved.toml"
    moved.write_text(
        f'[index]\nurl = "sqlite:///{tmp_path}/moved/index.sqlite"\n[storage]\nurl = "file://{tmp_path}/moved/objects"'
    )
    relais(tmp_path, "migrate", "--to", moved, "--finish")
    assert modes(other / "data", tmp_path / "data", tmp_path / "moved", tmp_path / "backup") == {"750"}
    indexes = [folder / "index.sqlite" for folder in (other / "data", tmp_path / "data", tmp_path / "moved")]
    assert modes(*indexes) == {"640"}


@only_sqlite("an index that is files")
def test_a_stricter_umask_counts_and_what_is_handed_over_is_as_the_umask_says(file: Path, tmp_path: Path) -> None:
    relais(tmp_path, "import", file, umask="077")
    assert modes(tmp_path / "data") == {"700"}
    assert modes(tmp_path / "data" / "index.sqlite") == {"600"}
    relais(tmp_path, "export", "--all", tmp_path / "handed over")
    files = [path for path in (tmp_path / "handed over").rglob("*") if path.is_file()]
    assert modes(tmp_path / "handed over") == {"755"}
    assert modes(*files) == {"644"}


def test_only_what_others_may_is_taken_away(tmp_path: Path) -> None:
    assert not private.narrow(tmp_path / "none")
    (tmp_path / "wide").mkdir(mode=0o755)
    (tmp_path / "wide").chmod(0o2757)
    assert private.narrow(tmp_path / "wide")
    assert modes(tmp_path / "wide") == {"2750"}
    assert not private.narrow(tmp_path / "wide")
