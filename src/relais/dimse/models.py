"""The Query/Retrieve Information Models and their unique keys (PS3.4 C.6). Knows UIDs, levels and tags, no requests."""

from collections.abc import Mapping
from dataclasses import dataclass

from relais.dicom.attributes import LEVELS, Level

UNIQUE_KEYS: Mapping[Level, int] = {
    Level.PATIENT: 0x00100020,
    Level.STUDY: 0x0020000D,
    Level.SERIES: 0x0020000E,
    Level.IMAGE: 0x00080018,
}


@dataclass(frozen=True, slots=True)
class Model:
    """One information model. Its SOP Classes for C-FIND, C-MOVE and C-GET are its root and .1, .2, .3."""

    root: str
    levels: tuple[Level, ...]

    def levels_above(self, level: Level) -> tuple[Level, ...]:
        """The levels of this model above *level*, highest first."""
        return self.levels[: self.levels.index(level)]


# PS3.4 C.6.1, C.6.2, and the retired C.6.3.
PATIENT_ROOT = Model("1.2.840.10008.5.1.4.1.2.1", LEVELS)
STUDY_ROOT = Model("1.2.840.10008.5.1.4.1.2.2", LEVELS[1:])
PATIENT_STUDY_ONLY = Model("1.2.840.10008.5.1.4.1.2.3", LEVELS[:2])
MODELS = (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY)

SERVICES = {"1": "C-FIND", "2": "C-MOVE", "3": "C-GET"}
_BY_SOP_CLASS = {f"{model.root}.{last}": (model, name) for model in MODELS for last, name in SERVICES.items()}


def model_of(sop_class_uid: str) -> tuple[Model, str]:
    """The model of a Query/Retrieve SOP Class and the service it stands for. KeyError if it is none."""
    return _BY_SOP_CLASS[sop_class_uid]


def sop_classes() -> tuple[str, ...]:
    """Every Query/Retrieve SOP Class that we are SCP of."""
    return tuple(_BY_SOP_CLASS)
