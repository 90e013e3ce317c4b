"""C-GET and C-MOVE of a study of CT slices, beside DCMTK's archive and Orthanc."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench import data, light_scu, peers, usage
from bench.figures import Goal
from bench.light_scp import Sink, sink
from bench.light_sender import send
from bench.peers import DESTINATION, Peer
from bench.run import Reading, Run, Size, WrongResult, expect
from bench.template import Template

MB = 1024 * 1024


def run(run: Run) -> None:
    study = data.a_ct_slice()
    with run.workplace() as folder, sink() as destination, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais", destination.port)),
            started.enter_context(peers.orthanc(folder / "orthanc", destination.port)),
            started.enter_context(peers.dcmqrscp(folder / "dcmqrscp", destination.port)),
        ]
        for peer in found:
            sent = send(peer.dicom_port, [study], run.size.ct, peer.ae_title)
            expect((sent.count, sent.failures), (run.size.ct, 0), f"{peer.name}, instances stored and refused")
        _case(run, "get", found, lambda peer: _get(peer, study, run.size.ct))
        _case(run, "move", found, lambda peer: _move(peer, study, run.size.ct, destination))


def goals(size: Size) -> Iterator[Goal]:
    for part in ("get", "move"):
        yield Goal(part, "Orthanc", 1.5)
        yield Goal(part, "dcmqrscp", 1.0)


def _case(run: Run, part: str, found: list[Peer], retrieve: Callable[[Peer], None]) -> None:
    for peer in found:
        usage.forget_peak(peer.pid)
        retrieve(peer)
    case = f"study of {run.size.ct} CT"
    run.beside(part, case, "instances/s", peers.named(found), lambda peer: _timed(peer, retrieve, run.size.ct))


def _timed(peer: Peer, retrieve: Callable[[Peer], None], count: int) -> Reading:
    used, began_at = usage.cpu_s(peer.pid), time.monotonic()
    retrieve(peer)
    seconds, used = time.monotonic() - began_at, usage.cpu_s(peer.pid) - used
    return Reading(count / seconds, {"CPU ms": used * 1000 / count, "peak MB": usage.peak_bytes(peer.pid) / MB})


def _get(peer: Peer, study: Template, count: int) -> None:
    came = light_scu.get(peer.dicom_port, peer.ae_title, study.study_instance_uid, study.sop_class_uid)
    expect((came.status, came.instances), (0, count), f"{peer.name}, status and instances of C-GET")
    _check_bytes(peer, came.bytes, study, count)


def _move(peer: Peer, study: Template, count: int, destination: Sink) -> None:
    status = light_scu.move(peer.dicom_port, peer.ae_title, study.study_instance_uid, DESTINATION)
    instances, received = destination.take()
    expect((status, instances), (0, count), f"{peer.name}, status and instances of C-MOVE")
    _check_bytes(peer, received, study, count)


def _check_bytes(peer: Peer, received: int, study: Template, count: int) -> None:
    """A peer may write the elements before the pixels in its own way; we must not."""
    whole, pixels = study.dataset_bytes * count, len(study.tail) * count
    if received < pixels or (peer.name == "Relais" and received != whole):
        raise WrongResult(f"{peer.name} sent {received} bytes, not {whole}")
