"""What the templates show of a study, a series or an instance, ready to print. Knows JSON rows, no archive or Flask."""

from dataclasses import dataclass
from datetime import datetime

from pydicom.uid import UID

from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import SeriesRef, StudyRef
from relais.dicomweb import paths
from relais.index.holdings import Holding
from relais.ui import show
from relais.ui.show import PersonName

# What the modality of a series stands for, where people may not know (PS3.3 C.7.3.1.1.1).
MODALITIES = {
    "CT": "Computed tomography",
    "MR": "Magnetic resonance",
    "US": "Ultrasound",
    "XA": "X-ray angiography",
    "RF": "Fluoroscopy",
    "CR": "Computed radiography",
    "DX": "Digital radiography",
    "MG": "Mammography",
    "NM": "Nuclear medicine",
    "PT": "Positron emission tomography",
    "SR": "Structured report",
    "DOC": "Document",
    "KO": "Key object selection",
    "PR": "Presentation state",
    "OT": "Other",
}
DOCUMENTS = frozenset({"SR", "KO", "DOC"})


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One study, with its patient."""

    uid: str
    name: PersonName
    patient_id: str
    issuer: str
    birth_date: str
    sex: str
    age: str
    date: str
    time: str
    description: str
    accession: str
    referring: PersonName
    modalities: tuple[str, ...]
    series: int
    instances: int
    size: str = ""
    received: str = ""

    @property
    def ref(self) -> StudyRef:
        return StudyRef(self.uid)

    @property
    def images_first(self) -> tuple[str, ...]:
        """Modalities with pictures before documents."""
        return tuple(sorted(self.modalities, key=lambda modality: modality in DOCUMENTS))


def study(json: JsonDataset, holding: Holding | None, now: datetime) -> StudyRow:
    """A row of the study list."""
    birth_date, date = show.text(json, "PatientBirthDate"), show.text(json, "StudyDate")
    return StudyRow(
        uid=show.text(json, "StudyInstanceUID"),
        name=show.name(json, "PatientName"),
        patient_id=show.text(json, "PatientID"),
        issuer=show.text(json, "IssuerOfPatientID"),
        birth_date=show.day(birth_date),
        sex=show.sex(show.text(json, "PatientSex")),
        age=show.age(birth_date, date),
        date=show.day(date),
        time=show.clock(show.text(json, "StudyTime")),
        description=show.text(json, "StudyDescription"),
        accession=show.text(json, "AccessionNumber"),
        referring=show.name(json, "ReferringPhysicianName"),
        modalities=show.texts(json, "ModalitiesInStudy"),
        series=show.number(json, "NumberOfStudyRelatedSeries") or 0,
        instances=show.number(json, "NumberOfStudyRelatedInstances") or 0,
        size=show.size(holding.size_bytes) if holding else "",
        received=show.moment(holding.received_at, now) if holding else "",
    )


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series of a study."""

    uid: str
    number: str
    modality: str
    description: str
    instances: int
    body_part: str
    device: str
    institution: str
    size: str


def series(json: JsonDataset, holding: Holding | None) -> SeriesRow:
    """An entry of the series rail."""
    device = (show.text(json, "Manufacturer"), show.text(json, "ManufacturerModelName"))
    return SeriesRow(
        uid=show.text(json, "SeriesInstanceUID"),
        number=show.text(json, "SeriesNumber"),
        modality=show.text(json, "Modality"),
        description=show.text(json, "SeriesDescription"),
        instances=show.number(json, "NumberOfSeriesRelatedInstances") or 0,
        body_part=show.text(json, "BodyPartExamined").capitalize(),
        device=" ".join(filter(None, device)),
        institution=show.text(json, "InstitutionName"),
        size=show.size(holding.size_bytes) if holding else "",
    )


@dataclass(frozen=True, slots=True)
class InstanceLink:
    """One instance of a series, and where it is. *frames* is 0 for what is no image."""

    kind: str
    number: str
    frames: int
    page: str
    url: str


def instance(json: JsonDataset, ref: SeriesRef) -> InstanceLink:
    """An entry of the list of a series."""
    path = paths.format_ref(ref.instance(show.text(json, "SOPInstanceUID")))
    frames = max(show.number(json, "NumberOfFrames") or 1, 1) if show.text(json, "Rows") else 0
    named = kind(show.text(json, "SOPClassUID"))
    return InstanceLink(named, show.text(json, "InstanceNumber"), frames, f"/{path}", f"/dicom-web/{path}")


def kind(sop_class_uid: str) -> str:
    """A SOP Class as PS3.6 names it, without "Storage"; the UID where it is not known."""
    return UID(sop_class_uid).name.removesuffix(" Storage")
