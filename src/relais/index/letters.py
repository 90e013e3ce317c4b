"""Pairs of neighbouring letters of a patient's name as bits, which stand beside it in the index of dates.

Knows folded names, patterns and one column. A name that lacks a bit of those that a pattern asks for cannot match it,
and is passed over without a look into the dictionary of names; one that has them all may match. What a program of
before has written, which knew no bits, has them all until it is read, a step at a time; so has a study without a name,
to which such a program may give one.
"""

import re
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import pairwise
from operator import and_
from zlib import crc32

from relais.db import statements
from relais.db.database import Database, Row, Transaction
from relais.dicom import person_name
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.matching import alternatives
from relais.dicom.query import Match, MatchKind
from relais.index import catching_up
from relais.index.columns import name_columns, storable, text_of

SQL = statements.load("relais.index.sql", "letters.sql")
BITS = 62
ALL = -1

_NAME = next(column for column in name_columns(Level.STUDY) if column.name == "patient_name")
_WILD = re.compile(r"[*?]")


def of_study(ds: JsonDataset) -> int:
    """The bits of the patient's name in *ds*."""
    return _of_keys(person_name.keys(text_of(ds, _NAME)))


def of_match(match: Match, fuzzy: bool) -> int:
    """The bits of every patient's name that satisfies *match*; 0 where it may be any, or of somebody else."""
    if match.tag != _NAME.tag or match.kind is MatchKind.EMPTY_VALUE:
        return 0
    return reduce(and_, [_of_text(one.values[0], fuzzy) for one in alternatives(match)], ALL)


def work(db: Database) -> bool:
    """Give some studies their bits that programs of before have written; False if there are none."""
    return catching_up.step(db, SQL["unread"], _read)


def _read(tx: Transaction, rows: Sequence[Row]) -> None:
    tx.executemany(SQL["read"], [(_of_keys((row[1], row[2], row[3])), row["id"]) for row in rows])


def _of_text(text: str, fuzzy: bool) -> int:
    pieces = [piece for key in person_name.keys(text) for piece in _WILD.split(storable(key))]
    return _bits(pieces) & _bits(map(storable, person_name.words(text))) if fuzzy else _bits(pieces)


def _of_keys(keys: tuple[str, str, str]) -> int:
    return _bits(keys) if any(keys) else ALL


def _bits(texts: Iterable[str]) -> int:
    found = 0
    for text in texts:
        for pair in pairwise(text):
            found |= 1 << crc32("".join(pair).encode()) % BITS
    return found
