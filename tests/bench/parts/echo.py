"""C-ECHO with an association of its own, beside DCMTK, and what memory many associations leave behind."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench import light_scu, peers, usage
from bench.figures import Figure, Goal, Limit
from bench.peers import Peer
from bench.run import Reading, Run, Size, expect

MB = 1024 * 1024
ALLOWED_MB = 4.0  # of growth: what the interpreter and its allocator may still settle at
WARM_UP = 200  # associations, after which everything that is loaded late is there
DOOR = ("--role", "dimse")  # of the processes behind the DIMSE port; others begin and end when they like


def run(run: Run) -> None:
    with run.workplace(in_memory=True) as folder, ExitStack() as started:
        relais = started.enter_context(peers.relais(folder / "relais"))
        found = [relais, started.enter_context(peers.storescp(folder / "storescp", forks=False))]
        for peer in found:
            _echoes(peer, run.size.echoes)
        case = "association, C-ECHO, release"
        run.beside("echo", case, "ms", peers.named(found), lambda peer: _echoes(peer, run.size.echoes))
        _echoes(relais, WARM_UP)
        before = _door_bytes(relais)
        _echoes(relais, run.size.many_associations)
        growth = (_door_bytes(relais) - before) / MB
        run.add(Figure("echo", _case(run.size), relais.name, "MB more", [growth]))


def goals(size: Size) -> Iterator[Goal | Limit]:
    yield Goal("echo", "storescp", 1 / 3)
    yield Limit("echo", _case(size), ALLOWED_MB)


def _case(size: Size) -> str:
    return f"memory after {size.many_associations} associations"


def _door_bytes(relais: Peer) -> int:
    doors = usage.called_with(relais.pid, *DOOR)
    resident = usage.each_resident(relais.pid)
    expect(bool(doors), True, "processes behind the DIMSE port")
    return sum(resident[pid] for pid in doors)


def _echoes(peer: Peer, count: int) -> Reading:
    """Milliseconds for each of *count*, one after the other."""
    used, began_at = usage.cpu_s(peer.pid), time.monotonic()
    for _ in range(count):
        expect(light_scu.echo(peer.dicom_port, peer.ae_title), 0, f"{peer.name}, status of C-ECHO")
    seconds = time.monotonic() - began_at
    return Reading(seconds * 1000 / count, {"CPU ms": (usage.cpu_s(peer.pid) - used) * 1000 / count})
