"""How far a long work is, told on stderr: one bar, one teller for all commands. Knows numbers, no work."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from relais.cli.common import human_bytes

PER_S, PER_MIN, PER_H = (1, "s"), (60, "min"), (3600, "h")


class Teller:
    """One line that shows *what* is being done: a bar with count, rate and time; nothing where nobody looks."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self._done = self._size_bytes = 0

    @property
    def is_quiet(self) -> bool:
        """Whether nobody looks, so that nothing need be counted for it."""
        return bool(self._bar.disable)

    def of(self, total: int | None) -> None:
        """Say how many there are, once that is known."""
        self._bar.update(self._task, total=total)

    def more(self, done: int = 1, size_bytes: int = 0) -> None:
        """So many more are done, with so many bytes."""
        self(self._done + done, self._size_bytes + size_bytes)

    def __call__(self, done: int, size_bytes: int = 0) -> None:
        """So many are done, all in all, and so many bytes."""
        self._done, self._size_bytes = done, size_bytes
        self._bar.update(self._task, completed=done, rate=self._rate(size_bytes))

    def _rate(self, size_bytes: int) -> str:
        task = self._bar.tasks[self._task]
        parts = [_speed(task.speed)] if task.speed else []
        if size_bytes:
            per_s = size_bytes / task.elapsed if task.elapsed else 0
            parts.append(f"{human_bytes(size_bytes)} ({human_bytes(per_s)}/s)")
        return ", ".join(parts)


@contextmanager
def telling(what: str, quiet: bool, total: int | None = None) -> Iterator[Teller]:
    """A Teller on stderr, gone afterwards. *total* may be told later, or never."""
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),  # what the numbers leave
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
        expand=True,
    )
    with bar:
        yield Teller(bar, bar.add_task(what, total=total, rate=""))


def _speed(per_s: float) -> str:
    """Of slow things, how many a minute or an hour."""
    factor, unit = PER_S if per_s >= 1 else PER_MIN if per_s >= 1 / 60 else PER_H
    return f"{per_s * factor:.0f}/{unit}"
