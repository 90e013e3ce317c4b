"""What a program uses, as Linux tells it: processor time, memory, flushes. Knows /proc and strace, no peer."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FLUSHES = "fsync,fdatasync,sync_file_range,syncfs,msync"
TICKS = os.sysconf("SC_CLK_TCK")
ATTACH_S = 10


def processes(pid: int) -> list[int]:
    """*pid* and all that it started, and what those started, as far as they live."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(_stat(path)[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def called_with(pid: int, *words: str) -> list[int]:
    """Of *pid* and all below it, those whose command line has *words* one behind the other."""
    found = []
    for one in processes(pid):
        with suppress(OSError):
            if "\0".join(("", *words, "")) in Path(f"/proc/{one}/cmdline").read_text():
                found.append(one)
    return found


def cpu_s(pid: int) -> float:
    """Processor time of *pid* and all below it until now, also of those that have ended and were waited for."""
    ticks = 0
    for one in processes(pid):
        with suppress(OSError):
            ticks += sum(map(int, _stat(Path(f"/proc/{one}/stat"))[11:15]))
    return ticks / TICKS


def forget_peak(pid: int) -> None:
    """Let peak_bytes begin anew, where that is allowed."""
    for one in processes(pid):
        with suppress(OSError):
            Path(f"/proc/{one}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The most memory that each process has had since forget_peak, added up: what they share counts several times."""
    return sum(each_peak(pid).values())


def each_resident(pid: int) -> dict[int, int]:
    """The bytes in memory now, of each process."""
    return {one: _status_kb(one, "VmRSS") * 1024 for one in processes(pid)}


def each_peak(pid: int) -> dict[int, int]:
    """The most bytes that each process has had since forget_peak."""
    return {one: _status_kb(one, "VmHWM") * 1024 for one in processes(pid)}


def count_flushes(pid: int, work: Callable[[], object]) -> int | None:
    """How often *pid* and all below it flush to the disk while *work* is done; None where that cannot be traced.

    Traced programs are slow: nothing else is measured meanwhile.
    """
    strace = shutil.which("strace")
    if strace is None:
        return None
    attach = [word for one in processes(pid) for word in ("-p", str(one))]
    tracer = subprocess.Popen(
        [strace, "-f", "-c", "-U", "calls,name", "-e", f"trace={FLUSHES}", *attach], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    if "attached" not in tracer.stderr.readline():
        tracer.kill()
        return None
    try:
        work()
    finally:
        tracer.send_signal(signal.SIGINT)
        _, said = tracer.communicate(timeout=ATTACH_S)
    return sum(int(calls) for calls, name in re.findall(r"^ *(\d+) +(\w+)$", said, re.MULTILINE) if name in FLUSHES)


def _stat(path: Path) -> list[str]:
    """The fields behind the name: state, parent, ..., utime, stime, cutime, cstime at 11 to 14."""
    return path.read_text().rpartition(")")[2].split()


def _status_kb(pid: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
