"""Loads of C-STORE put on a peer: sent, timed, and looked for again among what the peer keeps. Knows no one peer."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import usage
from bench.figures import Figure
from bench.light_sender import Sent, send
from bench.peers import Peer
from bench.run import Run, expect
from bench.template import Template

SETTLE_S = 1.0  # work that a peer puts off until after its response still counts as its processor time
TRACED = 10  # instances of each association while flushes are counted
WARM_UP = 4
MB = 1024 * 1024


@dataclass
class Loaded:
    """A peer that is loaded round after round."""

    peer: Peer
    known: set[Path] = field(default_factory=set)

    def load(self, template: Template, associations: int, count: int) -> Sent:
        """*count* new instances in one new study per association.

        Raises WrongResult unless the peer said Success to all and now keeps them all, to the last byte.
        """
        sent = send(self.peer.dicom_port, studies(template, associations), count, self.peer.ae_title)
        expect(sent.failures, 0, f"{self.peer.name}, responses other than Success")
        self.check(template, sent.count)
        return sent

    def measured(self, template: Template, associations: int, count: int) -> tuple[Sent, float]:
        """What the senders saw, and CPU ms for each instance."""
        used = usage.cpu_s(self.peer.pid)
        sent = self.load(template, associations, count)
        time.sleep(SETTLE_S)
        return sent, (usage.cpu_s(self.peer.pid) - used) * 1000 / sent.count

    def check(self, template: Template, count: int) -> None:
        """Raises WrongResult unless there are *count* new files, and each ends with the pixels of *template*."""
        new = [path for path in files(self.peer.files) if path not in self.known]
        expect(len(new), count, f"{self.peer.name}, instances kept")
        for path in new:
            self.known.add(path)
            expect(_ends_with(path, template), True, f"{self.peer.name}, bytes of {path} are those that were sent")


def studies(template: Template, associations: int) -> list[Template]:
    return [template.of_new_study() for _ in range(associations)]


def case_of(name: str, count: int, associations: int) -> str:
    return f"{count} {name}, {associations} association{'s' * (associations > 1)}"


def store(run: Run, part: str, peers: Sequence[Peer], template: Template, associations: int, count: int) -> None:
    """Measure how fast *peers* store, in alternating rounds."""
    loaded = [Loaded(peer) for peer in peers]
    for one in loaded:
        one.known.update(files(one.peer.files))
        usage.forget_peak(one.peer.pid)
        one.load(template, associations, WARM_UP * associations if template.repeat == 1 else associations)
    count -= count % associations
    found = run.alternate(loaded, lambda one: one.measured(template, associations, count))
    for one, seen in zip(loaded, found, strict=True):
        values, unit = [sent.rate for sent, _ in seen], "instances/s"
        if template.repeat > 1:
            values, unit = [rate * template.dataset_bytes / MB for rate in values], "MB/s"
        details = _details(seen) | {
            "flushes": _flushes(one, template, associations),
            "peak MB": usage.peak_bytes(one.peer.pid) / MB,
        }
        run.add(Figure(part, case_of(template.name, count, associations), one.peer.name, unit, values, details))


def _details(seen: Sequence[tuple[Sent, float]]) -> dict[str, float | None]:
    return {
        "CPU ms": sum(cpu for _, cpu in seen) / len(seen),
        "sender CPU ms": sum(sent.cpu_s for sent, _ in seen) * 1000 / sum(sent.count for sent, _ in seen),
        "p95 ms": max(sent.latencies_ms[int(len(sent.latencies_ms) * 0.95)] for sent, _ in seen),
    }


def files(folder: Path) -> Iterator[Path]:
    """Every Part 10 file below *folder*, or Data Set without preamble, as the peer may name it."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".part", ".dat") and "journal" not in path.parts:
            yield path


def _flushes(one: Loaded, template: Template, associations: int) -> float | None:
    """Of the file system, for each instance."""
    count = associations * (TRACED if template.repeat == 1 else 1)
    number = usage.count_flushes(one.peer.pid, lambda: one.load(template, associations, count))
    return None if number is None else number / count


def _ends_with(path: Path, template: Template) -> bool:
    with path.open("rb") as file:
        file.seek(-len(template.tail) * template.repeat, 2)
        return all(file.read(len(template.tail)) == template.tail for _ in range(template.repeat))
