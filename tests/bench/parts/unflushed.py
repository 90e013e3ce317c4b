"""C-STORE to where a flush costs nothing, beside storescp, and whether the sender keeps up."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from bench import data, loads, peers
from bench.figures import Goal
from bench.light_scp import sink
from bench.loads import Case
from bench.peers import Peer
from bench.run import Run, Size


def run(run: Run) -> None:
    with run.workplace(in_memory=True) as folder, ExitStack() as started:
        found = [
            started.enter_context(peers.relais(folder / "relais")),
            started.enter_context(peers.storescp(folder / "storescp", peers.FORK)),
        ]
        for case in _cases(run.size):
            loads.store(run, "unflushed", found, case, trace=False)
    with run.workplace(in_memory=True) as folder, ExitStack() as started:
        nothing = started.enter_context(sink())
        ignoring = started.enter_context(peers.storescp(folder / "storescp", peers.FORK, "--ignore"))
        found = [
            Peer("light sink", os.getpid(), "SINK", nothing.port),
            replace(ignoring, name="storescp --ignore", files=None),
        ]
        for case in _cases(run.size):
            loads.store(run, "sender", found, case, trace=False)


def goals(size: Size) -> Iterator[Goal]:
    yield Goal("unflushed", "storescp", 0.8)
    yield Goal("sender", "storescp --ignore", 1.0)


def _cases(size: Size) -> Iterator[Case]:
    for associations in dict.fromkeys((size.associations[0], size.associations[-1])):
        yield Case(data.a_ct_slice(), size.ct, associations)
        yield Case(data.an_mr_slice(), size.mr, associations)
