"""A disk that is full, or becomes read-only: refused honestly, reads go on, and no restart is needed afterwards.

The small file systems live in a mount namespace of the node, so that nothing is left mounted whatever happens.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.engines import only_sqlite
from fixtures.places import node_environ
from fixtures.served import Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually
from relais.db import failures, reserve

pytestmark = pytest.mark.files("their disk is full")
SMALL_MB = 24
AGAIN_WITHIN_S = 180.0  # a second or two when the machine has nothing else to do
of_the_index = only_sqlite("the disk under its file is full")
IS_ROOT = os.getuid() == 0
NAMESPACE = ["unshare", "--mount", "--propagation", "private", *([] if IS_ROOT else ["--map-root-user"])]
MOUNT_ALL = f'for at in $SMALL; do mount -t tmpfs -o size={SMALL_MB}m small "$at" || exit 1; done; exec "$@"'


def can_mount(folder: Path) -> bool:
    """Whether a process of ours may have mounts of its own."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "probe", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class SmallNode:
    """A node of which *small* folders ("objects", "index") are file systems of a few megabytes, or one for both."""

    def __init__(self, folder: Path, small: Sequence[str]) -> None:
        self.small = [folder / name for name in small]
        for path in (folder / "objects", folder / "index", folder / "both/objects", folder / "both/index"):
            path.mkdir(parents=True)
        above = folder / "both" if small == ["both"] else folder
        self.node = Served(
            folder,
            prefix=[*NAMESPACE, "sh", "-c", MOUNT_ALL, "sh"],
            SMALL=" ".join(map(str, self.small)),
            RELAIS_STORAGE__URL=f"file://{above / 'objects'}",
            **({"RELAIS_INDEX__URL": f"sqlite:///{above / 'index'}/index.sqlite"} if small != ["objects"] else {}),
        )
        self.node.wait_until_ready()
        self.visitor = Visitor(self.node.dimse_port, self.node.web_port)

    @property
    def fillers(self) -> list[Path]:
        """A file on each small file system, as we can reach it from outside."""
        root = Path(f"/proc/{self.node.process.pid}/root")
        return [root / path.relative_to("/") / "filler" for path in self.small]

    def fill(self, leaving_bytes: int = 0) -> None:
        for path in self.fillers:
            fill(path, leaving_bytes)

    def free(self) -> None:
        for path in self.fillers:
            path.unlink()

    def inside(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run *command* where the small file systems are seen."""
        space = ["--mount"] if IS_ROOT else ["--mount", "--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", str(self.node.process.pid), *space, *command]
        return subprocess.run(
            enter, env=self.node.environ, cwd=self.node.folder, capture_output=True, text=True, timeout=300, check=False
        )


class SmallDisk:
    """A file system of a few megabytes at *folder* for the time of the context, whoever uses it or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [*NAMESPACE, "sh", "-c", MOUNT_ALL, "sh", "sh", "-c", "echo mounted; exec sleep 3600"]
        environ = {**os.environ, "SMALL": str(folder)}
        self._holder = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        space = ["--mount"] if IS_ROOT else ["--mount", "--user", "--preserve-credentials"]
        self.inside = ["nsenter", "--target", str(self._holder.pid), *space]

    def __enter__(self) -> "SmallDisk":
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "mounted\n"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    @property
    def filler(self) -> Path:
        """A file on it, as we can reach it from outside."""
        return Path(f"/proc/{self._holder.pid}/root") / self.folder.relative_to("/") / "filler"

    def fill(self) -> None:
        fill(self.filler)

    def relais(self, environ: dict[str, str], *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """The command with *words*, where the file system is seen."""
        command = [*self.inside, sys.executable, "-m", "relais", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)


def fill(path: Path, leaving_bytes: int = 0) -> None:
    """Let *path* take all room there is."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError as exc:
            assert exc.errno == errno.ENOSPC
        file.truncate(file.tell() - leaving_bytes)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., SmallNode]]:
    (tmp_path / "probe").mkdir()
    if not can_mount(tmp_path / "probe"):
        pytest.skip("file systems may not be mounted here")
    made: list[SmallNode] = []

    def start_one(*small: str) -> SmallNode:
        made.append(SmallNode(tmp_path, list(small)))
        return made[-1]

    yield start_one
    for each in made:
        put_away(each.node)


def reads_go_on(visitor: Visitor) -> None:
    assert visitor.echo()
    assert visitor.fetch_all()
    assert visitor.get("/dicom-web/studies")[0] == 200
    assert visitor.get("/health/ready")[0] == 200


def stores_again(visitor: Visitor) -> None:
    for door, stored in (("dimse", "0000"), ("web", "200")):
        assert eventually(lambda door=door, stored=stored: visitor.store(door) == stored, AGAIN_WITHIN_S)
    assert visitor.fetch_all()


@contextmanager
def nothing_died(node: Served) -> Iterator[None]:
    yield
    said = node.errors.read_text()
    assert "event=died" not in said
    assert "traceback" not in said


@pytest.mark.parametrize(
    "small", ["objects", *(pytest.param(small, marks=of_the_index) for small in ("index", "both"))]
)
def test_on_a_full_disk_stores_are_refused_and_all_else_goes_on(start: Callable[..., SmallNode], small: str) -> None:
    served = start(small)
    visitor = served.visitor
    with nothing_died(served.node):
        for door, stored in (("dimse", "0000"), ("web", "200")):
            assert [visitor.store(door) for _ in range(3)] == [stored] * 3
        for _ in range(2):
            served.fill()
            for door, stored, refused in (("dimse", "0000", "A700"), ("web", "200", "507")):
                # the index has a little room in its log, as long as it can be moved
                assert eventually(lambda door=door, refused=refused: visitor.store(door) == refused, AGAIN_WITHIN_S)
                assert {visitor.store(door) for _ in range(8)} <= {refused, stored}
            reads_go_on(visitor)
            served.free()
            stores_again(visitor)
    checked = served.inside(sys.executable, "-m", "relais", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@of_the_index
def test_a_disk_that_fills_up_within_an_instance_refuses_that_one(start: Callable[..., SmallNode]) -> None:
    served = start("both")
    visitor = served.visitor
    with nothing_died(served.node):
        served.fill(leaving_bytes=1024 * 1024)
        assert visitor.store("dimse", rows=2000) == "A700"
        assert visitor.store("web", rows=2000) == "507"
        assert visitor.store("dimse") == "0000"  # what was begun left nothing behind
        assert visitor.store("web") == "200"
        reads_go_on(visitor)
        served.free()
        stores_again(visitor)


def test_a_storage_that_becomes_read_only_refuses_stores_until_it_is_not(start: Callable[..., SmallNode]) -> None:
    served = start("objects")
    visitor = served.visitor
    objects = served.small[0]
    with nothing_died(served.node):
        assert (visitor.store("dimse"), visitor.store("web")) == ("0000", "200")
        assert served.inside("mount", "-o", "remount,ro", objects).returncode == 0
        assert (visitor.store("dimse"), visitor.store("web")) == ("A700", "507")
        reads_go_on(visitor)
        assert served.inside("mount", "-o", "remount,rw", objects).returncode == 0
        stores_again(visitor)


@of_the_index
def test_a_node_that_was_stopped_starts_and_reads_when_the_disk_is_full(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    if not can_mount(tmp_path / "data"):
        pytest.skip("file systems may not be mounted here")
    with SmallDisk(tmp_path / "data") as disk:
        for is_full in (False, True):
            node = Served(tmp_path, prefix=disk.inside)
            try:
                node.wait_until_ready()
                visitor = Visitor(node.dimse_port, node.web_port)
                if is_full:
                    assert visitor.store("dimse", rows=2000) == "A700"
                    reads_go_on(visitor)
                    disk.filler.unlink()
                stores_again(visitor)
                node.process.terminate()
                assert node.process.wait(60) == 0
            finally:
                put_away(node)
            assert disk.relais(node.environ, "check").returncode == 0  # it leaves nothing that would be there already
            assert not disk.filler.with_name("index.sqlite-shm").exists()
            for _ in range(2):
                disk.fill()
                checked = disk.relais(node.environ, "check")
                assert checked.returncode == 0, checked.stdout + checked.stderr
            disk.fill()


@of_the_index
def test_an_index_that_cannot_be_opened_on_a_full_disk_says_that_it_is_full(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    if not can_mount(tmp_path / "data"):
        pytest.skip("file systems may not be mounted here")
    environ = {**os.environ, **node_environ(tmp_path / "data")}
    with SmallDisk(tmp_path / "data") as disk:
        (tmp_path / "one.dcm").write_bytes(part10(a_ct()))
        assert disk.relais(environ, "import", tmp_path / "one.dcm").returncode == 0
        reserve.give_up(disk.filler.with_name("index.sqlite"))
        disk.fill()
        checked = disk.relais(environ, "check")
    assert checked.returncode == 1
    assert failures.FULL in checked.stderr
