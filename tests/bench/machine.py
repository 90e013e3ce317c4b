"""The facts of the machine, without which figures mean nothing. Knows /proc, no peer."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.peers import versions

PACKAGES = ("pydicom", "pynetdicom", "granian", "Flask", "numpy", "imagecodecs")


def facts(folder: Path) -> dict[str, object]:
    """Cores, memory, kernel, the disk below *folder*, versions, and the load before anything is measured."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3, 1),
        "kernel": platform.release(),
        "disk": _disk(folder),
        "load_average_before": load(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "peers": dict(versions()),
    }


def load() -> list[float]:
    """How many processes wanted a core in the last 1, 5, 15 minutes: more than cores, and figures are too low."""
    return [round(one, 1) for one in os.getloadavg()]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _disk(folder: Path) -> str:
    """File system and device that *folder* lies on."""
    best = ("", "?", "?")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, place, kind, *_ = line.split()
        if folder.absolute().is_relative_to(place) and len(place) >= len(best[0]):
            best = (place, kind, device)
    return f"{best[1]} on {best[2]}"
