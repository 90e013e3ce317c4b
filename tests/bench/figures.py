"""What was measured, as plain values, and how two of them compare. Knows no peer and no unit of measure."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self


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
    """How many times as good as *than* the first peer of *case* is to be ("": of every case of the part).

    Better is more in a second, or less time: a *factor* of 2 is half the time. 1/3 allows three times the time.
    """

    part: str
    than: str
    factor: float
    case: str = ""


@dataclass(frozen=True)
class Limit:
    """What the figure of the first peer of *case* may be at most."""

    part: str
    case: str
    at_most: float


@dataclass(frozen=True)
class Comparison:
    """One peer, mostly Relais, beside another: the median of the ratios of the rounds, since both ran in each.

    Or its figure beside a limit; then *than* says so.
    """

    part: str
    case: str
    than: str
    value: float
    goal: float | None = None
    is_limit: bool = False

    @property
    def is_met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value <= self.goal if self.is_limit else self.value >= self.goal


def compare(figures: Iterable[Figure], goals: Iterable[Goal | Limit]) -> Iterator[Comparison]:
    """The first peer of each case beside the others, with the goal where there is one."""
    goals = list(goals)
    wanted = {(one.part, one.case, one.than): one.factor for one in goals if isinstance(one, Goal)}
    limits = {(one.part, one.case): one.at_most for one in goals if isinstance(one, Limit)}
    by_case: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        by_case.setdefault((figure.part, figure.case), []).append(figure)
    for (part, case), (ours, *others) in by_case.items():
        for other in others:
            goal = wanted.get((part, case, other.peer), wanted.get((part, "", other.peer)))
            yield Comparison(part, case, other.peer, _ratio(ours, other), goal)
        if (part, case) in limits:
            yield Comparison(part, case, f"{ours.unit} at most", ours.median, limits[part, case], is_limit=True)


def _ratio(ours: Figure, other: Figure) -> float:
    pairs = zip(ours.values, other.values, strict=True)
    return median(theirs / own if ours.less_is_better else own / theirs for own, theirs in pairs)
