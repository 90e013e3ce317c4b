"""After a crash the node is ready within seconds, however much it keeps."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.engines import only_sqlite
from fixtures.served import Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually

pytestmark = [only_sqlite("it looks for its log"), pytest.mark.files("they are made by the hundred thousand")]
FILLER = Path(__file__).with_name("startup_filler.py")
READY_WITHIN_S = 5.0
SWEPT_WITHIN_S = 120.0
DEAR = 2  # so many times what it takes with no object may many take, on a machine that is slow already with none
TRIES = 4  # a busy machine has hiccups; what is slow for the sake of many objects is slow each time


def fill(data_dir: Path, count: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(FILLER.parent.parent)}
    command = [sys.executable, "-P", FILLER, data_dir, str(count)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL


def ready_after_s(folder: Path) -> tuple[Served, float]:
    began = time.monotonic()
    node = Served(folder)
    node.wait_until_ready()
    return node, time.monotonic() - began


def empty_after_s(folder: Path) -> float:
    folder.mkdir(exist_ok=True, parents=True)
    node, took_s = ready_after_s(folder)
    put_away(node)
    return took_s


def has_swept(node: Served) -> bool:
    return "event=sweep" in node.errors.read_text()


def ready_soon_after_a_crash(above: Path, count: int) -> Served:
    """The first of TRIES nodes with *count* objects that was ready in time."""
    for number in range(TRIES):
        folder = above / str(number)
        empty_s = empty_after_s(folder)
        fill(folder / "data", count)
        assert (folder / "data" / "index.sqlite-wal").stat().st_size > 0
        node, took_s = ready_after_s(folder)
        if took_s < max(READY_WITHIN_S, DEAR * empty_s):
            return node
        put_away(node)
    pytest.fail(f"ready after {took_s:.1f} s, without an object after {empty_s:.1f} s")


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_node_is_ready_within_five_seconds_after_a_crash(tmp_path: Path, count: int) -> None:
    node = ready_soon_after_a_crash(tmp_path, count)
    try:
        visitor = Visitor(node.dimse_port, node.web_port)
        assert (visitor.store("dimse"), visitor.store("web")) == ("0000", "200")
        assert eventually(lambda: has_swept(node), SWEPT_WITHIN_S)
        assert "indexed=0 removed=0 unreadable=0" in node.errors.read_text()
        assert visitor.fetch_all()
    finally:
        put_away(node)
