"""One run of the benchmark: how much is done, where, and what was found. Knows no peer and no part."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import TypeVar

from bench.figures import Figure

IN_MEMORY = Path("/dev/shm")
PREFIX = "relais-bench-"

Measured = TypeVar("Measured")
Entrant = TypeVar("Entrant")


@dataclass(frozen=True)
class Size:
    """How much is done in a round, and how many rounds there are."""

    name: str
    rounds: int
    ct: int
    mr: int
    multiframe_mb: int
    small: int
    matches: int
    associations: tuple[int, ...]
    echoes: int
    many_associations: int
    stream_mb: int
    seconds: float  # for what is counted by time
    settle_s: float  # after a load: work that a peer puts off until after its response is its processor time too


FULL = Size("full", 3, 500, 1000, 300, 1000, 10_000, (1, 4, 8), 300, 10_000, 1024, 3.0, 1.0)
QUICK = Size("quick", 2, 160, 240, 100, 240, 2_000, (1, 8), 100, 1_000, 128, 2.0, 1.0)
TINY = Size("tiny", 1, 4, 4, 2, 8, 20, (2,), 3, 10, 4, 0.2, 0.0)
SIZES = {size.name: size for size in (FULL, QUICK, TINY)}


@dataclass(frozen=True)
class Reading:
    """What one measurement has found, and what was seen besides, by name."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)


class WrongResult(Exception):
    """A peer did not do what its figure would say that it did: the figure is worth nothing."""


@dataclass
class Run:
    """What parts are given, and where they leave their figures."""

    size: Size
    folder: Path  # on the disk that is measured; of this run alone, and removed with it
    figures: list[Figure] = field(default_factory=list)

    @contextmanager
    def workplace(self, *, in_memory: bool = False) -> Iterator[Path]:
        """An empty folder for the time of a part; *in_memory* where nothing is to wait for a disk.

        On the disk it stays until the run ends. Seen: for minutes after thousands of files were removed, ext4 looks
        twice at every inode it gives to a new one, and whoever makes more files in the next part pays for that.
        """
        if not (in_memory and IN_MEMORY.is_dir()):
            yield Path(tempfile.mkdtemp(dir=self.folder))
            return
        with tempfile.TemporaryDirectory(dir=IN_MEMORY, prefix=PREFIX, ignore_cleanup_errors=True) as name:
            yield Path(name)

    def beside(
        self,
        part: str,
        case: str,
        unit: str,
        entrants: Mapping[str, Entrant],
        measure: Callable[[Entrant], Reading],
        *,
        times: int = 1,
    ) -> None:
        """A figure of each of *entrants*, by its name, after as many rounds as the size says, or *times* as many."""
        for name, seen in zip(entrants, self.alternate(list(entrants.values()), measure, times=times), strict=True):
            details = {key: mean(one.details[key] for one in seen) for key in seen[0].details}
            self.add(Figure(part, case, name, unit, [one.value for one in seen], dict(details)))

    def alternate(
        self, entrants: Sequence[Entrant], measure: Callable[[Entrant], Measured], *, times: int = 1
    ) -> list[list[Measured]]:
        """What *measure* says of each of *entrants* in every round; none is always the first of a round."""
        found: list[list[Measured]] = [[] for _ in entrants]
        for number in range(self.size.rounds * times):
            order = list(range(len(entrants)))
            for at in order[number % len(entrants) :] + order[: number % len(entrants)]:
                os.sync()  # what the one before has left to be written is not the next one's burden
                found[at].append(measure(entrants[at]))
        return found

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        spread = f"({min(figure.values):.4g} to {max(figure.values):.4g})" if len(figure.values) > 1 else ""
        details = "  ".join(f"{name} {value:.3g}" for name, value in figure.details.items() if value is not None)
        line = f"  {figure.case:34} {figure.peer:18} {figure.median:9.4g} {figure.unit:12} {spread:20} {details}"
        sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()


def expect(found: object, wanted: object, what: str) -> None:
    """Raises WrongResult if *found* is not *wanted*."""
    if found != wanted:
        raise WrongResult(f"{what}: {found}, not {wanted}")
