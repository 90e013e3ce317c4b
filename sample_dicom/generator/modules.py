"""The attributes of an instance, module by module (PS3.3 C.7 and C.8). Knows pydicom; pixels come from elsewhere."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from generator.shapes import Array


def uid(name: str) -> UID:
    """The same UID for the same name, always (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, 'relais sample_dicom ' + name).int}")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """One Item of a code sequence (PS3.3 8.1)."""
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def dataset(**attributes: Any) -> Dataset:
    """A Data Set with these attributes; lists of Data Sets become Sequences."""
    ds = Dataset()
    put(ds, **attributes)
    return ds


def put(ds: Dataset, **attributes: Any) -> None:
    """Set attributes by keyword."""
    for keyword, value in attributes.items():
        is_sequence = isinstance(value, list) and all(isinstance(item, Dataset) for item in value)
        setattr(ds, keyword, Sequence(value) if is_sequence and keyword.endswith("Sequence") else value)


@dataclass(frozen=True)
class Site:
    """A hospital. Invented, as everything here."""

    folder: str
    institution: str
    address: str
    issuer: str


@dataclass(frozen=True)
class Patient:
    """A person, as one site knows them."""

    site: Site
    name: str
    patient_id: str
    birth_date: str
    sex: str
    charset: str | list[str] = "ISO_IR 100"
    size_m: str = ""
    weight_kg: str = ""


@dataclass(frozen=True)
class Study:
    """One visit to the scanner. *key* names its folder and its UIDs."""

    key: str
    patient: Patient
    date: str
    time: str
    accession: str
    description: str
    referring: str
    age: str = ""

    @property
    def study_instance_uid(self) -> UID:
        return uid(self.key)


@dataclass(frozen=True)
class Series:
    """One series and the machine that made it. *extra* is set on each of its instances."""

    study: Study
    number: int
    modality: str
    description: str
    manufacturer: str = "Borea Medical"
    model: str = ""
    station: str = ""
    body_part: str = ""
    protocol: str = ""
    operator: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.study.key}/{self.number}"


def instance(series: Series, number: int, sop_class_uid: str, **attributes: Any) -> Dataset:
    """A Data Set with everything but pixels: patient, study, series, equipment, SOP common; then *attributes*."""
    ds = Dataset()
    study, patient = series.study, series.study.patient
    _patient_and_study(ds, study)
    began = 60 + series.number * 20  # seconds after the study did
    clock = later(study.time, began + number)
    put(
        ds,
        SpecificCharacterSet=patient.charset,
        SOPClassUID=UID(sop_class_uid),
        SOPInstanceUID=uid(f"{series.key}/{number}"),
        InstanceCreationDate=study.date,
        InstanceCreationTime=clock,
        Modality=series.modality,
        SeriesInstanceUID=uid(series.key),
        SeriesNumber=series.number,
        SeriesDescription=series.description,
        SeriesDate=study.date,
        SeriesTime=later(study.time, began),
        ContentDate=study.date,
        ContentTime=clock,
        InstanceNumber=number,
        Manufacturer=series.manufacturer,
        InstitutionName=patient.site.institution,
        InstitutionAddress=patient.site.address,
        StationName=series.station,
        ManufacturerModelName=series.model,
        DeviceSerialNumber=f"BM{uid(series.station).split('.')[-1][:6]}",
        SoftwareVersions="4.2.1",
    )
    _request(ds, series)
    put(ds, **series.extra, **attributes)
    return ds


def later(time: str, seconds: int) -> str:
    """A TM so many seconds after *time*; all on one day."""
    whole = int(time[:2]) * 3600 + int(time[2:4]) * 60 + int(time[4:6]) + seconds
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}"


def _patient_and_study(ds: Dataset, study: Study) -> None:
    patient = study.patient
    put(
        ds,
        PatientName=patient.name,
        PatientID=patient.patient_id,
        IssuerOfPatientID=patient.site.issuer,
        PatientBirthDate=patient.birth_date,
        PatientSex=patient.sex,
        StudyInstanceUID=study.study_instance_uid,
        StudyDate=study.date,
        StudyTime=study.time,
        AccessionNumber=study.accession,
        StudyID=study.accession[-4:],
        StudyDescription=study.description,
        ReferringPhysicianName=study.referring,
    )
    for keyword, value in (
        ("PatientAge", study.age),
        ("PatientSize", patient.size_m),
        ("PatientWeight", patient.weight_kg),
    ):
        if value:
            setattr(ds, keyword, value)


def _request(ds: Dataset, series: Series) -> None:
    """Who asked for it and under which numbers (PS3.3 10.6), where a scanner knows."""
    if series.body_part:
        ds.BodyPartExamined = series.body_part
    if series.protocol:
        study = series.study
        step = dataset(
            RequestedProcedureID=f"P{study.accession}",
            RequestedProcedureDescription=study.description,
            ScheduledProcedureStepID=f"S{study.accession}",
            ScheduledProcedureStepDescription=series.protocol,
        )
        put(
            ds,
            ProtocolName=series.protocol,
            OperatorsName=series.operator,
            PerformedProcedureStepStartDate=study.date,
            PerformedProcedureStepStartTime=study.time,
            PerformedProcedureStepID=f"S{study.accession}",
            RequestAttributesSequence=[step],
        )


def grey(ds: Dataset, pixels: Array, bits_stored: int, photometric: str = "MONOCHROME2") -> Dataset:
    """The Image Pixel module for grey images; frames, if any, are the first axis (PS3.3 C.7.6.3)."""
    signed = pixels.dtype.kind == "i"
    allocated = 8 if bits_stored <= 8 else 16
    put(
        ds,
        SamplesPerPixel=1,
        PhotometricInterpretation=photometric,
        Rows=pixels.shape[-2],
        Columns=pixels.shape[-1],
        BitsAllocated=allocated,
        BitsStored=bits_stored,
        HighBit=bits_stored - 1,
        PixelRepresentation=int(signed),
    )
    ds.PixelData = np.ascontiguousarray(pixels, dtype="<u1" if allocated == 8 else "<i2" if signed else "<u2").tobytes()
    ds["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return ds


def colour(ds: Dataset, pixels: Array) -> Dataset:
    """The Image Pixel module for RGB, colour by pixel; frames, if any, are the first axis."""
    put(
        ds,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        Rows=pixels.shape[-3],
        Columns=pixels.shape[-2],
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
    )
    ds.PixelData = np.ascontiguousarray(pixels, dtype="<u1").tobytes()
    ds["PixelData"].VR = "OB"
    return ds


def plane(ds: Dataset, position: tuple[float, float, float], spacing_mm: float, thickness_mm: float) -> None:
    """Where an axial slice lies (PS3.3 C.7.6.2). z grows towards the head."""
    put(
        ds,
        FrameOfReferenceUID=uid(f"{ds.StudyInstanceUID} frame of reference"),
        PositionReferenceIndicator="",
        ImagePositionPatient=[decimal(value) for value in position],
        ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
        PixelSpacing=[decimal(spacing_mm)] * 2,
        SliceThickness=decimal(thickness_mm),
        SliceLocation=decimal(position[2]),
    )


def decimal(value: float) -> str:
    """A DS of few characters."""
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"
