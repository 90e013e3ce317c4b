"""Durable C-STORE beside Orthanc, which flushes its files too, and storescp, which flushes nothing and has no index."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench import data, loads, peers
from bench.figures import Goal
from bench.run import Run


def run(run: Run) -> None:
    with run.workplace() as folder, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais")),
            started.enter_context(peers.orthanc(folder / "orthanc")),
            started.enter_context(peers.storescp(folder / "storescp")),
        ]
        few, many = run.size.associations[0], run.size.associations[-1]
        for associations in run.size.associations:
            loads.store(run, "store", found, data.a_ct_slice(), associations, run.size.ct)
        for associations in dict.fromkeys((few, many)):
            loads.store(run, "store", found, data.an_mr_slice(), associations, run.size.mr)
        loads.store(run, "store", found, data.a_multiframe_of(run.size.multiframe_mb), 1, 1)


def goals(run: Run) -> Iterator[Goal]:
    """Twice Orthanc with one association, three times with eight; nothing is promised between them."""
    for kind, count in (("CT", run.size.ct), ("MR", run.size.mr)):
        for associations, factor in ((1, 2.0), (8, 3.0)):
            yield Goal("store", "Orthanc", factor, loads.case_of(kind, count, associations))
