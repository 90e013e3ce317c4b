"""The programs that are measured: each starts empty, on free ports, and is gone when its context ends.

Relais and Orthanc run at their own defaults. DCMTK's programs get a longer PDU than theirs, and everything that is
built on DCMTK, Orthanc too, runs without Nagle's algorithm (TCP_NODELAY=1): with it each message may wait 40 ms.

RELAIS_BENCH_ORTHANC is the command that starts Orthanc, for another one than Debian's.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import usage
from bench.run import expect
from bench.wire import OUR_MAX_PDU
from fixtures.dcmtk import ENVIRONMENT, wait_for_port
from fixtures.orthanc import orthanc as orthanc_server
from fixtures.ports import free_port
from fixtures.served import Served, put_away
from relais.db.settings import IndexSettings
from relais.storage.settings import StorageSettings

DESTINATION = "BENCHDST"  # where C-MOVE sends to
ORTHANC = os.environ.get("RELAIS_BENCH_ORTHANC") or shutil.which("Orthanc") or "Orthanc"
STOP_S = 30
START_S, CALM_CPU_S = 60, 0.1  # processor time in a second of a node that has nothing to do, at most
BIT_PRESERVING, IGNORE = "+B", "--ignore"  # options of storescp


@dataclass(frozen=True)
class Peer:
    """One that is running. *files* is the folder below which it keeps what it was sent."""

    name: str
    pid: int
    ae_title: str
    dicom_port: int = 0
    files: Path | None = None
    url: str = ""  # of its DICOMweb service


Started = AbstractContextManager[Peer]


@contextmanager
def relais(folder: Path, destination_port: int = 0, **environ: str) -> Iterator[Peer]:
    """The node as `relais serve` runs it, with a journal and a log of the sizes that it has; *environ* are settings."""
    (folder / "conf").mkdir(parents=True)
    if destination_port:
        where = f'name = "{DESTINATION}"\nae_title = "{DESTINATION}"\nhost = "127.0.0.1"\nport = {destination_port}\n'
        (folder / "conf/relais.toml").write_text(f"[[peers]]\n{where}")
    sizes = {
        "RELAIS_STORAGE__JOURNAL_MB": str(StorageSettings().journal_mb),
        "RELAIS_INDEX__LOG_MB": str(IndexSettings().log_mb),
    }
    node = Served(folder, RELAIS_NODE__LOG_LEVEL="warning", **sizes, **environ)
    try:
        node.wait_until_ready()
        _wait_for_the_background(node.process.pid)
        files = folder / "data/objects"
        yield Peer("Relais", node.process.pid, "RELAIS", node.dimse_port, files, f"{node.url}/dicom-web")
    finally:
        put_away(node)


def _wait_for_the_background(pid: int) -> None:
    """The node is ready before its process in the background has started: that is nobody's first instance."""
    deadline = time.monotonic() + START_S
    used = -1.0
    while not usage.called_with(pid, "--role", "background") or usage.cpu_s(pid) - used > CALM_CPU_S:
        expect(time.monotonic() < deadline, True, "the node has started whole in time")
        used = usage.cpu_s(pid)
        time.sleep(1)


@contextmanager
def receiver(folder: Path) -> Iterator[Peer]:
    """The DIMSE door of Relais over nothing but files: see bench.receiver."""
    port = free_port()
    folder.mkdir(parents=True)
    with _running([sys.executable, "-m", "bench.receiver", str(folder), str(port)], port, folder) as pid:
        yield Peer("Relais' door", pid, "RELAIS", port, folder / "files")


@contextmanager
def floor(folder: Path) -> Iterator[Peer]:
    """What receiving durably costs any Python program here at least: see bench.floor."""
    port = free_port()
    folder.mkdir(parents=True)
    with _running([sys.executable, "-m", "bench.floor", str(folder), str(port)], port, folder) as pid:
        yield Peer("floor", pid, "FLOOR", port)


@contextmanager
def orthanc(folder: Path, destination_port: int = 0, **settings: object) -> Iterator[Peer]:
    """Orthanc with its DICOMweb plugin; *settings* are members of its configuration."""
    modalities = {DESTINATION: (DESTINATION, "127.0.0.1", destination_port)} if destination_port else {}
    settings = {"DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True, **settings}
    with orthanc_server(folder, modalities, dicomweb=True, program=ORTHANC, **settings) as server:
        url = f"{server.url}/dicom-web"
        yield Peer("Orthanc", server.pid, server.ae_title, server.dicom_port, folder / "storage", url)


@contextmanager
def storescp(folder: Path, *options: str, forks: bool = True) -> Iterator[Peer]:
    """DCMTK's receiver, named with its *options*: files, nothing flushed, no index.

    It *forks* a process for each association, or serves one after the other.
    """
    port, files = free_port(), folder / "files"
    files.mkdir(parents=True)
    mode = "--fork" if forks else "--single-process"
    command = ["storescp", mode, "-pdu", str(OUR_MAX_PDU), "-od", str(files), *options, str(port)]
    with _running(command, port, folder) as pid:
        yield Peer(" ".join(("storescp", *options)), pid, "STORESCP", port, None if IGNORE in options else files)


@contextmanager
def dcmqrscp(folder: Path, destination_port: int = 0) -> Iterator[Peer]:
    """DCMTK's archive: files, and an index in one file."""
    port, files, config = free_port(), folder / "files", folder / "dcmqrscp.cfg"
    files.mkdir(parents=True)
    config.write_text(
        f"MaxPDUSize = {OUR_MAX_PDU}\nMaxAssociations = 16\n"
        f"HostTable BEGIN\ndestination = ({DESTINATION}, localhost, {destination_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQRSCP {files} RW (1000, 8192mb) ANY\nAETable END\n"
    )
    with _running(["dcmqrscp", "-c", str(config), str(port)], port, folder) as pid:
        yield Peer("dcmqrscp", pid, "QRSCP", port, files)


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[Peer]:
    """The files below *root* over HTTP, by sendfile."""
    port, config = free_port(), folder / "nginx.conf"
    folder.mkdir(parents=True)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        ("user root;" if os.getuid() == 0 else "")
        + f"worker_processes auto; daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    )
    with _running(["nginx", "-p", str(folder), "-c", str(config)], port, folder) as pid:
        yield Peer("nginx", pid, "", url=f"http://127.0.0.1:{port}")


@contextmanager
def empty_view(folder: Path) -> Iterator[Peer]:
    """What any door made with Flask costs here at least: see bench.empty_view."""
    port = free_port()
    folder.mkdir(parents=True)
    with _running([sys.executable, "-m", "bench.empty_view", str(port)], port, folder) as pid:
        yield Peer("empty view", pid, "", url=f"http://127.0.0.1:{port}")


def has_nginx() -> bool:
    return shutil.which("nginx") is not None


def named(found: Iterable[Peer]) -> dict[str, Peer]:
    return {peer.name: peer for peer in found}


def versions() -> Mapping[str, str]:
    """What each program says that it is."""
    commands = {"DCMTK": ["storescp", "--version"], "Orthanc": [ORTHANC, "--version"], "nginx": ["nginx", "-v"]}
    found = {}
    for name, command in commands.items():
        if shutil.which(command[0]):
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            said = (ran.stdout + ran.stderr).strip()
            found[name] = said.splitlines()[0] if said else "?"
    return found


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[int]:
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for_port(port)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)
