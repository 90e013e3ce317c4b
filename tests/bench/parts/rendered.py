"""Rendered JPEG images beside Orthanc's plugin: of instances that nobody has looked at, and again."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench import data, light_http, peers, usage
from bench.figures import Goal
from bench.light_http import get
from bench.run import Reading, Run, Size
from bench.studies import Series, sent_by_dimse

JPEG = "image/jpeg"
CLIENTS = 8  # of two it is chance whether they have a web process each: a round was half as fast as another
WARM_UP = 32  # images, so many that every decoding process of every web process is started
LEAST_BYTES = 500
FIRST, AGAIN = "CT as JPEG, first time", "CT as JPEG, again"


def run(run: Run) -> None:
    each = max(run.size.ct // 5, CLIENTS)
    with run.workplace() as folder, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais")),
            started.enter_context(peers.orthanc(folder / "orthanc")),
        ]
        ct = data.a_ct_slice()
        rounds = {peer.name: [sent_by_dimse(peer, ct, each, CLIENTS) for _ in range(run.size.rounds)] for peer in found}
        for peer in found:
            _rendered(sent_by_dimse(peer, ct, WARM_UP, CLIENTS), 0)
        unseen = {name: iter(series) for name, series in rounds.items()}
        run.beside("rendered", FIRST, "images/s", unseen, lambda series: _rendered(next(series), 0))
        again = {name: series[-1] for name, series in rounds.items()}
        run.beside("rendered", AGAIN, "images/s", again, lambda series: _rendered(series, run.size.seconds))


def goals(size: Size) -> Iterator[Goal]:
    yield Goal("rendered", "Orthanc", 1.0, FIRST)
    yield Goal("rendered", "Orthanc", 5.0, AGAIN)


def _rendered(series: Series, seconds: float) -> Reading:
    """Images a second."""
    requests = [get(f"{url}/rendered", JPEG) for url in series.instances]
    used = usage.cpu_s(series.peer.pid)
    asked = light_http.ask(series.url, [requests[number::CLIENTS] for number in range(CLIENTS)], LEAST_BYTES, seconds)
    cpu_ms = (usage.cpu_s(series.peer.pid) - used) * 1000 / asked.count
    return Reading(asked.rate, {"CPU ms": cpu_ms, "client CPU ms": asked.cpu_s * 1000 / asked.count})
