"""Loads of C-STORE put on a peer: sent, timed, and looked for again among what the peer keeps. Knows no one peer."""

import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import usage
from bench.figures import Figure
from bench.light_sender import Sent, send
from bench.peers import Peer
from bench.run import Run, expect
from bench.template import Template

TRACED = 10  # instances of each association while flushes are counted
WARM_UP = 4
MB = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """*count* instances in all, over so many *associations* at once, each with a study of its own."""

    template: Template
    count: int
    associations: int

    @property
    def name(self) -> str:
        count = self.count - self.count % self.associations
        return f"{count} {self.template.name}, {self.associations} association{'s' * (self.associations > 1)}"

    def fewer(self, for_each: int) -> "Case":
        """So many instances for each association, one if they are large."""
        return Case(
            self.template, self.associations * (for_each if self.template.repeat == 1 else 1), self.associations
        )


@dataclass
class Loaded:
    """A peer that is loaded round after round."""

    peer: Peer
    known: set[Path] = field(default_factory=set)

    def load(self, case: Case) -> Sent:
        """Put the load on it.

        Raises WrongResult unless the peer said Success to all and now keeps them all, to the last byte.
        """
        templates = [case.template.of_new_study() for _ in range(case.associations)]
        sent = send(self.peer.dicom_port, templates, case.count, self.peer.ae_title)
        expect(sent.failures, 0, f"{self.peer.name}, responses other than Success")
        if self.peer.files is not None:
            self._check(case.template, sent.count)
        return sent

    def measured(self, case: Case, settle_s: float) -> tuple[Sent, float]:
        """What the senders saw, and CPU ms for each instance."""
        used = usage.cpu_s(self.peer.pid)
        sent = self.load(case)
        time.sleep(settle_s)
        return sent, (usage.cpu_s(self.peer.pid) - used) * 1000 / sent.count

    def flushes(self, case: Case) -> float | None:
        """Of the file system, for each instance."""
        few = case.fewer(TRACED)
        number = usage.count_flushes(self.peer.pid, lambda: self.load(few))
        return None if number is None else number / few.count

    def _check(self, template: Template, count: int) -> None:
        assert self.peer.files is not None
        new = list(files(self.peer.files, self.known))
        expect(len(new), count, f"{self.peer.name}, instances kept")
        for path in new:
            self.known.add(path)
            expect(_ends_with(path, template), True, f"{self.peer.name}, {path} ends with the bytes that were sent")


def store(run: Run, part: str, peers: Sequence[Peer], case: Case, *, trace: bool = True) -> None:
    """Measure how fast *peers* store, in alternating rounds."""
    loaded = [Loaded(peer, set(files(peer.files)) if peer.files else set()) for peer in peers]
    for one in loaded:
        usage.forget_peak(one.peer.pid)
        one.load(case.fewer(WARM_UP))
    found = run.alternate(loaded, lambda one: one.measured(case, run.size.settle_s))
    for one, seen in zip(loaded, found, strict=True):
        values, unit = [sent.rate for sent, _ in seen], "instances/s"
        if case.template.repeat > 1:
            values, unit = [rate * case.template.dataset_bytes / MB for rate in values], "MB/s"
        details = _details(seen) | {"peak MB": usage.peak_bytes(one.peer.pid) / MB}
        if trace:
            details["flushes"] = one.flushes(case)
        run.add(Figure(part, case.name, one.peer.name, unit, values, details))


def files(folder: Path, known: Container[Path] = ()) -> Iterator[Path]:
    """Every Part 10 file below *folder* that is not *known*; no uploads, indexes, journals and caches."""
    for path in folder.rglob("*"):
        if path not in known and path.is_file() and path.suffix != ".part" and _is_part10(path):
            yield path


def _details(seen: Sequence[tuple[Sent, float]]) -> dict[str, float | None]:
    return {
        "CPU ms": sum(cpu for _, cpu in seen) / len(seen),
        "sender CPU ms": sum(sent.cpu_s for sent, _ in seen) * 1000 / sum(sent.count for sent, _ in seen),
        "p95 ms": max(sent.latencies_ms[int(len(sent.latencies_ms) * 0.95)] for sent, _ in seen),
    }


def _is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132).endswith(b"DICM")  # PS3.10 7.1


def _ends_with(path: Path, template: Template) -> bool:
    size = path.stat().st_size
    if size < len(template.tail) * template.repeat:
        return False
    with path.open("rb") as file:
        file.seek(-len(template.tail) * template.repeat, 2)
        return all(file.read(len(template.tail)) == template.tail for _ in range(template.repeat))
