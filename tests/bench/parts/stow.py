"""STOW-RS beside Orthanc's plugin, durable as either is by default."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench import data, light_http, peers, usage
from bench.figures import Goal
from bench.light_http import post
from bench.loads import files
from bench.peers import Peer
from bench.run import Reading, Run, Size, expect

TOGETHER = 10  # instances in a request
BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"  # as long as clients' own: a shorter one takes longer to be found
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def run(run: Run) -> None:
    with run.workplace() as folder, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais")),
            started.enter_context(peers.orthanc(folder / "orthanc")),
        ]
        for clients in (1, 4):
            count = max(run.size.ct // 2 // (TOGETHER * clients), 1) * TOGETHER * clients
            for peer in found:
                _store(peer, clients=1, count=TOGETHER)
            case = f"{count} CT, {clients} client{'s' * (clients > 1)}"
            measure = partial(_store, clients=clients, count=count)
            run.beside("stow", case, "instances/s", peers.named(found), measure)


def goals(size: Size) -> Iterator[Goal]:
    yield Goal("stow", "Orthanc", 2.0)


def _store(peer: Peer, *, clients: int, count: int) -> Reading:
    """Instances a second; all of them must then be kept."""
    assert peer.files is not None
    before, used = len(list(files(peer.files))), usage.cpu_s(peer.pid)
    shares = [_requests(peer, count // clients) for _ in range(clients)]
    asked = light_http.ask(peer.url, shares, 0)
    used = usage.cpu_s(peer.pid) - used
    expect(len(list(files(peer.files))) - before, count, f"{peer.name}, instances kept")
    return Reading(count / (asked.ended_at - asked.began_at), {"CPU ms": used * 1000 / count})


def _requests(peer: Peer, count: int) -> list[bytes]:
    new = [file for _, file in data.a_ct_slice().of_new_study().part10(count)]
    return [
        post(f"{peer.url}/studies", CONTENT_TYPE, _body(new[at : at + TOGETHER])) for at in range(0, count, TOGETHER)
    ]


def _body(instances: list[bytes]) -> bytes:
    part = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(part + file + b"\r\n" for file in instances) + f"--{BOUNDARY}--\r\n".encode()
