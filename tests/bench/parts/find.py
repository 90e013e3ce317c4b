"""C-FIND with many matches, beside Orthanc; both keep what they were sent in memory, one small instance a study."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench import data, light_scu, peers, usage
from bench.figures import Goal
from bench.light_sender import send
from bench.peers import Peer
from bench.run import Reading, Run, Size, expect
from bench.wire import identifier

SENDERS = 4
DATES = "20240101-20241231"  # all of them
KEYS = {
    "CS00080052": "STUDY",
    "DA00080020": DATES,
    "TM00080030": "",
    "SH00080050": "",
    "LO00081030": "",
    "PN00080090": "",
    "PN00100010": "",
    "LO00100020": "",
    "DA00100030": "",
    "CS00100040": "",
    "UI0020000D": "",
    "SH00200010": "",
}
CASES = {"12 keys": KEYS, "with modalities and counts": KEYS | {"CS00080061": "", "IS00201206": "", "IS00201208": ""}}


def run(run: Run) -> None:
    matches = run.size.matches - run.size.matches % SENDERS
    with run.workplace(in_memory=True) as folder, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais")),
            started.enter_context(peers.orthanc(folder / "orthanc")),
        ]
        for peer in found:
            _fill(peer, matches)
        for name, keys in CASES.items():
            _case(run, found, f"{matches} matches, {name}", identifier(**keys), matches)


def goals(size: Size) -> Iterator[Goal]:
    yield Goal("find", "Orthanc", 3.0)


def _case(run: Run, found: list[Peer], name: str, keys: bytes, matches: int) -> None:
    for peer in found:
        _find(peer, keys, matches)
    run.beside("find", name, "responses/s", peers.named(found), lambda peer: _find(peer, keys, matches))


def _fill(peer: Peer, count: int) -> None:
    template = data.a_small_slice()
    sent = send(peer.dicom_port, [template] * SENDERS, count, peer.ae_title, own_studies=True)
    expect((sent.count, sent.failures), (count, 0), f"{peer.name}, studies stored and refused")


def _find(peer: Peer, keys: bytes, matches: int) -> Reading:
    """Responses a second, and CPU ms for each, association included."""
    used, began_at = usage.cpu_s(peer.pid), time.monotonic()
    expect(light_scu.find(peer.dicom_port, peer.ae_title, keys), matches, f"{peer.name}, matches")
    seconds = time.monotonic() - began_at
    return Reading(matches / seconds, {"CPU ms": (usage.cpu_s(peer.pid) - used) * 1000 / matches})
