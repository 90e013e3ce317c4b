"""What a run has found, for people and for the next run. Knows figures, not how they came about."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Comparison, Figure, Goal, Limit, compare

MARKS = {True: "met", False: "NOT MET", None: ""}


def table(found: Sequence[Comparison], before: Mapping[str, float]) -> Iterator[str]:
    """A line for each ratio, with its goal, and what it was in an earlier run where that is known."""
    yield f"{'':9} {'':34} {'beside':18} {'ratio':>7} {'goal':>6} {'':8} {'before':>7}"
    for one in found:
        goal = "" if one.goal is None else f"{one.goal:.2f}"
        earlier = f"{before[key(one)]:.2f}" if key(one) in before else ""
        line = f"{one.part:9} {one.case:34} {one.than:18} {one.value:7.2f} {goal:>6} {MARKS[one.is_met]:8} {earlier:>7}"
        yield line.rstrip()


def markdown(run: Mapping[str, Any]) -> Iterator[str]:
    """The ratios and the figures behind them, for docs/benchmarks."""
    machine = run["machine"]
    yield f"# Run of {machine['at']}, size {run['size']}"
    yield ""
    for name, value in {**machine, **run.get("failed", {})}.items():
        yield f"- {name.replace('_', ' ')}: {_plain(value)}"
    yield from ("", "| part | case | beside | ratio | goal | |", "|---|---|---|---|---|---|")
    for name, one in run["ratios"].items():
        goal = "" if one["goal"] is None else f"{one['goal']:.2f}"
        yield f"| {name} | {one['ratio']:.2f} | {goal} | {MARKS[one['is_met']]} |"
    yield from ("", "| part | case | who | median | unit | rounds | besides |", "|---|---|---|---|---|---|---|")
    for one in run["figures"]:
        rounds = ", ".join(f"{value:.4g}" for value in one["values"])
        besides = ", ".join(f"{name} {value:.3g}" for name, value in one["details"].items() if value is not None)
        who = f"{one['part']} | {one['case']} | {one['peer']}"
        yield f"| {who} | {one['median']:.4g} | {one['unit']} | {rounds} | {besides} |"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def key(comparison: Comparison) -> str:
    """What is the same in two runs of one size."""
    return f"{comparison.part} | {comparison.case} | {comparison.than}"


def to_json(
    facts: Mapping[str, object], size: str, figures: Iterable[Figure], goals: Iterable[Goal | Limit]
) -> dict[str, Any]:
    figures = list(figures)
    return {
        "machine": dict(facts),
        "size": size,
        "ratios": {
            key(one): {"ratio": round(one.value, 3), "goal": one.goal, "is_met": one.is_met, "is_limit": one.is_limit}
            for one in compare(figures, goals)
        },
        "figures": [figure.to_json() for figure in figures],
    }


def earlier(folder: Path, size: str) -> dict[str, float]:
    """The ratios of the newest run of this *size* in *folder*; of each, the newest there is."""
    known: dict[str, float] = {}
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_text())
        if run.get("size") == size:
            known |= {name: ratio["ratio"] for name, ratio in run["ratios"].items()}
    return known
