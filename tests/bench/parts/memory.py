"""How much memory the web processes take for an instance that is larger than any of them should ever be."""

from collections.abc import Callable, Iterator

from bench import peers, usage
from bench.figures import Figure, Limit
from bench.light_http import Client, get
from bench.run import Run, Size, expect
from fixtures.giant import a_giant

MB = 1024 * 1024
ALLOWED_MB = 64.0
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def run(run: Run) -> None:
    giant = a_giant(2 * run.size.stream_mb)
    with run.workplace() as folder, peers.relais(folder / "relais") as relais:
        port = int(relais.url.split(":")[2].split("/")[0])
        series = f"{relais.url}/studies/{giant.study_instance_uid}"
        stored = _growth(relais.pid, lambda: expect(giant.stow(port), 200, "status of STOW-RS"))
        read = _growth(relais.pid, lambda: _read(port, series, giant.frames * MB))
        for (case, _), growth in zip(_cases(run.size), (stored, read), strict=True):
            run.add(Figure("memory", case, relais.name, "MB more", [growth]))


def goals(size: Size) -> Iterator[Limit]:
    for case, limit in _cases(size):
        yield Limit("memory", case, limit)


def _cases(size: Size) -> list[tuple[str, float]]:
    return [(f"{verb} an instance of {2 * size.stream_mb} MB", ALLOWED_MB) for verb in ("storing", "streaming")]


def _growth(pid: int, work: Callable[[], None]) -> float:
    """How much more memory than before, in MB, the process that grew most has had meanwhile."""
    usage.forget_peak(pid)
    before = usage.each_resident(pid)
    work()
    return max(peak - before.get(one, peak) for one, peak in usage.each_peak(pid).items()) / MB


def _read(port: int, url: str, least_bytes: int) -> None:
    client = Client(port)
    status, length = client.ask(get(url, DICOM))
    client.close()
    expect((status, length > least_bytes), (200, True), "status and length of the whole instance")
