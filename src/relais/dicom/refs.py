"""References to what the node holds, one type per level. Knows UIDs, not paths, keys or rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class StudyRef:
    """One study."""

    study_instance_uid: str

    def series(self, series_instance_uid: str) -> "SeriesRef":
        return SeriesRef(self.study_instance_uid, series_instance_uid)


@dataclass(frozen=True, slots=True, order=True)
class SeriesRef:
    """One series of a study."""

    study_instance_uid: str
    series_instance_uid: str

    @property
    def study(self) -> StudyRef:
        return StudyRef(self.study_instance_uid)

    def instance(self, sop_instance_uid: str) -> "InstanceRef":
        return InstanceRef(self.study_instance_uid, self.series_instance_uid, sop_instance_uid)


@dataclass(frozen=True, slots=True, order=True)
class InstanceRef:
    """One SOP Instance, in its series and study."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str

    @property
    def study(self) -> StudyRef:
        return StudyRef(self.study_instance_uid)

    @property
    def series(self) -> SeriesRef:
        return SeriesRef(self.study_instance_uid, self.series_instance_uid)


Ref = StudyRef | SeriesRef | InstanceRef
