"""Durable C-STORE beside Orthanc, which flushes its files too, and storescp, which flushes nothing and has no index."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench import data, loads, peers
from bench.figures import Goal
from bench.loads import Case
from bench.run import Run, Size


def run(run: Run) -> None:
    with run.workplace() as folder, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais")),
            started.enter_context(peers.orthanc(folder / "orthanc")),
            started.enter_context(peers.storescp(folder / "storescp")),
        ]
        floor = started.enter_context(peers.floor(folder / "floor"))
        for case in _cases(run.size):
            loads.store(run, "store", [*found, floor] if _is_small(case) else found, case)


def goals(size: Size) -> Iterator[Goal]:
    """Twice Orthanc with one association, three times with eight; nothing is promised for what lies between."""
    wanted = {1: 2.0, 8: 3.0}
    for case in _cases(size):
        if _is_small(case) and case.associations in wanted:
            yield Goal("store", "Orthanc", wanted[case.associations], case.name)


def _is_small(case: Case) -> bool:
    """Whether it is of slices, each of which is durable by itself."""
    return case.template.repeat == 1


def _cases(size: Size) -> Iterator[Case]:
    ct, mr = data.a_ct_slice(), data.an_mr_slice()
    for associations in size.associations:
        yield Case(ct, size.ct, associations)
    for associations in dict.fromkeys((size.associations[0], size.associations[-1])):
        yield Case(mr, size.mr, associations)
    yield Case(data.a_multiframe_of(size.multiframe_mb), 1, 1)
