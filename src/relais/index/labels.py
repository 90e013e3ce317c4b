"""The dictionary of labels: every distinct value of the columns without an index, once. Knows labels, not what asks.

A row is listed under its labels in a full-text table of its level, whose words are the ids of labels: two bytes for
each instead of twenty for an entry of an index.
"""

import json
from collections.abc import Mapping
from typing import Any

from relais.db import statements
from relais.db.database import Row, Transaction
from relais.dicom.attributes import Level
from relais.index import columns

SQL = statements.load("relais.index.sql", "labels.sql")
_TABLES = {Level.STUDY: "study", Level.SERIES: "series"}


def mark(tx: Transaction, level: Level, row_id: int, values: Mapping[str, Any]) -> None:
    """List the row *row_id* of *level* under the labels of its *values*, which are added as needed."""
    borne = columns.labels(values, level)
    known = _ids(tx, borne)
    ids = [known[one] if one in known else _add(tx, one) for one in borne]
    tx.execute(SQL[f"mark_{_TABLES[level]}"], (row_id, _words(ids)))


def mark_many(tx: Transaction, level: Level, rows: Mapping[int, Mapping[str, Any]]) -> None:
    """List *rows*, by their ids, under the labels of their values, all of which are known already."""
    borne = {row_id: columns.labels(values, level) for row_id, values in rows.items()}
    known = _ids(tx, tuple({label for labels in borne.values() for label in labels}))
    listed = [(row_id, _words([known[label] for label in labels])) for row_id, labels in borne.items()]
    tx.enter(f"{_TABLES[level]}_label", ("rowid", "labels"), listed)


def unmark(tx: Transaction, level: Level, row: Row) -> None:
    """List *row*, as it stands, no longer, and forget labels that nobody bears any more."""
    ids = list(_ids(tx, columns.labels(dict(row), level)).values())
    tx.execute(SQL[f"unmark_{_TABLES[level]}"], (row["id"], _words(ids)))
    for label in ids:
        if tx.execute(SQL[f"borne_by_{_TABLES[level]}"], (str(label),)).fetchone() is None:
            tx.execute(SQL["remove"], (label,))


def _ids(tx: Transaction, labels: tuple[tuple[int, str], ...]) -> dict[tuple[int, str], int]:
    """The ids of those of *labels* that are known."""
    found = tx.execute(SQL["find"], (json.dumps(labels),))
    return {(row["tag"], row["value"]): row["id"] for row in found}


def _add(tx: Transaction, label: tuple[int, str]) -> int:
    return int(tx.execute(SQL["add"], label).fetchone()["id"])


def _words(ids: list[int]) -> str:
    return " ".join(map(str, ids))
