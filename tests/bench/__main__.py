"""`python -m bench`, for `make bench`: Relais beside DCMTK, Orthanc and nginx, in one run on one machine.

    make bench                           everything, a quarter of an hour, 25 GB of disk; kept in docs/benchmarks
    make bench PARTS="store find"        only these parts
    make bench SIZE=quick PARTS=store    less of it, for a first impression; kept in build/bench

Every peer has its turn in every round, so that what else happens on the machine hits all alike; only ratios mean
something. What a peer keeps or sends is checked, count and bytes: a figure for wrong work is no figure.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench import machine, plot, report
from bench.figures import compare
from bench.parts import echo, find, memory, nagle, rendered, retrieve, store, stow, unflushed, viewer, web
from bench.run import FULL, PREFIX, SIZES, Run

PARTS = {
    "store": store,
    "unflushed": unflushed,
    "nagle": nagle,
    "retrieve": retrieve,
    "find": find,
    "echo": echo,
    "web": web,
    "stow": stow,
    "rendered": rendered,
    "viewer": viewer,
    "memory": memory,
}
ROOT = Path(__file__).parents[2]
KEPT, NOT_KEPT = ROOT / "docs/benchmarks", ROOT / "build/bench"


def main() -> None:
    options = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").split("\n", 1)[0])
    options.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    options.add_argument("--size", choices=SIZES, default="full")
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    options.add_argument("--into", type=Path, help="where the results go")
    chosen = options.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        options.error(f"no part is called {', '.join(sorted(unknown))}")
    os.environ["TCP_NODELAY"] = "1"  # for all that is built on DCMTK
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))  # so that every peer is ended, and every folder removed
    facts = machine.facts(chosen.folder)
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        run = Run(SIZES[chosen.size], Path(folder))
        failed = _measure(run, chosen.parts or PARTS)
    goals = [goal for name in chosen.parts or PARTS for goal in PARTS[name].goals(run.size)]
    into = chosen.into or (KEPT if chosen.size == FULL.name else NOT_KEPT)
    lines = report.table(list(compare(run.figures, goals)), report.earlier(into / "runs", chosen.size))
    facts["load_average_after"] = machine.load()
    loads = [f"{facts[name]}" for name in ("load_average_before", "load_average_after")]
    _say("", *lines, f"load average {' before, '.join(loads)} after, {facts['cores']} cores")
    found = report.to_json(facts, chosen.size, run.figures, goals)
    _keep(into, found | {"failed": {f"failed {name}": why for name, why in failed.items()}}, is_whole=not chosen.parts)
    sys.exit(bool(failed))


def _measure(run: Run, names: Iterable[str]) -> dict[str, str]:
    """Do each part; those that failed, and why."""
    failed = {}
    for name in names:
        began_at = time.monotonic()
        _say(f"{name}: {(PARTS[name].__doc__ or '').splitlines()[0]}")
        try:
            PARTS[name].run(run)
        except Exception as exc:  # the others may still be worth something
            traceback.print_exc()
            failed[name] = f"{type(exc).__name__}: {exc}"
        _say(f"  {time.monotonic() - began_at:.0f} s")
    return failed


def _keep(into: Path, found: dict[str, Any], *, is_whole: bool) -> None:
    """The run among the runs; of a whole one also the table and the picture."""
    (into / "runs").mkdir(parents=True, exist_ok=True)
    path = into / "runs" / f"{found['machine']['at'].replace(':', '')}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    if is_whole:
        (into / "results.md").write_text("\n".join(report.markdown(found)) + "\n")
        plot.draw(found, into / "results.png")
    _say(f"kept in {path}")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
