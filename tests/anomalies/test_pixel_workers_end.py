"""How pixel workers begin and end: with their pool, their parent, a fork, by nonsense; none is left behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

from fixtures.pooled import FRAME, HEADER, NATIVE, PIXELS, processes, slow_frame
from fixtures.process import command_line
from fixtures.waiting import eventually
from relais.errors import InvalidDataSet, NodeError, Unavailable
from relais.pixels import wire
from relais.pixels.process import WorkerProcess
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers


@pytest.fixture
def workers() -> Iterator[PixelWorkers]:
    with_pool = PixelWorkers(PixelSettings(workers=2, timeout_s=120))
    yield with_pool
    with_pool.close()


def children() -> set[int]:
    """Processes whose parent we are, ended but unwaited-for ones too."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(entry.name))
    return found


def test_close_ends_everything_and_leaves_no_zombie() -> None:
    before = children()
    pool = PixelWorkers(PixelSettings(workers=2))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: pool.decode(HEADER, NATIVE, FRAME), range(8)))
        asked = threads.submit(pool.decode, *slow_frame())
        assert eventually(lambda: len(pool._idle) < len(pool._workers))
        pool.close()
        with pytest.raises(Unavailable):
            asked.result()
    assert children() <= before
    with pytest.raises(Unavailable):
        pool.decode(HEADER, NATIVE, FRAME)


def keepers() -> set[threading.Thread]:
    """The threads that look after pools of this process; those of other tests may still be there."""
    return {thread for thread in threading.enumerate() if thread.name == "pixel-keeper"}


def test_idle_workers_are_ended_and_waited_for() -> None:
    before, others = children(), keepers()
    pool = PixelWorkers(PixelSettings(idle_s=5))  # long enough to be seen
    try:
        pool.decode(HEADER, NATIVE, FRAME)
        assert children() - before == set(processes(pool)) != set()
        assert eventually(lambda: children() <= before)
        assert eventually(lambda: not keepers() - others)
        assert pool.decode(HEADER, NATIVE, FRAME) == PIXELS.tobytes()
    finally:
        pool.close()


def test_a_worker_that_cannot_be_started_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = PixelWorkers(PixelSettings(workers=1))
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(Unavailable, match="cannot be started"):
            pool.decode(HEADER, NATIVE, FRAME)
        broken.setattr(sys, "executable", "/bin/false")
        with pytest.raises(Unavailable, match="does not start"):
            pool.decode(HEADER, NATIVE, FRAME)
    assert pool.decode(HEADER, NATIVE, FRAME) == PIXELS.tobytes()
    pool.close()


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers
pool = PixelWorkers(PixelSettings())
try:
    pool.decode(b"", "1.2", b"")
except Exception:
    print(next(iter(pool._workers))._process.pid, flush=True)
input()
"""


def test_workers_die_with_their_parent() -> None:
    """Killed, it cannot tell them; the pipe does."""
    arguments = [sys.executable, "-c", PARENT, str(Path(__file__).parents[1])]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        parent.kill()
    assert eventually(lambda: not command_line(worker))


def test_a_forked_child_has_a_pool_of_its_own_and_leaves_ours_alone(workers: PixelWorkers) -> None:
    workers.decode(HEADER, NATIVE, FRAME)
    ours = processes(workers)
    arguments = [sys.executable, "-W", "error::ResourceWarning", "-c", FORKING, str(Path(__file__).parents[1])]
    done = subprocess.run(arguments, capture_output=True, timeout=240, check=False)
    assert done.stdout.split() == [b"child:ok", b"parent:ok"], done.stderr
    assert processes(workers) == ours


FORKING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from fixtures.images import an_image, part10_split, texture
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers
header, frame = part10_split(an_image(texture(8)))
pool = PixelWorkers(PixelSettings())
ask = lambda: pool.decode(header, "1.2.840.10008.1.2.1", frame) == frame
ask()
first = [worker._process.pid for worker in pool._workers]
child = os.fork()
if not child:
    fresh = ask() and not set(first) & {worker._process.pid for worker in pool._workers}
    pool.close()
    print("child:ok" if fresh else "child:wrong", flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent:ok" if ask() and first == [w._process.pid for w in pool._workers] else "parent:wrong", flush=True)
pool.close()
"""


def test_a_worker_learns_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAIS_STORAGE__SECRET", "hidden")
    pool = PixelWorkers(PixelSettings())
    try:
        pool.decode(HEADER, NATIVE, FRAME)
        environment = Path(f"/proc/{processes(pool)[0]}/environ").read_bytes()
        assert b"hidden" not in environment
    finally:
        pool.close()


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff" + bytes(8),  # fields without end
        bytes(4) + b"\xff" * 8,  # a body without end
        b"\x02\0\0\0" + bytes(8) + b"{]",
        b"\x02\0\0\0" + bytes(8) + b"[]",
    ],
)
def test_a_message_that_is_none_breaks_the_pipe(said: bytes) -> None:
    stream = BytesIO(said)
    with pytest.raises(wire.BrokenPipe):
        wire.receive(stream.read, 1000)


def test_a_worker_that_talks_nonsense_is_ended(workers: PixelWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It might be in the hands of a hostile frame."""
    workers.decode(HEADER, NATIVE, FRAME)
    answers = [
        wire.Message({"error": "SystemExit", "message": "no kind of ours"}),
        wire.Message({"error": "InvalidDataSet", "message": "x" * 9999, "detail": "ValueError at x.py:1"}),
    ]
    monkeypatch.setattr(WorkerProcess, "ask", lambda *_: answers.pop(0))
    with pytest.raises(NodeError, match="unknown answer"):
        workers.decode(HEADER, NATIVE, FRAME)
    with pytest.raises(InvalidDataSet) as long:
        workers.decode(HEADER, NATIVE, FRAME)
    assert len(long.value.message) == 500


IMPATIENT = "from relais.pixels import worker; worker._GRACE_S = 0; worker.main()"


def test_a_worker_ends_itself_when_nobody_is_there_to_end_it() -> None:
    """The parent does not go away and does not look at the time: only the worker's own alarm is left."""
    header, uid, frame = slow_frame()
    fields = {"task": "decode", "header_bytes": len(header), "transfer_syntax_uid": uid, "frame_number": 1}
    arguments = [sys.executable, "-c", IMPATIENT, '{"timeout_s": 0.1}']
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        worker.stdin.write(wire.prefix(fields, len(header) + len(frame)) + header + frame)
        worker.stdin.flush()
        assert worker.wait(120) == -signal.SIGALRM
