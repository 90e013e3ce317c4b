"""What was measured, as plain values, and how two of them compare. Knows no peer and no unit of measure."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self

US = "Relais"


@dataclass
class Figure:
    """One peer in one case of one part: a value for each round, and what else was seen (`details`, by name)."""

    part: str
    case: str
    peer: str
    unit: str
    values: list[float]
    details: dict[str, float | None] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def less_is_better(self) -> bool:
        """Of times and memory, but not of what is done in a second."""
        return not self.unit.endswith("/s")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median}

    @classmethod
    def from_json(cls, known: dict[str, Any]) -> Self:
        return cls(**{name: value for name, value in known.items() if name != "median"})


@dataclass(frozen=True)
class Goal:
    """How many times as good as *than* we want to be in *case* ("": in every case of the part).

    Better is more in a second, or less time: a *factor* of 2 is half the time. 1/3 allows three times the time.
    """

    part: str
    than: str
    factor: float
    case: str = ""


@dataclass(frozen=True)
class Ratio:
    """Us beside another in one case: the median of the ratios of the rounds, since both ran in each."""

    part: str
    case: str
    than: str
    value: float
    goal: float | None = None

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.value >= self.goal


def ratios(figures: Iterable[Figure], goals: Iterable[Goal]) -> Iterator[Ratio]:
    """Us beside every other peer, with the goal where there is one."""
    by_case: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        by_case.setdefault((figure.part, figure.case), []).append(figure)
    wanted = {(goal.part, goal.case, goal.than): goal.factor for goal in goals}
    for (part, case), found in by_case.items():
        ours = [one for one in found if one.peer == US]
        for other in found:
            if ours and other.peer != US:
                goal = wanted.get((part, case, other.peer), wanted.get((part, "", other.peer)))
                yield Ratio(part, case, other.peer, _ratio(ours[0], other), goal)


def _ratio(ours: Figure, other: Figure) -> float:
    pairs = zip(ours.values, other.values, strict=True)
    return median(theirs / own if ours.less_is_better else own / theirs for own, theirs in pairs)
