"""Rejection notes: Key Object Selections that name deleted instances and why (IHE RAD TF-2 4.66, PS3.16 TID 2010).

Knows the standard, not who deletes. One note can name a hundred thousand instances, so its long sequences are encoded
by hand and the rest by pydicom.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from relais.dicom import part10, uids
from relais.dicom.json_model import JsonDataset, to_dataset
from relais.dicom.refs import InstanceRef

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.88.59"  # Key Object Selection Document
# What the note repeats of the study: Specific Character Set apart, all are of type 2 or required there.
STUDY_KEYS = (
    *("00080020", "00080030", "00080050", "00080090", "00081030", "00100010", "00100020", "00100021", "00100030"),
    *("00100040", "0020000D", "00200010"),
)
_EMPTY = {"00080020": "DA", "00080030": "TM", "00080050": "SH", "00080090": "PN", "00200010": "SH"} | {
    "00100010": "PN",
    "00100020": "LO",
    "00100030": "DA",
    "00100040": "CS",
}


class Reason(StrEnum):
    """Why instances were deleted: a code of PS3.16 CID 7011, or none."""

    NONE = ""
    QUALITY = "113001"
    PATIENT_SAFETY = "113037"
    WRONG_WORKLIST_ENTRY = "113038"
    RETENTION_EXPIRED = "113039"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Reason.NONE: "Deleted without a reason given",
    Reason.QUALITY: "Rejected for Quality Reasons",
    Reason.PATIENT_SAFETY: "Rejected for Patient Safety Reasons",
    Reason.WRONG_WORKLIST_ENTRY: "Incorrect Modality Worklist Entry",
    Reason.RETENTION_EXPIRED: "Data Retention Policy Expired",
}
UNWANTED = frozenset({Reason.QUALITY, Reason.PATIENT_SAFETY, Reason.WRONG_WORKLIST_ENTRY})
"""What was deleted for one of these is unwanted for good, so that it may be refused when it comes again."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One instance that a note names."""

    ref: InstanceRef
    sop_class_uid: str
    is_image: bool


def encode(reason: Reason, study: JsonDataset, rejected: Sequence[Rejected], at: datetime) -> tuple[str, bytes]:
    """A new note as a Part 10 file, and its SOP Instance UID. *study* has the attributes of the study that it is about.

    *rejected* are all of that study; *at* is aware.
    """
    uid = uids.generate()
    ordered = sorted(rejected, key=lambda one: (one.ref.series_instance_uid, one.ref.sop_instance_uid))
    ds = _document(reason, study, uid, at)
    elements = {int(elem.tag): _encoded(elem, ds) for elem in ds}
    elements[0x0040A375] = _sequence(0x0040A375, [_evidence(study, ordered)])
    elements[0x0040A730] = _sequence(0x0040A730, map(_content_item, ordered))
    meta = part10.FileMeta(uids.EXPLICIT_VR_LITTLE_ENDIAN, SOP_CLASS_UID, uid)
    return uid, part10.encode_head(meta) + b"".join(elements[tag] for tag in sorted(elements))


def _document(reason: Reason, study: JsonDataset, uid: str, at: datetime) -> Dataset:
    """The note without what it refers to (PS3.3 A.35.4)."""
    kept = {key: study[key] for key in STUDY_KEYS if key in study}
    ds = to_dataset({key: {"vr": vr} for key, vr in _EMPTY.items()} | kept)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = SOP_CLASS_UID, uid, uids.generate()
    ds.Modality, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = "KO", "Relais", 1, 1
    ds.ContentDate, ds.ContentTime = at.strftime("%Y%m%d"), at.strftime("%H%M%S.%f")
    ds.TimezoneOffsetFromUTC = at.strftime("%z")
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [_title(reason)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    ds.ContentTemplateSequence = [template]
    return ds


def _title(reason: Reason) -> Dataset:
    """Deviation: where no reason was given the title is a code of ours, for PS3.16 CID 7010 has none that says so."""
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator = (reason or "DELETED"), ("DCM" if reason else "99RELAIS")
    title.CodeMeaning = reason.meaning
    return title


def _encoded(elem: object, ds: Dataset) -> bytes:
    writer = DicomBytesIO()
    writer.is_little_endian, writer.is_implicit_VR = True, False
    write_data_element(writer, elem, ds.get("SpecificCharacterSet", "ISO_IR 6"))  # type: ignore[arg-type]
    return writer.getvalue()


def _evidence(study: JsonDataset, rejected: Iterable[Rejected]) -> bytes:
    """The Item of Current Requested Procedure Evidence Sequence (0040,A375): what is named, by series."""
    series = [
        _sequence(0x00081199, map(_sop, instances)) + _element(0x0020000E, b"UI", uid)
        for uid, instances in groupby(rejected, key=lambda one: one.ref.series_instance_uid)
    ]
    (study_instance_uid,) = study["0020000D"]["Value"]
    return _sequence(0x00081115, series) + _element(0x0020000D, b"UI", study_instance_uid)


def _content_item(one: Rejected) -> bytes:
    """An Item of Content Sequence (0040,A730) that names one instance (PS3.16 TID 2010)."""
    return (
        _sequence(0x00081199, [_sop(one)])
        + _element(0x0040A010, b"CS", "CONTAINS")
        + _element(0x0040A040, b"CS", "IMAGE" if one.is_image else "COMPOSITE")
    )


def _sop(one: Rejected) -> bytes:
    """Referenced SOP Class and Instance UID."""
    return _element(0x00081150, b"UI", one.sop_class_uid) + _element(0x00081155, b"UI", one.ref.sop_instance_uid)


def _element(tag: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _sequence(tag: int, items: Iterable[bytes]) -> bytes:
    content = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, b"SQ", len(content)) + content
