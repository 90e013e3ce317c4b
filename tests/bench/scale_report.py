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
connection, each for another study, 100 rows at most, to a node that stores nothing meanwhile; a time ends with the last
byte of the answer. CPU is what all processes of the node used for one search: about what it takes where nothing else
runs. A study holds one instance a series.

![p95 of each kind of search at both sizes](scale.png)

One run says little where other work shares the cores: [other runs](scale-runs/README.md) and what holds in them.

Not in the table: a key that only instances have, asked of the whole archive without a study, series or date. That looks
at every instance until `[index] read_timeout_s`.
"""
BESIDE = """\
The same studies as in the smaller index of Relais, one instance without pixels a series, given to its REST API by four
clients. Its index, SQLite, is at its defaults; its DICOMweb plugin keeps no cache of metadata, which no search reads
and which would be made meanwhile, and finds names in any case. A quarter as many searches of each kind as of Relais.
Names with letters that a URL escapes it does not find.
No larger Orthanc was measured: what it would take at 980,000 is not told here.
"""
WORST_MS, TIMES = 200.0, 2.0  # of any search; of its median at the smaller size
Goal = tuple[str, str, str, bool]  # what, the aim, what was found, whether that is met


def report(small: Report, large: Report, packed: dict[str, float]) -> Iterator[str]:
    """Everything as Markdown."""
    yield from INTRODUCTION.splitlines()
    yield ""
    yield "| goal | aim | found | |"
    yield "|---|---|---|---|"
    for what, aim, found, is_met in [*_of_searches(small, large), *_of_the_rest(large, packed)]:
        yield f"| {what} | {aim} | {found} | {'met' if is_met else '**missed**'} |"
    yield ""
    yield from _table(small, large)
    for one in (small, large):
        yield from _rest(one)


def _of_searches(small: Report, large: Report) -> Iterator[Goal]:
    names = {KEYED: "keyed and dated searches, p95", WILD: "names with wild cards and fuzzy ones, p95"}
    for limit, what in names.items():
        found = [large["http"][kind.name]["p95"] for kind in kinds() if kind.limit_ms == limit]
        yield what, f"{limit:g} ms", _share(found, limit), max(found) <= limit
    worst = [one["max"] for one in large["http"].values()]
    yield "each single search", f"{WORST_MS:g} ms", _share(worst, WORST_MS), max(worst) <= WORST_MS
    for what, found in (("all searches", large["http"]), ("for as many rows", large["http"] | large["as_many"])):
        times = [found[kind.name]["p50"] / small["http"][kind.name]["p50"] for kind in kinds()]
        yield (
            f"median within {TIMES:g} times that at {small['studies']:,}: {what}",
            f"{TIMES:g}",
            _share(times, TIMES),
            max(times) <= TIMES,
        )


def _share(found: list[float], limit: float) -> str:
    """How many are within *limit*, and the worst."""
    return f"{sum(one <= limit for one in found)} of {len(found)}, worst {max(found):.3g}"


def is_alike(a: Report, b: Report) -> bool:
    """Whether a search brings about as many rows at both sizes: what brings more rows has more to do."""
    return bool(b["rows"] <= 1.5 * a["rows"] + 1)


def _of_the_rest(large: Report, packed: dict[str, float]) -> Iterator[Goal]:
    written, size = large["ingest"], large["size"]["bytes_a_study"]
    rate, worst = written["instances_per_s"], written["acknowledged"]["max"]
    yield "instances registered beside eight readers", "1,000/s", f"{rate:,}/s", rate >= 1000
    yield "the longest wait for one of them", "1,000 ms", f"{worst:g} ms", worst <= 1000
    yield "ready after the start", "5 s", f"{large['start_s']} s", large["start_s"] <= 5
    yield "a study without its instances", "2,000 bytes", f"{size:,}", size <= 2000
    for way, found in packed.items():
        yield f"a packed instance, UIDs {way}", "40 bytes", f"{found}", found <= 40


def _table(small: Report, large: Report) -> Iterator[str]:
    yield from _heads(small, large)
    for kind in kinds():
        yield _row(kind.name, kind, small["http"], large["http"])
        if kind.is_found_by_dimse:
            yield _row(f"C-FIND {kind.name}", kind, small["dimse"], large["dimse"])
    yield ""
    yield "Those that bring more rows from the larger index, asked of it for as many as the smaller one had:"
    yield ""
    yield from _heads(small, large)
    for kind in kinds():
        if kind.name in large["as_many"]:
            yield _row(kind.name, kind, small["http"], large["as_many"])
    yield ""


def _heads(small: Report, large: Report) -> Iterator[str]:
    sizes = " | ".join(f"{one['studies']:,}: p50 / p95 / worst, CPU (ms), rows" for one in (small, large))
    yield f"| search | {sizes} | p50, times | p95 at most |"
    yield "|---|---|---|---|---|"


def _row(name: str, kind: Kind, small: Report, large: Report) -> str:
    a, b = small[kind.name], large[kind.name]
    found = " | ".join(
        f"{one['p50']:.1f} / {one['p95']:.1f} / {one['max']:.1f}, {one['cpu_ms']:.1f}, {one['rows']:g}"
        for one in (a, b)
    )
    times = b["p50"] / a["p50"]
    more = "" if times <= TIMES else " **more**" if is_alike(a, b) else " (more rows)"
    mark = "" if b["p95"] <= kind.limit_ms else " **missed**"
    return f"| {name} | {found} | {times:.1f}{more} | {kind.limit_ms:g}{mark} |"


def _rest(one: Report) -> Iterator[str]:
    recount, snapshot, written = one["recount"], one["snapshot"], one["ingest"]
    yield f"{one['studies']:,} studies, load {one['load_before']:.1f} to {one['load_after']:.1f}:"
    yield ""
    yield f"- {one['size']['bytes_a_study']} bytes a study without its instances"
    yield f"- ready {one['start_s']} s after the start, when its processes hold {one['start_mb']} MB for themselves"
    yield f"- after all searches they hold {sorted(one['memory_mb'].values())} MB"
    yield f"- all counters proven in {recount['s']} s and {recount['mb']} MB, {recount['differences']} differences"
    yield (
        f"- a snapshot of the index for a backup in {snapshot['s']} s and {snapshot['mb']} MB: "
        f"{snapshot['bytes'] / 1e6:,.0f} MB"
    )
    yield (
        f"- {written['instances_per_s']} instances/s registered, acknowledged in {_times(written['acknowledged'])}, "
        f"while eight readers wait {_times(written['readers'])}"
    )
    yield ""


def beside(orthanc: Report | None, small: Report, large: Report) -> Iterator[str]:
    """Orthanc and Relais as Markdown, nothing without Orthanc."""
    if orthanc is None:
        return
    yield f"## Orthanc at {orthanc['studies']:,} studies"
    yield ""
    yield from BESIDE.splitlines()
    yield ""
    filled = f"{orthanc['instances']:,} instances in {orthanc['seconds']} s, {orthanc['per_s']}/s, at a load of"
    yield f"{orthanc['version']} took {filled} {orthanc['load']}; it was started again before it was searched."
    yield ""
    sizes = [f"Orthanc at {orthanc['studies']:,}", *(f"Relais at {one['studies']:,}" for one in (small, large))]
    yield f"| search: p50 / p95, CPU (ms), rows | {' | '.join(sizes)} |"
    yield "|---|---|---|---|"
    for name, one in orthanc["http"].items():
        cells = (one, small["http"][name], large["http"][name])
        found = (f"{cell['p50']:.1f} / {cell['p95']:.1f}, {cell['cpu_ms']:.1f}, {cell['rows']:g}" for cell in cells)
        yield f"| {name} | {' | '.join(found)} |"


def _times(one: Report) -> str:
    return f"{one['p50']} / {one['p95']} / {one['max']} ms"


def plot(small: Report, large: Report, orthanc: Report | None, path: Path) -> None:
    """p95 of every kind at both sizes, and of Orthanc's; needs matplotlib, which only developers have."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = {KEYED: "tab:blue", WILD: "tab:orange", OTHER: "tab:grey"}
    figure, axes = plt.subplots(figsize=(7, 6))
    for kind in kinds():
        ends = [one["http"][kind.name]["p95"] for one in (small, large)]
        axes.plot([small["studies"], large["studies"]], ends, marker="o", color=colours[kind.limit_ms], alpha=0.6)
        if orthanc is not None and kind.name in orthanc["http"]:
            axes.scatter(
                orthanc["studies"], orthanc["http"][kind.name]["p95"], marker="x", color=colours[kind.limit_ms]
            )
    if orthanc is not None:
        axes.scatter([], [], marker="x", color="black", label=f"{orthanc['version']}, the searches that it has")
    for limit, colour in colours.items():
        axes.axhline(limit, color=colour, linestyle=":", label=f"limit of {limit:g} ms")
    axes.set(
        xscale="log", yscale="log", xlabel="studies", ylabel="p95 over HTTP, ms", title="Searches, one line a kind"
    )
    axes.legend()
    figure.savefig(path, dpi=110)
