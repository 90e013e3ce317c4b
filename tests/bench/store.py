"""How fast instances are taken in, beside DCMTK's storescp and Orthanc: `make bench`. Knows no part of Relais.

The same files are sent by the same sender (DCMTK's storescu, with Nagle's algorithm off on its side) to each receiver
in turn, round after round, so that what else happens on the machine hits all alike. What to keep in mind when reading:

- Relais answers when file and index are flushed to the disk. Orthanc runs with SyncStorageArea, so that its file is
  flushed too. storescp flushes nothing and keeps no index: it shows what the sender can do, not what is durable.
- The figures are of this machine and this minute; only their ratios mean something, and below 1.2 not even these.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import generate_uid

from fixtures.builders import a_ct, part10

SENDER = {**os.environ, "TCP_NODELAY": "1"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, **environ: str) -> Iterator[int]:
    """*command*, from the moment when it answers C-ECHO on *port* until the end of the context."""
    process = subprocess.Popen(command, env={**SENDER, **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(["echoscu", "127.0.0.1", str(port)], capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} did not start")
            time.sleep(0.2)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def relais(folder: Path) -> Iterator[int]:
    port = free_port()
    environ = {"RELAIS_NODE__DATA_DIR": str(folder), "RELAIS_DIMSE__PORT": str(port), "RELAIS_WEB__PORT": "0"}
    with running([sys.executable, "-m", "relais", "serve"], port, **environ):
        yield port


def orthanc(folder: Path) -> Iterator[int]:
    port = free_port()
    config = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomPort": port,
        "HttpServerEnabled": False,
        "SyncStorageArea": True,
        "DicomAlwaysAllowEcho": True,
        "DicomCheckCalledAet": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with running(["Orthanc", str(folder / "orthanc.json")], port):
        yield port


def storescp(folder: Path) -> Iterator[int]:
    port = free_port()
    with running(["storescp", "--fork", "-od", str(folder), str(port)], port):
        yield port


RECEIVERS: dict[str, tuple[str, Callable[[Path], Iterator[int]]]] = {
    "Relais": ("echoscu", relais),
    "Orthanc": ("Orthanc", orthanc),
    "storescp": ("storescp", storescp),
}


def make_files(folder: Path, associations: int, count: int) -> list[Path]:
    """A folder for each association with its share of *count* new CT instances of 512 x 512."""
    folders = []
    for number in range(associations):
        share = folder / str(number)
        share.mkdir(parents=True)
        study, series = generate_uid(), generate_uid()
        for instance in range(count // associations):
            ds = a_ct(rows=512, columns=512, StudyInstanceUID=study, SeriesInstanceUID=series)
            (share / f"{instance}.dcm").write_bytes(part10(ds))
        folders.append(share)
    return folders


def send(folders: list[Path], port: int) -> float:
    """Instances a second, all *folders* at once."""
    count = sum(len(list(folder.iterdir())) for folder in folders)
    started = time.monotonic()
    senders = [
        subprocess.Popen(["storescu", "+sd", "127.0.0.1", str(port), str(folder)], env=SENDER) for folder in folders
    ]
    codes = [sender.wait() for sender in senders]
    if any(codes):
        raise SystemExit("storescu failed")
    return count / (time.monotonic() - started)


def main() -> None:
    """Run all rounds and print one line for each receiver."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    options.add_argument("--count", type=int, default=200, help="instances in a round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--associations", type=int, nargs="*", default=[1, 8])
    chosen = options.parse_args()
    receivers = {name: start for name, (program, start) in RECEIVERS.items() if shutil.which(program)}
    sys.stdout.write(f"{chosen.count} CT instances of 0.5 MB a round, {chosen.rounds} rounds, instances/s (median)\n")
    for associations in chosen.associations:
        rates: dict[str, list[float]] = {name: [] for name in receivers}
        for _ in range(chosen.rounds):
            with tempfile.TemporaryDirectory() as name:
                folders = make_files(Path(name) / "files", associations, chosen.count)
                for receiver, start in receivers.items():
                    target = Path(name) / receiver
                    target.mkdir()
                    with contextmanager(start)(target) as port:
                        rates[receiver].append(send(folders, port))
        own = statistics.median(rates["Relais"])
        for receiver, found in rates.items():
            median = statistics.median(found)
            ratio = "" if receiver == "Relais" else f"   Relais: {own / median:.2f} times that"
            spread = f"({min(found):.0f} to {max(found):.0f})"
            sys.stdout.write(f"  {associations} association(s)  {receiver:9} {median:7.0f} {spread:>14}{ratio}\n")


if __name__ == "__main__":
    main()
