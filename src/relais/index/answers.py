"""Rows as the attributes that an answer holds. Knows packed documents and counters, not matching.

A row's packed attributes are what its Data Set said; UIDs and counts, which the row itself knows, are put in here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from relais.db.database import Row
from relais.dicom.json_model import JsonDataset

Columns = Row | Mapping[str, Any]
STUDY_UID, SERIES_UID, SOP_UID, SOP_CLASS_UID = "0020000D", "0020000E", "00080018", "00080016"
TRANSFER_SYNTAX_UID = "00083002"  # Available Transfer Syntax UID
MODALITIES, SOP_CLASSES = "00080061", "00080062"
STUDY_SERIES, STUDY_INSTANCES, SERIES_INSTANCES = "00201206", "00201208", "00201209"
PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES = "00201200", "00201202", "00201204"


def study(row: Columns, found: JsonDataset) -> JsonDataset:
    """The attributes of a study and its patient. Modalities in Study is not among them where there is none."""
    found[STUDY_UID] = _uids(row["study_instance_uid"])
    found[STUDY_SERIES] = _count(row["series_count"])
    found[STUDY_INSTANCES] = _count(row["instance_count"])
    if row["modalities"]:
        found[MODALITIES] = {"vr": "CS", "Value": row["modalities"].split("\\")}
    return found


def series(row: Columns, found: JsonDataset) -> JsonDataset:
    """The attributes of a series."""
    found[SERIES_UID] = _uids(row["series_instance_uid"])
    found[SERIES_INSTANCES] = _count(row["instance_count"])
    return found


def instance(row: Columns, found: JsonDataset) -> JsonDataset:
    """The attributes of an instance."""
    found[SOP_UID] = _uids(row["sop_instance_uid"])
    found[SOP_CLASS_UID] = _uids(row["sop_class"])
    found[TRANSFER_SYNTAX_UID] = _uids(row["transfer_syntax"])
    return found


def sop_classes(uids: Iterable[str]) -> JsonDataset:
    """SOP Classes in Study (0008,0062)."""
    return {SOP_CLASSES: _uids(*uids)}


def patient_counts(studies: int, series_count: int, instances: int) -> JsonDataset:
    """What the index holds of a patient."""
    return {
        PATIENT_STUDIES: _count(studies),
        PATIENT_SERIES: _count(series_count),
        PATIENT_INSTANCES: _count(instances),
    }


def _uids(*uids: str) -> dict[str, object]:
    return {"vr": "UI", "Value": list(uids)}


def _count(number: int) -> dict[str, object]:
    return {"vr": "IS", "Value": [number]}
