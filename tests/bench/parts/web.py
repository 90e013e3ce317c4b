"""DICOMweb reads beside Orthanc's plugin and nginx: metadata, frames, instances, a study, searches.

And beside a view that does nothing but give back as many bytes: no goal, but what is possible with Flask at all.
"""

import gzip
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import zstandard

from bench import data, light_http, peers, usage
from bench.figures import Goal
from bench.light_http import Client, get
from bench.light_sender import send
from bench.peers import Peer
from bench.run import Reading, Run, Size, expect
from bench.studies import Series, search, sent_by_dimse
from bench.template import PATIENT_ID, Template

MB = 1024 * 1024
CLIENTS = 8
SENDERS = 4
JSON = "application/dicom+json"
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
AS_BROWSERS = "gzip, deflate, br, zstd"
AS_BROWSERS_ASK = ", as browsers ask"
DECODERS: Mapping[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
LEAST_METADATA = 1000  # bytes of an instance
LEAST_STUDY = 300

Requested = Callable[[str], bytes]
Asked = tuple[Peer, list[bytes]]
"""A peer and what is asked of it, again and again."""


def run(run: Run) -> None:
    ct = data.a_ct_slice()
    with run.workplace() as folder, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais")),
            started.enter_context(peers.orthanc(folder / "orthanc")),
        ]
        _first_metadata(run, found)
        series = {peer.name: sent_by_dimse(peer, ct, run.size.ct, SENDERS) for peer in found}
        empty = started.enter_context(peers.empty_view(folder / "empty"))
        _warm_metadata(run, series, empty)
        _as_browsers_ask(run, series, empty)
        _slices(run, "frames", series, empty, lambda url: get(f"{url}/frames/1", FRAMES), len(ct.tail))
        _slices(run, "instances", series, empty, lambda url: get(url, DICOM), ct.dataset_bytes)
        _study(run, series, ct, started, folder)
        _searches(run, found, empty)


def goals(size: Size) -> Iterator[Goal]:
    yield Goal("metadata", "Orthanc", 3.0, f"{size.ct} instances, first time")
    for how in ("", AS_BROWSERS_ASK):
        yield Goal("metadata", "Orthanc", 20.0, f"{size.ct} instances, warm{how}")
    yield Goal("frames", "Orthanc", 3.0)
    yield Goal("instances", "Orthanc", 3.0)
    yield Goal("study", "Orthanc", 3.0)
    yield Goal("study", "nginx", 0.4)
    yield Goal("qido", "Orthanc", 10.0)


def _first_metadata(run: Run, found: Sequence[Peer]) -> None:
    """Of a series whose last instance was acknowledged a moment ago."""
    case = f"{run.size.ct} instances, first time"

    def measure(peer: Peer) -> Reading:
        return Reading(_milliseconds(sent_by_dimse(peer, data.a_small_slice(), run.size.ct, SENDERS)))

    run.beside("metadata", case, "ms", peers.named(found), measure)


def _warm_metadata(run: Run, series: Mapping[str, Series], empty: Peer) -> None:
    asked = {name: (one.peer, [get(f"{one.url}/metadata", JSON)]) for name, one in series.items()}

    def measure(one: Asked) -> Reading:
        found = _asked(run, one, 1, LEAST_METADATA * run.size.ct)
        return Reading(1000 / found.value, found.details)

    run.beside("metadata", f"{run.size.ct} instances, warm", "ms", _and_empty(asked, empty), measure)


def _as_browsers_ask(run: Run, series: Mapping[str, Series], empty: Peer) -> None:
    """The same again, compressed where a peer does that for a browser; what it says is looked at beforehand."""
    asked = {}
    for name, one in series.items():
        url = f"{one.url}/metadata"
        length = _length_as_browsers_ask(url)
        expect(length > LEAST_METADATA * run.size.ct, True, f"{name}, metadata of {length} bytes when decompressed")
        asked[name] = (one.peer, [get(url, JSON, AS_BROWSERS)])

    def measure(one: Asked) -> Reading:
        found = _asked(run, one, 1, 1)
        return Reading(1000 / found.value, found.details)

    case = f"{run.size.ct} instances, warm{AS_BROWSERS_ASK}"
    run.beside("metadata", case, "ms", _and_empty(asked, empty), measure)


