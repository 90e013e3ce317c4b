"""Instance Availability (0008,0056) of what a search found (PS3.4 C.4.1.1.3.2). Knows rows, not where the bytes are.

A study or series of which anything has to be fetched from slow storage first is NEARLINE, and so is each instance of
such a series. All else is ONLINE, which the doors say where a row says nothing.

Reading: what waits in another node's spool is ONLINE: it is on its way, and nothing has to be fetched.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Final

from relais.archive import Archive
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import SeriesRef
from relais.index import spooled
from relais.storage.spooling import Spooling

INSTANCE_AVAILABILITY: Final = "00080056"
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = "0020000D", "0020000E"
FRESH_S = 10.0  # for so long an answer is given again as it was, where anything is NEARLINE


def told(archive: Archive, level: Level, rows: Iterable[JsonDataset]) -> Iterable[JsonDataset]:
    """*rows*, which say so where they are NEARLINE. Asks nobody but the index."""
    return _told(archive, level, rows) if _may_be_nearline(archive, level) else rows


def stamp(archive: Archive, level: Level) -> int:
    """While this is the same, what was told may be told again, as it is but for FRESH_S.

    What comes from slow storage, or goes there, is no change of the index and has no revision.
    """
    return 1 + int(time.time() // FRESH_S) if _may_be_nearline(archive, level) else 0


def _may_be_nearline(archive: Archive, level: Level) -> bool:
    return level is not Level.PATIENT and isinstance(archive.store, Spooling) and spooled.any_nearline(archive.db)


def _told(archive: Archive, level: Level, rows: Iterable[JsonDataset]) -> Iterator[JsonDataset]:
    known: dict[str, frozenset[SeriesRef]] = {}
    for row in rows:
        study = _uid(row, STUDY_INSTANCE_UID)
        if study not in known:
            known[study] = spooled.nearline(archive.db, [study])
        found = known[study]
        if found and (level is Level.STUDY or SeriesRef(study, _uid(row, SERIES_INSTANCE_UID)) in found):
            yield {**row, INSTANCE_AVAILABILITY: {"vr": "CS", "Value": ["NEARLINE"]}}
        else:
            yield row


def _uid(row: JsonDataset, key: str) -> str:
    values = row.get(key, {}).get("Value")
    return str(values[0]) if values else ""
