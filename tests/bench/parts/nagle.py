"""A DCMTK sender at its defaults, with Nagle's algorithm, beside one without it; both send to Relais."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench import data, peers
from bench.figures import Goal
from bench.peers import Peer
from bench.run import Reading, Run, Size, expect

SENDERS = {"Nagle on": "", "Nagle off": "1"}  # TCP_NODELAY, as DCMTK's programs read it
NO_SLOWER = 0.95  # what lies closer to 1 is noise
ROUNDS = 5  # for each of other parts: two runs of the same sender differ by more than what is to be told apart
MOST = 240  # instances at a time


def run(run: Run) -> None:
    count = min(run.size.mr, MOST)
    with run.workplace(in_memory=True) as folder, peers.relais(folder / "relais") as relais:
        _send(relais, "1", folder / "warm", 2)
        case, files = f"{count} MR from storescu", folder / "files"

        def measure(environ: str) -> Reading:
            return _send(relais, environ, files, count)

        run.beside("nagle", case, "instances/s", SENDERS, measure, times=ROUNDS)


def goals(size: Size) -> Iterator[Goal]:
    yield Goal("nagle", "Nagle off", NO_SLOWER)


def _send(peer: Peer, tcp_nodelay: str, folder: Path, count: int) -> Reading:
    """New files by storescu, its start and its end included; instances a second."""
    folder.mkdir()
    for uid, file in data.an_mr_slice().part10(count):
        (folder / uid).write_bytes(file)
    environ = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    environ |= {"TCP_NODELAY": tcp_nodelay} if tcp_nodelay else {}
    command = ["storescu", "+sd", "-aec", peer.ae_title, "127.0.0.1", str(peer.dicom_port), str(folder)]
    began_at = time.monotonic()
    ran = subprocess.run(command, env=environ, capture_output=True, check=False)
    seconds = time.monotonic() - began_at
    expect(ran.returncode, 0, f"storescu {ran.stderr.decode()}")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return Reading(count / seconds)