def _length_as_browsers_ask(url: str) -> int:
    """Of the answer when it is decompressed."""
    request = urllib.request.Request(url, headers={"Accept": JSON, "Accept-Encoding": AS_BROWSERS})
    with urllib.request.urlopen(request) as response:
        return len(DECODERS[response.headers["Content-Encoding"]](response.read()))


def _milliseconds(series: Series) -> float:
    client = Client(_port(series.url))
    began_at = time.monotonic()
    status, length = client.ask(get(f"{series.url}/metadata", JSON))
    seconds = time.monotonic() - began_at
    client.close()
    expect((status, length > LEAST_METADATA * len(series.instances)), (200, True), f"{series.peer.name}, metadata")
    return seconds * 1000


def _slices(
    run: Run, part: str, series: Mapping[str, Series], empty: Peer, request: Requested, least_bytes: int
) -> None:
    """One after the other by several clients at once."""
    asked = {name: (one.peer, [request(url) for url in one.instances]) for name, one in series.items()}
    measure = partial(_asked, run, clients=CLIENTS, least_bytes=least_bytes)
    run.beside(part, f"CT, {CLIENTS} clients", "requests/s", _and_empty(asked, empty), measure)


def _study(run: Run, series: Mapping[str, Series], ct: Template, started: ExitStack, folder: Path) -> None:
    """All instances in one answer, beside a file of the same size."""
    whole = ct.dataset_bytes * run.size.ct
    asked = {name: (one.peer, [get(one.study_url, DICOM)]) for name, one in series.items()}
    if peers.has_nginx():
        _write(folder / "root/study", whole)
        server = started.enter_context(peers.nginx(folder / "nginx", folder / "root"))
        asked[server.name] = (server, [get(f"{server.url}/study")])

    def measure(one: Asked) -> Reading:
        found = _asked(run, one, 1, whole)
        return Reading(found.details["MB/s"], {name: found.details[name] for name in ("CPU ms", "client CPU ms")})

    run.beside("study", f"{run.size.ct} CT, 1 client", "MB/s", asked, measure)


def _searches(run: Run, found: Sequence[Peer], empty: Peer) -> None:
    """For one patient among many, another one each time."""
    count = run.size.small - run.size.small % SENDERS
    patients = [f"{PATIENT_ID[0]}{number:07}" for number in range(count)]
    for peer in found:
        sent = send(peer.dicom_port, [data.a_small_slice()] * SENDERS, count, peer.ae_title, own_studies=True)
        expect(sent.failures, 0, f"{peer.name}, responses other than Success")
        expect(len(search(_studies_of(peer, patients[-1]))), 1, f"{peer.name}, studies of one patient")
    asked = {peer.name: (peer, [get(_studies_of(peer, patient), JSON) for patient in patients]) for peer in found}
    measure = partial(_asked, run, clients=CLIENTS, least_bytes=LEAST_STUDY)
    run.beside("qido", f"{count} studies, {CLIENTS} clients", "requests/s", _and_empty(asked, empty), measure)


def _and_empty(asked: Mapping[str, Asked], empty: Peer) -> Mapping[str, Asked]:
    """*asked*, and behind it as many bytes as the first peer answers with, from the *empty* view."""
    peer, requests = next(iter(asked.values()))
    client = Client(_port(peer.url))
    _, length = client.ask(requests[0])
    client.close()
    return {**asked, empty.name: (empty, [get(f"{empty.url}/{length}")])}


def _asked(run: Run, one: Asked, clients: int, least_bytes: int) -> Reading:
    """Requests a second by so many clients, each with a part of the requests, for so long as the size says."""
    peer, requests = one
    used = usage.cpu_s(peer.pid)
    shares = [requests[number::clients] or requests for number in range(clients)]
    asked = light_http.ask(peer.url, shares, least_bytes, run.size.seconds)
    cpu_ms = (usage.cpu_s(peer.pid) - used) * 1000 / asked.count
    client_ms = asked.cpu_s * 1000 / asked.count
    return Reading(asked.rate, {"CPU ms": cpu_ms, "client CPU ms": client_ms, "MB/s": asked.bytes_per_s / MB})


def _studies_of(peer: Peer, patient_id: str) -> str:
    return f"{peer.url}/studies?PatientID={patient_id}"


def _write(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for at in range(0, count, MB):
            file.write(bytes(range(256)) * 4096 if count - at >= MB else bytes(count - at))


def _port(url: str) -> int:
    return urlsplit(url).port or 80
