"""What `make bench-scale` found, as a table and as a picture. Knows figures, not how they came about."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.scale_queries import KEYED, OTHER, WILD, Kind, kinds

Report = dict[str, Any]
INTRODUCTION = """\
# The index at 10,000 and at 980,000 studies

Written by `make bench-scale`; its figures are those of one run, with the load that is told below. Eight invented
hospitals, ten years, 600,000 patients with French names, 3.4 million series. Searches go one at a time over an open
connection, each for another study, 100 rows at most, to a node that stores nothing meanwhile. CPU is what all processes
of the node used for one search: about what it takes where nothing else runs. A study holds one instance a series.

![p95 of each kind of search at both sizes](scale.png)

One run says little where other work shares the cores: [five runs](scale-runs/README.md) and what holds in all of them.

Not in the table: a key that only instances have, asked of the whole archive without a study, series or date. That looks
at every instance until `[index] read_timeout_s`.
"""


def table(small: Report, large: Report) -> Iterator[str]:
    """The report as Markdown."""
    yield from INTRODUCTION.splitlines()
    yield ""
    sizes = " | ".join(f"{one['studies']:,}: p50 / p95 / worst, CPU (ms)" for one in (small, large))
    yield f"| search | {sizes} | rows | p95 at most |"
    yield "|---|---|---|---|---|"
    for kind in kinds():
        yield _row(kind.name, kind, small["http"], large["http"])
        if kind.is_found_by_dimse:
            yield _row(f"C-FIND {kind.name}", kind, small["dimse"], large["dimse"])
    yield ""
    for one in (small, large):
        yield from _rest(one)


def _row(name: str, kind: Kind, small: Report, large: Report) -> str:
    a, b = small[kind.name], large[kind.name]
    times = " | ".join(f"{one['p50']:.1f} / {one['p95']:.1f} / {one['max']:.1f}, {one['cpu_ms']:.1f}" for one in (a, b))
    mark = "" if b["p95"] <= kind.limit_ms else " **missed**"
    return f"| {name} | {times} | {b['rows']:g} | {kind.limit_ms:g}{mark} |"


def _rest(one: Report) -> Iterator[str]:
    recount, written = one["recount"], one["ingest"]
    yield f"{one['studies']:,} studies, load {one['load_before']:.1f} to {one['load_after']:.1f}:"
    yield ""
    yield f"- {one['size']['bytes_a_study']} bytes a study without its instances"
    yield f"- ready {one['start_s']} s after the start; processes hold {sorted(one['memory_mb'].values())} MB"
    yield f"- all counters proven in {recount['s']} s, {recount['differences']} differences"
    yield (
        f"- {written['instances_per_s']} instances/s registered, acknowledged in {_times(written['acknowledged'])}, "
        f"while eight readers wait {_times(written['readers'])}"
    )
    yield ""


def _times(one: Report) -> str:
    return f"{one['p50']} / {one['p95']} / {one['max']} ms"


def plot(small: Report, large: Report, path: Path) -> None:
    """p95 of every kind at both sizes; needs matplotlib, which only developers have."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = {KEYED: "tab:blue", WILD: "tab:orange", OTHER: "tab:grey"}
    figure, axes = plt.subplots(figsize=(7, 6))
    for kind in kinds():
        ends = [one["http"][kind.name]["p95"] for one in (small, large)]
        axes.plot([small["studies"], large["studies"]], ends, marker="o", color=colours[kind.limit_ms], alpha=0.6)
    for limit, colour in colours.items():
        axes.axhline(limit, color=colour, linestyle=":", label=f"limit of {limit:g} ms")
    axes.set(
        xscale="log", yscale="log", xlabel="studies", ylabel="p95 over HTTP, ms", title="Searches, one line a kind"
    )
    axes.legend()
    figure.savefig(path, dpi=110)
