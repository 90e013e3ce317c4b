"""The one table of attributes: what is kept, matched and returned, per level. Knows the standard, not SQL or wires.

The index's columns, QIDO keys, C-FIND keys, return attributes and the conformance statement all follow this table.
Adding a searchable attribute is one line here and one migration; a test sees that both agree.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052) (PS3.4 C.6.1.1.1)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


LEVELS = tuple(Level)


class Use(StrEnum):
    """What an attribute is to a search at its level."""

    UNIQUE = "unique"  # unique key: matched, always returned
    REQUIRED = "required"  # matched, always returned (PS3.18 tables 10.6.3-3 to -5; PS3.4 C.6.1.1, C.6.2.1)
    CONDITIONAL = "conditional"  # matched where it has a column; always returned where it is known (type C there)
    OPTIONAL = "optional"  # matched, returned when asked for
    KEPT = "kept"  # not matched; returned when asked for
    DERIVED = "derived"  # made from counts or from the level below; returned; matched where a match is defined


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table. *column* names the index column that holds it, None where only kept JSON does."""

    keyword: str
    level: Level
    use: Use
    column: str | None = None

    @property
    def tag(self) -> int:
        tag = tag_for_keyword(self.keyword)
        assert tag is not None, self.keyword
        return tag

    @property
    def vr(self) -> str:
        return dictionary_VR(self.tag)

    @property
    def is_matched(self) -> bool:
        return self.column is not None


P, T, S, X = LEVELS
UNIQUE, REQUIRED, CONDITIONAL, OPTIONAL, KEPT, DERIVED = Use

TABLE: tuple[Attribute, ...] = tuple(
    Attribute(*row)
    for row in (
        # Patient (PS3.3 C.7.1.1). Kept on the study: a patient is what its studies say.
        ("PatientID", P, UNIQUE, "patient_id"),
        ("PatientName", P, REQUIRED, "patient_name"),
        ("IssuerOfPatientID", P, OPTIONAL, "issuer_of_patient_id"),
        ("PatientBirthDate", P, REQUIRED, "patient_birth_date"),
        ("PatientSex", P, REQUIRED, "patient_sex"),
        ("PatientBirthTime", P, KEPT, None),
        ("OtherPatientIDs", P, KEPT, None),
        ("OtherPatientNames", P, KEPT, None),
        ("EthnicGroup", P, KEPT, None),
        ("PatientComments", P, KEPT, None),
        ("NumberOfPatientRelatedStudies", P, DERIVED, None),
        ("NumberOfPatientRelatedSeries", P, DERIVED, None),
        ("NumberOfPatientRelatedInstances", P, DERIVED, None),
        # Study (PS3.3 C.7.2.1, C.7.2.2)
        ("StudyInstanceUID", T, UNIQUE, "study_instance_uid"),
        ("StudyDate", T, REQUIRED, "study_date"),
        ("StudyTime", T, REQUIRED, "study_time"),
        ("AccessionNumber", T, REQUIRED, "accession_number"),
        ("StudyID", T, REQUIRED, "study_id"),
        ("ReferringPhysicianName", T, REQUIRED, "referring_physician_name"),
        ("StudyDescription", T, OPTIONAL, "study_description"),
        ("TimezoneOffsetFromUTC", T, CONDITIONAL, None),
        ("IssuerOfAccessionNumberSequence", T, KEPT, None),
        ("NameOfPhysiciansReadingStudy", T, KEPT, None),
        ("AdmittingDiagnosesDescription", T, KEPT, None),
        ("ProcedureCodeSequence", T, KEPT, None),
        ("PatientAge", T, KEPT, None),
        ("PatientSize", T, KEPT, None),
        ("PatientWeight", T, KEPT, None),
        ("ModalitiesInStudy", T, DERIVED, "modality"),
        ("SOPClassesInStudy", T, DERIVED, None),
        ("NumberOfStudyRelatedSeries", T, DERIVED, None),
        ("NumberOfStudyRelatedInstances", T, DERIVED, None),
        # Series (PS3.3 C.7.3.1, C.7.5.1)
        ("SeriesInstanceUID", S, UNIQUE, "series_instance_uid"),
        ("Modality", S, REQUIRED, "modality"),
        ("SeriesNumber", S, REQUIRED, "series_number"),
        ("SeriesDescription", S, CONDITIONAL, "series_description"),
        ("SeriesDate", S, OPTIONAL, "series_date"),
        ("SeriesTime", S, OPTIONAL, "series_time"),
        ("PerformedProcedureStepStartDate", S, CONDITIONAL, "performed_procedure_step_start_date"),
        ("PerformedProcedureStepStartTime", S, CONDITIONAL, "performed_procedure_step_start_time"),
        ("RequestAttributesSequence", S, CONDITIONAL, "request_attributes"),
        ("BodyPartExamined", S, OPTIONAL, "body_part_examined"),
        ("Laterality", S, OPTIONAL, "laterality"),
        ("Manufacturer", S, OPTIONAL, "manufacturer"),
        ("ManufacturerModelName", S, OPTIONAL, "manufacturer_model_name"),
        ("StationName", S, OPTIONAL, "station_name"),
        ("InstitutionName", S, OPTIONAL, "institution_name"),
        ("ProtocolName", S, KEPT, None),
        ("InstitutionalDepartmentName", S, KEPT, None),
        ("PerformingPhysicianName", S, KEPT, None),
        ("OperatorsName", S, KEPT, None),
        ("FrameOfReferenceUID", S, KEPT, None),
        ("PatientPosition", S, KEPT, None),
        ("NumberOfSeriesRelatedInstances", S, DERIVED, None),
        # Instance (PS3.3 C.12.1, C.7.6)
        ("SOPInstanceUID", X, UNIQUE, "sop_instance_uid"),
        ("SOPClassUID", X, REQUIRED, "sop_class_uid"),
        ("InstanceNumber", X, REQUIRED, "instance_number"),
        ("Rows", X, CONDITIONAL, "rows"),
        ("Columns", X, CONDITIONAL, "columns"),
        ("BitsAllocated", X, CONDITIONAL, "bits_allocated"),
        ("NumberOfFrames", X, CONDITIONAL, "number_of_frames"),
        ("AvailableTransferSyntaxUID", X, DERIVED, None),
        ("ContentDate", X, OPTIONAL, "content_date"),
        ("ContentTime", X, OPTIONAL, "content_time"),
        ("SamplesPerPixel", X, KEPT, None),
        ("PhotometricInterpretation", X, KEPT, None),
        ("BitsStored", X, KEPT, None),
        ("ImageType", X, KEPT, None),
        ("AcquisitionNumber", X, KEPT, None),
        ("AcquisitionDate", X, KEPT, None),
        ("AcquisitionTime", X, KEPT, None),
        ("ImageComments", X, KEPT, None),
        ("ContentLabel", X, KEPT, None),
        ("ContentDescription", X, KEPT, None),
        ("ConceptNameCodeSequence", X, KEPT, None),
        ("CompletionFlag", X, KEPT, None),
        ("VerificationFlag", X, KEPT, None),
        ("DocumentTitle", X, KEPT, None),
        ("MIMETypeOfEncapsulatedDocument", X, KEPT, None),
    )
)

