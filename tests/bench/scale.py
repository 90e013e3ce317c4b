"""How the index answers at 10,000 and at 980,000 studies: `make bench-scale`. Knows doors and clocks, no SQL but sizes.

The indexes are made once and kept in RELAIS_BENCH_CACHE (default ~/.cache/relais-bench); each run works on copies. What
to keep in mind when reading:

- Searches go one at a time over a connection that stays open, to a node that does nothing else, 100 rows at most, from
  a warm page cache, each until the last byte of its answer. p95 and the worst are those of the machine's worst moments.
- CPU is what all processes of the node used for a search: what its time would be on a machine with nothing else to do.
- A study holds one instance for each series: answers and counters at study level do not depend on more.
- Ingest registers what receivers hand to the index, in threads of one process as a receiver has them; objects are not
  written. Readers ask the node over HTTP at the same time.
- Recount and snapshot run in a process of their own, when the node has ended. Packs are made in an index of their own.
- Orthanc, where it is installed, gets the studies of the smaller index through its REST API, once: bench.scale_orthanc.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from bench import scale_data, scale_fill, scale_orthanc, scale_packed, scale_report, scale_upkeep
from bench.scale_asking import MOST, Dimse, Web, measure, summary, uncollected
from bench.scale_queries import OTHER, Archive, kinds
from bench.scale_report import is_alike
from fixtures.served import Served
from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import of_origin
from relais.db.database import Database, Transaction
from relais.db.settings import IndexSettings, for_path
from relais.dicom.refs import InstanceRef
from relais.index import composite
from relais.index.rows import InstanceFacts
from relais.storage.layout import instance_key

SMALL, LARGE = 10_000, 980_000
NOW = 1.79e9
WRITERS, READERS, INSTANCES = 8, 8, 30
Report = dict[str, Any]


def cache() -> Path:
    """Where the indexes are kept between runs."""
    folder = Path(os.environ.get("RELAIS_BENCH_CACHE") or Path.home() / ".cache" / "relais-bench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def made(count: int) -> Path:
    """The index of *count* studies, made now if it was never made in this form."""
    path = cache() / f"{count}-{scale_fill.FORM}.sqlite"
    if not path.exists():
        sys.stderr.write(f"making the index of {count:,} studies in {path} ...\n")
        scale_fill.make(path, count, NOW)
    return path


@contextmanager
def copied(count: int) -> Iterator[Path]:
    """A folder with a copy of that index, for one run."""
    with tempfile.TemporaryDirectory(dir=cache(), prefix="run-") as name:
        path = Path(name) / "index.sqlite"
        shutil.copy(made(count), path)
        with path.open("rb+") as file:
            os.fsync(file.fileno())  # gigabytes that go to the disk meanwhile would be measured with the searches
        migrated(url_of(path.parent))
        yield Path(name)


def migrated(url: str) -> str:
    """*url*, whose index is one of today: what is kept between runs may be older, as far as rows stay what they are."""
    Database(IndexSettings(url=url)).close()
    return url


def url_of(folder: Path) -> str:
    """The index that `copied` put into *folder*."""
    return for_path(folder / "index.sqlite").url


@contextmanager
def served(folder: Path, url: str) -> Iterator[Served]:
    """A node with its files in *folder*, on the index at *url*.

    It packs nothing, for that would take hours, and keeps no answer: each is searched for. Its storage has none of the
    objects that the index names; without any it would be taken for a disk that is not mounted.
    """
    a_file = folder / "data/objects/00/1.2/1.2.3/1.2.3.4.00000000.dcm"
    a_file.parent.mkdir(parents=True, exist_ok=True)
    a_file.write_bytes(b"-")
    node = Served(folder, RELAIS_INDEX__URL=url, RELAIS_INDEX__QUIET_S="0", RELAIS_WEB__KEPT_BYTES="0")
    try:
        node.wait_until_ready()
        yield node
    finally:
        node.process.terminate()
        node.process.wait(30)


# Searches


def searches(node: Served, count: int, rounds: int, smaller: Report | None = None) -> Report:
    """Every kind of search through both doors.

    Those over HTTP that bring more rows than in the *smaller* index are asked once more, for as many rows as it had.
    """
    archive, web, pids = Archive(count), Web(node.url), node.pids()
    found: Report = {"http": {}, "dimse": {}, "as_many": {}}
    for kind in kinds():
        found["http"][kind.name] = one = measure(web.search, kind, archive, pids, rounds)
        if smaller is not None and not is_alike(smaller["http"][kind.name], one):
            most = max(1, round(smaller["http"][kind.name]["rows"]))
            found["as_many"][kind.name] = measure(web.search, kind, archive, pids, rounds, most)
        if kind.is_found_by_dimse:
            dimse = Dimse(node.dimse_port)
            found["dimse"][kind.name] = measure(dimse.search, kind, archive, pids, rounds)
            dimse.close()
    web.close()
    return found


# Ingest


def arriving(writer: int) -> Iterator[InstanceFacts]:
    """New studies of one scanner after the other, 30 instances a series."""
    for number in count(scale_data.STUDIES + writer, 100):
        for first in scale_data.facts_of(number):
            for instance in range(1, INSTANCES + 1):
                ref = InstanceRef(*astuple(first.ref.series), f"{first.ref.series_instance_uid}.{instance}")
                uids = {"00080018": {"vr": "UI", "Value": [ref.sop_instance_uid]}}
                uids["00200013"] = {"vr": "IS", "Value": [instance]}
                key = instance_key(ref, f"{instance:08x}")
                yield first._replace(ref=ref, key=key, attributes=first.attributes | uids)


def register(db: Database, facts: InstanceFacts) -> None:
    """One instance, as archive.ingest registers it: durable when this returns."""
    said = {"outcome": "stored", "channel": facts.origin.channel}
    record = audit.Record(of_origin(facts.origin), Action.STORE, facts.ref.study_instance_uid, said)

    def work(tx: Transaction) -> None:
        composite.register(tx, facts)
        audit.write(tx, record)

    db.write(work)


def write(url: str, threads: int, seconds: float) -> Report:
    """Register as fast as *threads* receivers of one process can; run as a process of its own."""
    db, times = Database(IndexSettings(url=url)), []  # type: Database, list[float]
    deadline = time.monotonic() + seconds

    def receive(writer: int) -> None:
        for facts in arriving(writer):
            started = time.perf_counter()
            register(db, facts)
            times.append(time.perf_counter() - started)
            if time.monotonic() > deadline:
                return

    receivers = [threading.Thread(target=receive, args=(writer,)) for writer in range(threads)]
    for receiver in receivers:
        receiver.start()
    for receiver in receivers:
        receiver.join()
    db.close()
    return {"instances_per_s": round(len(times) / seconds), "acknowledged": summary(times)}


def ingest(node: Served, url: str, size: int, seconds: float) -> Report:
    """How fast instances are registered while eight readers search, and what the readers notice."""
    command = [sys.executable, __file__, "--write", url, "--seconds", str(seconds)]
    stop, times, asked = threading.Event(), [], [kind for kind in kinds() if kind.limit_ms < OTHER]

    def read(reader: int) -> None:
        rnd, web, archive = Random(reader), Web(node.url), Archive(size)
        while not stop.is_set():
            kind = rnd.choice(asked)
            params = kind.params(archive.study(rnd), rnd)
            started = time.perf_counter()
            web.search(kind, {"limit": str(MOST), **params})
            times.append(time.perf_counter() - started)
            time.sleep(rnd.uniform(0.02, 0.08))

    readers = [threading.Thread(target=read, args=(reader,)) for reader in range(READERS)]
    with uncollected():
        for reader in readers:
            reader.start()
        written = json.loads(subprocess.run(command, capture_output=True, check=True, env=node.environ).stdout)
        stop.set()
        for reader in readers:
            reader.join()
    return {**written, "readers": summary(times)}


# Size, start-up, recount


def sizes(path: Path, size: int) -> Report:
    """Bytes a study by table, instances and what belongs to them apart."""
    connection = sqlite3.connect(path)
    tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_schema"))
    found: dict[str, int] = {}
    for name, used in connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
        table = tables.get(name, name)
        found[table] = found.get(table, 0) + used
    connection.close()
    of_instances = sum(used for table, used in found.items() if table in ("instance", "change"))
    return {
        "bytes_a_study": round((sum(found.values()) - of_instances) / size),
        "by_table": {table: round(used / size, 1) for table, used in sorted(found.items(), key=lambda one: -one[1])},
    }


def memory_mb(node: Served) -> dict[str, float]:
    """What each process of the node holds for itself."""
    found = {}
    for pid in node.pids():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        private = [int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))]
        found[str(pid)] = round(sum(private) / 1024, 1)
    return found


def measured(folder: Path, url: str, size: int, options: argparse.Namespace, smaller: Report | None = None) -> Report:
    """Everything about one index but its size on the disk, beside what was found of a *smaller* one."""
    found: Report = {"studies": size, "load_before": os.getloadavg()[0]}
    started = time.perf_counter()
    with served(folder, url) as node:
        found["start_s"] = round(time.perf_counter() - started, 2)
        found["start_mb"] = round(sum(memory_mb(node).values()))
        found |= searches(node, size, options.rounds, smaller)
        found["memory_mb"] = memory_mb(node)
        found["ingest"] = ingest(node, url, size, options.seconds)
    found["recount"] = scale_upkeep.measured("recount", url, folder)
    found["load_after"] = os.getloadavg()[0]
    return found


def run(size: int, options: argparse.Namespace, smaller: Report | None = None) -> Report:
    """Everything about the index of one size, beside what was found of a *smaller* one."""
    with copied(size) as folder:
        found: Report = {"size": sizes(folder / "index.sqlite", size)}
        found |= measured(folder, url_of(folder), size, options, smaller)
        return found | {"snapshot": scale_upkeep.measured("snapshot", url_of(folder), folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="searches of each kind")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to ingest")
    parser.add_argument("--large", type=int, default=LARGE, help="studies of the larger index")
    parser.add_argument("--orthanc", type=int, default=SMALL, help="studies to fill Orthanc with, 0 to leave it out")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"), help="where report and plot go")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        sys.stdout.write(json.dumps(write(options.write, WRITERS, options.seconds)))
        return
    small = run(SMALL, options)
    large = run(options.large, options, small)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix="run-") as name:
        packed = scale_packed.measured(Path(name))
    rounds = max(1, options.rounds // 4)  # some of its searches take seconds
    orthanc = scale_orthanc.measured(cache(), options.orthanc, rounds) if options.orthanc else None
    found = {"small": small, "large": large, "packed": packed, "orthanc": orthanc}
    (options.output / "scale.json").write_text(json.dumps(found, indent=1) + "\n")
    text = "\n".join([*scale_report.report(small, large, packed), *scale_report.beside(orthanc, small, large)]) + "\n"
    (options.output / "scale.md").write_text(text)
    scale_report.plot(small, large, orthanc, options.output / "scale.png")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
