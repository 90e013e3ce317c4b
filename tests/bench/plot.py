"""The ratios of a run as a picture: `python -m bench.plot RUN.json PICTURE.png`. Knows what report wrote, no peer."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {True: "#2a9d55", False: "#c8553d", None: "#9aa5b1"}
ROW_INCHES, WIDTH_INCHES = 0.26, 9.0


def draw(run: Mapping[str, Any], path: Path) -> None:
    """A bar for each ratio from 1, where both are alike; a black mark at its goal."""
    rows = [(name, one) for name, one in run["ratios"].items() if not one["is_limit"]]
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES, ROW_INCHES * len(rows) + 1.2), layout="constrained")
    for at, (_, one) in enumerate(rows):
        axes.barh(at, one["ratio"] - 1, left=1, color=COLOURS[one["is_met"]], height=0.7)
        if one["goal"] is not None:
            axes.plot([one["goal"]] * 2, [at - 0.45, at + 0.45], color="black", linewidth=2)
        axes.text(one["ratio"], at, f" {one['ratio']:.2f} ", fontsize=7, va="center", ha=_side(one["ratio"]))
    axes.axvline(1, color="#333333", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [_label(name) for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    machine = run["machine"]
    legend = "how many times as good; green: goal met, red: not met, black mark: the goal, grey: for comparison only"
    axes.set_xlabel(legend, fontsize=8, loc="right")
    axes.set_title(f"{machine['at']}, {machine['cores']} cores, {machine['disk']}", fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _side(ratio: float) -> Literal["left", "right"]:
    """Where the text begins, so that it stands outside its bar."""
    return "left" if ratio >= 1 else "right"


def _label(name: str) -> str:
    part, case, than = name.split(" | ")
    return f"{part}: {case}, beside {than}"


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
