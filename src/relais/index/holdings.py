"""How large studies and series are and when they came. Knows counters and rows, no files."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from relais.db import statements
from relais.db.database import Database, Row
from relais.dicom.refs import SeriesRef, StudyRef

SQL = statements.load("relais.index.sql", "holdings.sql")


@dataclass(frozen=True, slots=True)
class Holding:
    """*received_at* is when its first instance came, in seconds since the epoch."""

    size_bytes: int
    series: int
    instances: int
    received_at: float


def studies(db: Database, refs: Iterable[StudyRef]) -> dict[StudyRef, Holding]:
    """What is held of *refs*; those that are not there are left out."""
    wanted = json.dumps([ref.study_instance_uid for ref in refs])
    with db.read() as connection:
        return {
            StudyRef(row["study_instance_uid"]): _holding(row) for row in connection.execute(SQL["studies"], (wanted,))
        }


def series(db: Database, ref: StudyRef) -> dict[SeriesRef, Holding]:
    """What is held of each series of a study."""
    with db.read() as connection:
        rows = connection.execute(SQL["series"], (ref.study_instance_uid,))
        return {ref.series(row["series_instance_uid"]): _holding(row) for row in rows}


def _holding(row: Row) -> Holding:
    return Holding(row["size_bytes"], row["series_count"], row["instance_count"], row["created_at"])
