"""C-STORE to where a flush costs nothing, beside storescp; and whether the sender could do more than is asked of it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

from bench import data, loads, peers
from bench.figures import Goal, Limit
from bench.loads import Case, Loaded
from bench.run import Reading, Run, Size

BUSY_PERCENT = 50.0  # a sender that is busy for longer would be what is measured


def run(run: Run) -> None:
    with run.workplace(in_memory=True) as folder, ExitStack() as started:
        door = started.enter_context(peers.receiver(folder / "door"))
        relais = started.enter_context(peers.relais(folder / "relais"))
        storescp = started.enter_context(peers.storescp(folder / "storescp"))
        preserving = started.enter_context(peers.storescp(folder / "preserving", peers.BIT_PRESERVING))
        ignoring = started.enter_context(peers.storescp(folder / "ignoring", peers.IGNORE))
        for case in _cases(run.size):
            loads.store(run, "received", [door, storescp, preserving], case, trace=False)
            loads.store(run, "unflushed", [relais, storescp], case, trace=False)
            _sender(run, Loaded(ignoring), case)


def goals(size: Size) -> Iterator[Goal | Limit]:
    """Of the whole node nothing is asked here: storescp has no index, and reads no header."""
    yield Goal("received", "storescp", 0.8)
    for case in _cases(size):
        yield Limit("sender", case.name, BUSY_PERCENT)


def _sender(run: Run, ignoring: Loaded, case: Case) -> None:
    """How busy the sender is while it sends to the fastest receiver there is."""
    cores = min(case.associations, len(os.sched_getaffinity(0)))

    def measure(one: Loaded) -> Reading:
        sent = one.load(case)
        return Reading(100 * sent.cpu_s / sent.seconds / cores, {"instances/s": sent.rate})

    run.beside("sender", case.name, "% busy", {ignoring.peer.name: ignoring}, measure)


def _cases(size: Size) -> Iterator[Case]:
    for associations in dict.fromkeys((size.associations[0], size.associations[-1])):
        yield Case(data.a_ct_slice(), size.ct, associations)
        yield Case(data.an_mr_slice(), size.mr, associations)
