"""A node of its own for a while: `relais serve` with given settings, over an empty archive that is gone afterwards.

Knows processes and folders, not what the node is for. The archive of those settings is not opened, nor are its doors.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from relais.config import AccessSettings, Config, NodeSettings, from_json, to_json
from relais.config.settings import LogLevel
from relais.errors import Unavailable
from relais.node import lifeline
from relais.peers.tls import ClientCertificate

PREFIX = "relais-bench-"
STOP_S = 20.0
LOOPBACK = "127.0.0.1"
PROC = Path("/proc")
CPU_FIELDS = slice(11, 15)  # of /proc/PID/stat behind the name: user and system time, its own and its children's


@dataclass(frozen=True, slots=True)
class Temporary:
    """A node that is ready. *folder* is where all that it keeps lies."""

    config: Config
    folder: Path
    pid: int

    def cpu_s(self) -> float | None:
        """Processor time of all its processes until now; None where the system does not tell."""
        if not PROC.joinpath("self/stat").exists():
            return None
        return sum(map(_ticks, _family(self.pid))) / os.sysconf("SC_CLK_TCK")


def isolated(config: Config, folder: Path) -> Config:
    """*config* with an archive in *folder*, on loopback, without TLS and peers, on ports that are free."""
    return replace(
        config,
        node=NodeSettings(config.node.name, folder / "data", log_level=LogLevel.WARNING),
        dimse=replace(
            config.dimse,
            host=LOOPBACK,
            port=0,
            proxies=(),
            check_called_ae_title=False,
            tls_certificate="",
            tls_key="",
            tls_ca="",
            tls_client=ClientCertificate.NONE,
        ),
        web=replace(
            config.web,
            host=LOOPBACK,
            port=0,
            proxies=(),
            certificate_field="",
            tls_certificate="",
            tls_key="",
            tls_ca="",
        ),
        index=replace(config.index, url=f"sqlite:///{folder}/index.sqlite"),
        storage=replace(config.storage, url=f"file://{quote(str(folder))}/objects", spool_dir=f"{folder}/spool"),
        archive=replace(config.archive, cache_dir=f"{folder}/cache", deidentify_key_file=f"{folder}/deidentify.key"),
        access=AccessSettings(),
        peers=(),
        tokens=(),
    )


@contextmanager
def temporary(config: Config, above: Path) -> Iterator[Temporary]:
    """A node with the settings of *config* that keeps what it is given in a new folder below *above*.

    Raises Unavailable if it does not become ready, OSError if there can be no folder.
    """
    with tempfile.TemporaryDirectory(dir=above, prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        command = [sys.executable, "-P", "-m", "relais.node.temporary", str(os.getpid())]
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            yield Temporary(_ready(process, isolated(config, folder), folder / "log.txt"), folder, process.pid)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
            process.communicate()


def _ready(process: "subprocess.Popen[str]", config: Config, log: Path) -> Config:
    """Its configuration, with the ports that it took."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(to_json(config) + "\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise Unavailable(f"The temporary node did not start: {log.read_text().strip()[-500:] or 'it said nothing'}")
    ports = json.loads(line)
    return replace(config, dimse=replace(config.dimse, port=ports["dimse"]), web=replace(config.web, port=ports["web"]))


def _family(pid: int) -> list[int]:
    """*pid* and all below it that live."""
    children: dict[int, list[int]] = {}
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(_fields(path)[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def _ticks(pid: int) -> int:
    with suppress(OSError):
        return sum(map(int, _fields(PROC / str(pid) / "stat")[CPU_FIELDS]))
    return 0


def _fields(path: Path) -> list[str]:
    return path.read_text().rpartition(")")[2].split()


def _tell(config: Config, about_samples: str) -> None:
    sys.stdout.write(json.dumps({"dimse": config.dimse.port, "web": config.web.port}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve the configuration that comes in one line, and say which ports were taken once it is ready."""
    lifeline.end_with_parent(int(sys.argv[1]))
    from relais.node.serve import serve  # noqa: PLC0415 - only the child serves

    sys.exit(serve(from_json(sys.stdin.readline()), _tell))


if __name__ == "__main__":
    main()
