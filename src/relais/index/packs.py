"""Quiet series: packed into one blob, and given their rows back. Knows when a series is quiet, not what asks for it.

1. A series has either rows of instances or a pack, never both. All that a transaction does with a pack it does whole.
2. Packs are made outside the transaction that keeps them. That one looks whether the series is still as it was.
3. A pack that does not give back the very rows that it was made of is not kept: the series stays as it is.
4. What changes a packed series gives it its rows back first (`unpack`), in the same transaction.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from zlib import crc32

from relais.db import statements
from relais.db.database import Connection, Database, Row, Transaction
from relais.errors import Internal
from relais.index import pack, packing
from relais.index.mapping import INSTANCE_MARK
from relais.index.pack import Packed
from relais.index.rows import kept_of

SQL = statements.load("relais.index.sql", "packs.sql")
WINDOW = 2000  # changes looked at in one step
MOST_AHEAD_S = 86_400.0  # what happened later than that from now, happened by a clock that was ahead: it counts as old
SERIES = 50  # packed in one step at most
CUTS = (2, 6, 10)  # letters left out at the end of a UID: the instances of a series mostly differ there alone
FEW_STEMS = 16  # one for as many instances is few, so that no more letters are left out
BLOCK_BITS = 6


@dataclass(frozen=True, slots=True)
class Due:
    """Some series that are to be packed, and from which revision of the feed to which they are told of."""

    series: list[int]
    revision: int
    until: int

    @property
    def is_nothing(self) -> bool:
        return not self.series and self.until == self.revision


@dataclass(frozen=True, slots=True)
class Made:
    """A pack of the series *series_fk* as it was at *revision*; *packed* is None where there is nothing to pack."""

    series_fk: int
    revision: int
    ids: list[int]
    packed: bytes | None = None
    documents: bytes = b""


def due(db: Database, before: float) -> Due:
    """The next series in which nothing has happened since *before*: SERIES that changes tell of, and as many others.

    A series that is not quiet yet will have another change, which tells of it again.
    """
    latest = time.time() + MOST_AHEAD_S
    with db.read() as connection:
        revision = until = int(connection.execute(SQL["until"]).fetchone()[0])
        changes = connection.execute(SQL["changes"], (revision, WINDOW))
        old = list(takewhile(lambda row: not before <= row["at"] <= latest, changes))
        ids = json.dumps(sorted({row["instance_fk"] for row in old}))
        quiet = {row["id"]: row["series_fk"] for row in connection.execute(SQL["quiet"], (ids, before, latest))}
        asked = connection.execute(SQL["asked"], {"before": before, "latest": latest, "limit": SERIES}).fetchall()
    told: set[int] = set()
    for row in old:
        if row["instance_fk"] in quiet:
            told.add(quiet[row["instance_fk"]])
        until = row["revision"]
        if len(told) == SERIES:
            break
    return Due(sorted(told | {row["series_fk"] for row in asked}), revision, until)


def move_on(tx: Transaction, done: Due) -> None:
    """Everything in *done* is packed: go on behind it, unless somebody has meanwhile."""
    tx.execute(SQL["move"], (done.until, done.revision))


def make(db: Database, series_fk: int, head: bytes = b"") -> Made:
    """A pack of the rows of a series, without documents. *head* is that of one of its objects, if it can be read."""
    with db.read() as connection:
        rows = connection.execute(SQL["rows"], (series_fk,)).fetchall()
        found = connection.execute(SQL["revision"], (series_fk,)).fetchone()
    if not rows or found is None:
        return Made(series_fk, 0, [])
    packed = pack.encode([dict(row) for row in rows], head)
    return Made(series_fk, found[0], [row["id"] for row in rows], packed if _is_whole(packed, rows) else None)


def _is_whole(packed: bytes, rows: Sequence[Row]) -> bool:
    """Whether the pack gives back the very rows that it was made of, and each can be found by its storage key."""
    found = pack.decode(packed)
    return len(found) == len(rows) and all(
        INSTANCE_MARK in row["key"] and _is_same(found, place, row) for place, row in enumerate(rows)
    )


def _is_same(found: Packed, place: int, row: Row) -> bool:
    made, kept = found.row(place), dict(row)
    kept |= {name: kept_of(kept[name]) for name in ("digest", "head_digest")}
    is_same = packing.unpack(made.pop("attributes")) == packing.unpack(kept.pop("attributes"))
    is_same &= found.columns["position"][place] == kept.pop("position")
    kept.pop("series_fk")
    return is_same and repr(made) == repr({name: kept.get(name) for name in made}) and made.keys() == kept.keys()


def keep(tx: Transaction, made: Made) -> bool:
    """Put *made* in the place of the rows; False if the series is not any more what it was made of."""
    tx.execute(SQL["done"], (made.series_fk,))
    if made.packed is None or tx.execute(SQL["hold"], (made.series_fk, made.revision)).fetchone() is None:
        return False
    taken = tx.execute(SQL["take_rows"], (made.series_fk,)).rowcount
    if taken == 0:  # somebody has packed it meanwhile
        return False
    if taken != len(made.ids):
        raise Internal(f"Series {made.series_fk} has {taken} rows and a pack of {len(made.ids)}.")
    tx.execute(SQL["take_documents"], (json.dumps(made.ids),))
    found = pack.decode(made.packed)
    images = sum(offset is not None for offset in found.columns["pixel_offset"])
    classes = " ".join(map(str, sorted(set(found.columns["sop_class_uid"]))))
    counts = (len(found), images, sum(found.columns["size_bytes"]), classes)
    tx.execute(SQL["add"], (made.series_fk, *counts, made.packed))
    tx.executemany(SQL["add_stem"], [(stem, made.series_fk) for stem in stems(found.columns["sop_instance_uid"])])
    tx.executemany(SQL["add_block"], [(block, made.series_fk) for block in _blocks(found)])
    tx.execute(SQL["set_documents"], (made.series_fk, made.documents))
    return True


def unpack(tx: Transaction, series_fk: int) -> None:
    """Give the series its rows back, if it is packed. It is packed anew when it is quiet again."""
    found = _take(tx, series_fk)
    if found is None:
        return
    rows = (found.row(place) | {"series_fk": series_fk} for place in range(len(found)))
    tx.executemany(SQL["give_row"], rows)
    ask(tx, series_fk)


def ask(tx: Transaction, series_fk: int) -> None:
    """Have a series packed that no later change will tell of."""
    tx.execute(SQL["ask"], (series_fk, tx.now))


def drop(tx: Transaction, series_fk: int) -> None:
    """Forget a series of which nothing is left."""
    _take(tx, series_fk)
    forget_documents(tx, series_fk)
    tx.execute(SQL["done"], (series_fk,))


def forget_documents(tx: Transaction, series_fk: int) -> None:
    """Drop the documents that lie in one blob: one of them must go, the others can be made again."""
    tx.execute(SQL["remove_documents"], (series_fk,))


def _take(tx: Transaction, series_fk: int) -> Packed | None:
    """Take the pack of a series away."""
    found = opened(tx.connection, series_fk)
    if found is None:
        return None
    tx.execute(SQL["remove"], (series_fk,))
    listed = {stem for uid in found.columns["sop_instance_uid"] for stem in stems_of(uid)}
    tx.executemany(SQL["remove_stem"], [(stem, series_fk) for stem in listed])
    tx.executemany(SQL["remove_block"], [(block, series_fk) for block in _blocks(found)])
    return found


def opened(connection: Connection, series_fk: int) -> Packed | None:
    """The pack of a series, None if it is not packed."""
    row = connection.execute(SQL["get"], (series_fk,)).fetchone()
    return None if row is None else pack.decode(bytes(row["instances"]))


def sop_classes(tx: Transaction, study_fk: int) -> set[int]:
    """The numbers of the SOP Classes in the packed series of a study."""
    return {int(number) for row in tx.execute(SQL["sop_classes"], (study_fk,)) for number in row[0].split()}


def _blocks(found: Packed) -> set[int]:
    return {block(number) for number in found.columns["id"]}


def stems(sop_instance_uids: Sequence[str]) -> set[int]:
    """The numbers under which a series with instances of those UIDs is listed: few, unless the UIDs are random."""
    by_cut = [{_stem(uid, cut) for uid in sop_instance_uids} for cut in CUTS]
    return next((found for found in by_cut if len(found) <= 1 + len(sop_instance_uids) // FEW_STEMS), by_cut[0])


def stems_of(sop_instance_uid: str) -> list[int]:
    """The numbers under one of which a packed instance is found by its UID, together with some others."""
    return [_stem(sop_instance_uid, cut) for cut in CUTS]


def _stem(uid: str, cut: int) -> int:
    return crc32(uid[:-cut].encode("utf-8")) - 2**31


def block(number: int) -> int:
    """The number under which a packed instance is found by its id."""
    return number >> BLOCK_BITS


def holding(connection: Connection, *, uids: Iterable[str] = (), blocks: Iterable[int] = ()) -> list[int]:
    """The packed series that may hold instances of these SOP Instance *uids* or in these *blocks*."""
    numbers = {stem for uid in uids for stem in stems_of(uid)}
    found = {row[0] for row in connection.execute(SQL["with_stems"], (json.dumps(sorted(numbers)),))}
    found |= {row[0] for row in connection.execute(SQL["with_blocks"], (json.dumps(sorted(set(blocks))),))}
    return sorted(found)