# The keys inside the Items of the Request Attributes Sequence that sequence matching reaches (PS3.18 table 10.6.1-5).
REQUEST_ATTRIBUTES: dict[str, str] = {
    "ScheduledProcedureStepID": "scheduled_procedure_step_id",
    "RequestedProcedureID": "requested_procedure_id",
    "StudyInstanceUID": "study_instance_uid",
    "AccessionNumber": "accession_number",
}


@cache
def by_tag() -> dict[int, Attribute]:
    """The table by tag."""
    return {attribute.tag: attribute for attribute in TABLE}


DECLARABLE_VRS = frozenset({"AS", "CS", "DA", "DS", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT"})


def declared(name: str) -> Attribute:
    """The kept attribute of a patient, study or series that *name* (keyword, or tag as 0010,4000) lets be searched by.

    Raises ValueError if there is none, or it is matched anyway.
    """
    digits = name.strip("()").replace(",", "")
    tag = (
        int(digits, 16) if len(digits) == 8 and set(digits) <= set("0123456789abcdefABCDEF") else tag_for_keyword(name)
    )
    found = by_tag().get(tag or 0)
    if found is None or found.use is not Use.KEPT or found.level is Level.IMAGE or found.vr not in DECLARABLE_VRS:
        able = (row for row in TABLE if row.use is Use.KEPT and row.level is not Level.IMAGE)
        names = ", ".join(row.keyword for row in able if row.vr in DECLARABLE_VRS)
        raise ValueError(f"{name} cannot be declared; these can: {names}")
    return found


def levels_above(level: Level) -> tuple[Level, ...]:
    """The levels above *level*, highest first."""
    return LEVELS[: LEVELS.index(level)]
