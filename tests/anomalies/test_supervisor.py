"""The supervisor over trivial children: real processes, no node."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from fixtures.waiting import eventually
from relais.node.signals import APART_S

LONG_S = 180.0  # for what must come to pass, however busy the machine is; the children would live for much longer

SUPERVISE = """
import sys, pathlib
from relais.node import log, signals
from relais.node.supervisor import Child, Supervisor
log.configure("info")
signals.APART_S = float(sys.argv[3])
folder = pathlib.Path(sys.argv[1])
children = [
    Child(path.stem, [sys.executable, "-u", str(path), str(folder)], given="given to " + path.stem)
    for path in sorted(folder.glob("*.py"))
]
is_ready = (folder / "ready").exists
sys.exit(Supervisor(children, is_ready=is_ready, grace_s=float(sys.argv[2])).run())
"""

NOTE = """
import os, sys, pathlib, time, signal, subprocess
folder = pathlib.Path(sys.argv[1])
name = pathlib.Path(__file__).stem
with (folder / (name + ".pids")).open("a") as file:
    file.write(f"{os.getpid()}\\n")
(folder / (name + ".given")).write_text(sys.stdin.read())
"""
SLEEP = NOTE + "time.sleep(600)\n"


class Run:
    """A supervisor in a process of its own over the scripts in *folder*."""

    def __init__(
        self, folder: Path, grace_s: float, scripts: dict[str, str], apart_s: float = APART_S, by: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        for name, script in scripts.items():
            (folder / f"{name}.py").write_text(script)
        self.process = subprocess.Popen(
            [*by, sys.executable, "-c", SUPERVISE, str(folder), str(grace_s), str(apart_s)],
            stderr=subprocess.PIPE,
            text=True,
        )

    def pids(self, name: str) -> list[int]:
        path = self.folder / f"{name}.pids"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, name: str, starts: int) -> list[int]:
        assert eventually(lambda: len(self.pids(name)) >= starts, LONG_S)
        return self.pids(name)

    def ended(self, timeout_s: float = LONG_S) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, errors


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    made: list[Run] = []
    yield made
    for run in made:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()
        for name in {path.stem for path in run.folder.glob("*.pids")}:
            for pid in run.pids(name):
                if is_alive(pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter if it goes while it is looked at
        return False


def test_children_get_what_is_given_and_end_with_the_supervisor(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, 5, {"one": SLEEP, "two": SLEEP}))
    first, second = run.wait_for("one", 1)[0], run.wait_for("two", 1)[0]
    assert eventually(lambda: (tmp_path / "two.given").exists() and (tmp_path / "one.given").exists(), LONG_S)
    assert (tmp_path / "one.given").read_text() == "given to one"
    run.process.terminate()
    code, errors = run.ended()
    assert code == 0
    assert "event=ended" in errors
    assert not is_alive(first)
    assert not is_alive(second)


def test_a_terminal_that_is_closed_ends_the_node_in_order(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, 5, {"one": SLEEP}))
    pid = run.wait_for("one", 1)[0]
    run.process.send_signal(signal.SIGHUP)
    code, errors = run.ended()
    assert code == 0
    assert "event=ending told_by=SIGHUP" in errors
    assert "event=ended" in errors
    assert not is_alive(pid)


def test_what_was_started_by_nohup_stays_when_the_terminal_is_closed(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, 5, {"one": SLEEP}, by=["nohup"]))
    pid = run.wait_for("one", 1)[0]
    for number in (run.process.pid, pid):
        os.kill(number, signal.SIGHUP)
    time.sleep(0.5)
    assert is_alive(pid)
    run.process.terminate()
    code, errors = run.ended()
    assert code == 0
    assert "event=ending told_by=SIGTERM" in errors


def test_a_killed_child_is_started_again(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, 5, {"one": SLEEP, "two": SLEEP}))
    first = run.wait_for("one", 1)[0]
    run.wait_for("two", 1)
    os.kill(first, signal.SIGKILL)
    run.wait_for("one", 2)
    assert len(run.pids("two")) == 1
    run.process.terminate()
    errors = run.ended()[1]
    assert "event=died child=one" in errors
    assert "again_in_s=0." in errors


def test_a_child_that_keeps_dying_is_started_later_and_later(tmp_path: Path, runs: list[Run]) -> None:
    (tmp_path / "ready").touch()
    started = time.monotonic()
    runs.append(run := Run(tmp_path, 5, {"one": NOTE + "sys.exit(3)"}))
    run.wait_for("one", 4)
    assert time.monotonic() - started > 0.2 + 0.4 + 0.8
    run.process.terminate()
    code, errors = run.ended()
    assert code == 0
    assert re.findall(r"exit_code=3 again_in_s=(\S+)", errors)[:3] == ["0.2", "0.4", "0.8"]


def test_a_child_that_gives_up_before_the_node_was_ready_stops_the_start(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, 5, {"one": SLEEP, "two": NOTE + "time.sleep(0.5); sys.exit(1)"}))
    code, errors = run.ended()
    assert code == 1
    assert 'event="start failed" child=two' in errors
    assert not any(is_alive(pid) for pid in run.pids("one"))


def test_a_child_that_does_not_end_is_killed_after_the_grace(tmp_path: Path, runs: list[Run]) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
    runs.append(run := Run(tmp_path, 1, {"one": stubborn}))
    pid = run.wait_for("one", 1)[0]
    started = time.monotonic()
    run.process.terminate()
    code, errors = run.ended()
    assert code == 0
    assert 0.9 < time.monotonic() - started < LONG_S
    assert "event=killed child=one" in errors
    assert not is_alive(pid)


def test_whoever_asks_again_after_a_while_need_not_wait_for_the_grace(tmp_path: Path, runs: list[Run]) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
    runs.append(run := Run(tmp_path, 600, {"one": stubborn}))
    run.wait_for("one", 1)
    run.process.send_signal(signal.SIGINT)
    assert run.process.stderr
    assert any("event=ending" in line for line in run.process.stderr)
    time.sleep(APART_S)
    run.process.terminate()
    assert run.ended()[0] == 0


def test_signals_that_come_together_are_one(tmp_path: Path, runs: list[Run]) -> None:
    """As those of Ctrl-C on `make run`: the terminal sends SIGINT to both, and make sends SIGTERM after it."""
    patient = NOTE + (
        "def drain(*_):\n"
        "    (folder / 'draining').touch()\n"
        "    while not (folder / 'drained').exists(): time.sleep(0.01)\n"
        "    (folder / 'in peace').touch()\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, drain)\n"
        "(folder / 'prepared').touch()\n"
        "time.sleep(600)\n"
    )
    runs.append(run := Run(tmp_path, 600, {"one": patient}, apart_s=3600))
    assert eventually((tmp_path / "prepared").exists, LONG_S)
    run.process.send_signal(signal.SIGINT)
    assert eventually((tmp_path / "draining").exists, LONG_S)
    run.process.terminate()
    assert not eventually(lambda: run.process.poll() is not None, 1)
    (tmp_path / "drained").touch()
    assert run.ended()[0] == 0
    assert (tmp_path / "in peace").exists()


def test_what_a_child_started_goes_with_it(tmp_path: Path, runs: list[Run]) -> None:
    parent = NOTE + (
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "(folder / 'grandchild.pids').open('a').write(f'{grandchild.pid}\\n')\n"
        "time.sleep(600)\n"
    )
    runs.append(run := Run(tmp_path, 5, {"one": parent}))
    first = run.wait_for("grandchild", 1)[0]
    os.kill(run.pids("one")[0], signal.SIGKILL)
    second = run.wait_for("grandchild", 2)[1]
    assert eventually(lambda: not is_alive(first), LONG_S)
    run.process.terminate()
    run.ended()
    assert eventually(lambda: not is_alive(second), LONG_S)


def test_children_that_hold_the_lifeline_do_not_outlive_a_killed_supervisor(tmp_path: Path, runs: list[Run]) -> None:
    child = "import os; from relais.node.lifeline import end_with_parent; end_with_parent(os.getppid())\n" + SLEEP
    runs.append(run := Run(tmp_path, 5, {"one": child}))
    pid = run.wait_for("one", 1)[0]
    run.process.kill()
    run.ended()
    assert eventually(lambda: not is_alive(pid), LONG_S)


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    script = "from relais.node.lifeline import end_with_parent; end_with_parent(1 << 22); print('alive')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
