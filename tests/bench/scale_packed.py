"""How many bytes an instance of a quiet series takes, by the way in which devices make UIDs. Knows packs and tables.

Series come in through the public write path, with the heads that ingest would write; all that the index keeps of their
instances is counted: the packs themselves and what leads to them.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from bench import scale_data
from relais.db.database import Database
from relais.db.settings import for_path
from relais.dicom import part10
from relais.dicom.frames import FrameTable
from relais.dicom.json_model import JsonDataset
from relais.dicom.layout import Layout
from relais.dicom.refs import InstanceRef, SeriesRef
from relais.index import composite, packs
from relais.index.rows import InstanceFacts
from relais.storage.digest import digest_of
from relais.storage.layout import instance_key

SIZES = (60, 150, 300, 600)  # instances of a series
SERIES = 24  # of each way: six of each size
TABLES = ("series_pack", "packed_uid", "packed_id")
Report = dict[str, Any]
_Way = Callable[[int, int, Random], str]


def _counted(series: int, number: int, _: Random) -> str:
    return f"1.2.840.113619.2.334.3.2831868886.775.1361167262.{series}.{number}"


def _clocked(series: int, number: int, rnd: Random) -> str:
    clock = 233912345607 + series * 40_000_000 + number * 28_987 + rnd.randrange(9000)
    return f"1.3.12.2.1107.5.2.32.35162.2015050317{clock:014d}"


def _random(_: int, __: int, rnd: Random) -> str:
    return f"2.25.{rnd.getrandbits(128)}"


WAYS: dict[str, _Way] = {
    "counted (GE, DCMTK)": _counted,
    "date and clock (Siemens, Philips)": _clocked,
    "random (2.25)": _random,
}


def _moments(clock_ms: int) -> JsonDataset:
    """Dates and times of one image: taken some time before it was made, to the millisecond."""
    taken, made = (f"{one // 60_000:04d}{one % 60_000 / 1000:09.6f}" for one in (clock_ms, clock_ms + clock_ms % 977))
    said = {
        "00080022": ("DA", "20240305"),
        "00080023": ("DA", "20240305"),
        "00080032": ("TM", taken),
        "00080033": ("TM", made),
    }
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in said.items()}


def _arriving(way: _Way, series: int, count: int) -> Iterator[tuple[InstanceFacts, bytes]]:
    """The instances of one series of a CT, every second series compressed, and their heads."""
    rnd = Random(f"packed {series} {count}")
    first = next(iter(scale_data.facts_of(series)))
    token, received_at, clock_ms = rnd.getrandbits(31), 1_763_795_000.0 + series * 60, 0
    for number in range(1, count + 1):
        ref = InstanceRef(*_series(first), way(series, number, rnd))
        received_at = round(received_at + rnd.uniform(0.004, 0.02), 3)
        clock_ms += rnd.randrange(250, 500)
        head = _head(first, ref, received_at)
        offset, lengths = len(head) + 1480 + rnd.choice((0, 0, 2)), (rnd.randrange(75_000, 130_000) * 2,)
        table = FrameTable(1, offset + 28, lengths=lengths) if series % 2 else FrameTable(1, offset + 12, size=524_288)
        own = _moments(clock_ms) | {"00200013": {"vr": "IS", "Value": [number]}}
        own |= {"00080018": {"vr": "UI", "Value": [ref.sop_instance_uid]}}
        facts = first._replace(
            ref=ref,
            attributes=first.attributes | own,
            key=instance_key(ref, f"{token + number:08x}"),
            size_bytes=offset + (36 + lengths[0] if series % 2 else 12 + 524_288),
            digest=rnd.randbytes(32),
            head_digest=digest_of(head),
            layout=Layout(len(head), offset, table.pack()),
            received_at=received_at,
        )
        yield facts, head


def _series(first: InstanceFacts) -> tuple[str, str]:
    found: SeriesRef = first.ref.series
    return found.study_instance_uid, found.series_instance_uid


def _head(first: InstanceFacts, ref: InstanceRef, received_at: float) -> bytes:
    origin = first.origin
    private = part10.private_information(origin, received_at)
    titles = (origin.calling_ae_title, origin.calling_ae_title, origin.called_ae_title)
    kinds = (first.transfer_syntax_uid, first.sop_class_uid)
    return part10.encode_head(part10.FileMeta(*kinds, ref.sop_instance_uid, *titles, private))


def measured(folder: Path, count: int = SERIES) -> Report:
    """Bytes an instance for each way of making UIDs, of *count* series in an index of their own in *folder*."""
    paths = [folder / f"packed-{place}.sqlite" for place in range(len(WAYS))]
    return {name: _measured(path, way, count) for path, (name, way) in zip(paths, WAYS.items(), strict=True)}


def _measured(path: Path, way: _Way, number: int) -> float:
    db, count = Database(for_path(path)), 0
    for series in range(number):
        arriving = list(_arriving(way, series, SIZES[series // 2 % len(SIZES)]))
        db.write(lambda tx, arriving=arriving: [composite.register(tx, facts) for facts, _ in arriving])
        count += len(arriving)
        made = packs.make(db, series + 1, arriving[-1][1])
        if made.packed is None or not db.write(lambda tx, made=made: packs.keep(tx, made)):
            raise SystemExit(f"series {series} was not packed")
    db.close()
    connection = sqlite3.connect(path)
    marks = ", ".join("?" * len(TABLES))
    used = connection.execute(f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({marks})", TABLES).fetchone()[0]
    connection.close()
    return round(used / count, 1)
