"""Studies as a file-set on a disc, with a DICOMDIR and the short names that it demands (PS3.10 8, PS3.11, PS3.3 F).

1. Files hold what is stored, byte for byte. What the archive itself has damaged or lost is told, and left out.
2. The DICOMDIR comes last: what was interrupted is no disc.
3. A PATIENT record describes one patient as the index tells patients apart, by ID and issuer, and its ID is unique
   (PS3.3 F.5.1). Who has no ID is another one in each study; who shares an ID with others is named with its issuer.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pydicom import Dataset, dcmread
from pydicom.fileset import FileSet
from pydicom.multival import MultiValue

from relais.access.principals import Principal
from relais.archive import Archive, retrieve
from relais.archive.export import Exported, Progress, write
from relais.dicom.json_model import JsonDataset, text
from relais.dicom.refs import StudyRef
from relais.errors import InvalidRequest, writing
from relais.index.rows import InstanceRow

PART, OBJECTS, FILE_SET, DICOMDIR = ".relais.part", "objects", "file-set", "DICOMDIR"
NEEDED = {
    "PatientName": "UNKNOWN",
    "StudyID": "1",
    "SeriesNumber": "1",
    "InstanceNumber": "1",
    "Modality": "OT",
    "CompletionFlag": "PARTIAL",
    "VerificationFlag": "UNVERIFIED",
    "DoseSummationType": "UNKNOWN",
    "StructureSetLabel": "UNKNOWN",
    "ContentLabel": "UNKNOWN",
    "MIMETypeOfEncapsulatedDocument": "application/octet-stream",
    **dict.fromkeys(("StudyDate", "ContentDate", "PresentationCreationDate", "InstanceCreationDate"), "19000101"),
    **dict.fromkeys(("StudyTime", "ContentTime", "PresentationCreationTime"), "000000"),
}
"""What a directory record must have (PS3.3 F.5) and a stored instance may lack: said in the DICOMDIR only."""
PLANS = "1.2.840.10008.5.1.4.1.1.481.5", "1.2.840.10008.5.1.4.1.1.481.8"  # RT Plan and RT Ion Plan Storage
_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_MAX_ID, _DIGITS = 64, 8  # characters of an LO (PS3.5 6.2), and of a digest in an ID that we make up


class _Patient(NamedTuple):
    """Whom a PATIENT record describes. *study_instance_uid* is that of the only study of a patient without an ID."""

    patient_id: str
    issuer: str
    study_instance_uid: str


def to_media(
    archive: Archive, principal: Principal, refs: Iterable[StudyRef], folder: Path, progress: Progress
) -> Exported:
    """Write the studies as one file-set with a DICOMDIR into *folder*, which must be new or empty.

    Memory grows with the number of instances: this is for patients, not for archives. Raises NotFound, Gone,
    Unavailable, OutOfResources, and InvalidRequest if the folder is not empty or an instance cannot be described in a
    DICOMDIR; then nothing is left.
    """
    done, objects = Exported(), dict[str, Path]()
    with writing(folder), _beside(folder) as work, _file_set() as fileset:
        patients: dict[_Patient, str] = {}
        for ref in refs:
            study = retrieve.attributes(archive, principal, ref)
            for row in retrieve.instances(archive, principal, ref):
                path = work / OBJECTS / str(len(objects))
                if write(archive, row, path, done):
                    objects[row.ref.sop_instance_uid] = path
                    _add(fileset, _described(path, row), study, patients)
                progress(row.size_bytes)
        if objects:
            _name_patients(fileset, patients)
            fileset.write(work / FILE_SET)
            for instance in fileset:  # until now its file holds what its record was made from
                objects[str(instance.SOPInstanceUID)].replace(instance.path)
            _put_in_place(work / FILE_SET, folder)
    return done


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A place in *folder* to make the file-set in, gone afterwards. What was left of one that was killed goes, too."""
    work, is_new = folder / PART, not folder.exists()
    if not is_new and any(path != work for path in folder.iterdir()):
        raise InvalidRequest(f"{folder} is not empty: a file-set is written as a whole.")
    shutil.rmtree(work, ignore_errors=True)
    (work / OBJECTS).mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


@contextmanager
def _file_set() -> Iterator[FileSet]:
    fileset = FileSet()
    try:
        yield fileset
    finally:
        fileset._stage["t"].cleanup()  # Seen: pydicom 3 leaves its temporary folder to the collector, which complains


def _put_in_place(work: Path, folder: Path) -> None:
    for path in sorted(work.iterdir(), key=lambda path: path.name == DICOMDIR):
        path.rename(folder / path.name)


def _add(fileset: FileSet, ds: Dataset, study: JsonDataset, patients: dict[_Patient, str]) -> None:
    """Add an instance, for the time being with a number as the ID of its patient."""
    patient = _patient_of(ds, study)
    ds.PatientID = patients.setdefault(patient, str(len(patients)))
    try:
        fileset.add(ds)
    except ValueError as exc:
        raise InvalidRequest(f"{ds.SOPInstanceUID} has no place in a DICOMDIR: {exc}.") from exc


def _patient_of(ds: Dataset, study: JsonDataset) -> _Patient:
    """The patient of its *study*, as long as the instance names no other one."""
    own = [_said(ds.get(keyword)) for keyword in ("PatientID", "IssuerOfPatientID")]
    theirs = [(text(study, tag) or "").strip() for tag in (_PATIENT_ID, _ISSUER)]
    if all(mine == other for mine, other in zip(own, theirs, strict=True) if mine and other):
        own = [mine or other for mine, other in zip(own, theirs, strict=True)]
    patient_id, issuer = own
    return _Patient(patient_id, issuer, "") if patient_id else _Patient("", "", str(ds.StudyInstanceUID))


def _said(value: object) -> str:
    """One text of what an attribute of one value says, even if it says several."""
    return ("\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")).strip()


def _name_patients(fileset: FileSet, patients: dict[_Patient, str]) -> None:
    """Put into the PATIENT records by what ID each patient is told from all others."""
    known, said = {number: patient for patient, number in patients.items()}, _ids(list(patients))
    for node in fileset._tree.children:
        if node.record_type == "PATIENT":
            record = node._record
            patient = known[str(record.PatientID)]
            record.PatientID = said[patient]
            if patient.issuer:
                record.IssuerOfPatientID = patient.issuer


def _ids(patients: Sequence[_Patient]) -> dict[_Patient, str]:
    """An ID for each of them that no other has: its own, if that is so.

    Reading: PS3.3 F.5.1 wants unique IDs and does not say what becomes of those that different issuers gave out.
    """
    counts = Counter(patient.patient_id for patient in patients)
    found = {
        patient: patient.patient_id
        for patient in patients
        if patient.patient_id and (counts[patient.patient_id] == 1 or not patient.issuer)
    }
    for patient in patients:
        if patient not in found:
            digest = sha256("\0".join(patient).encode()).hexdigest()[:_DIGITS]
            name = f"{patient.patient_id}^^^{patient.issuer}" if patient.patient_id else f"UNKNOWN {digest}"
            if len(name) > _MAX_ID or name in found.values():
                name = f"{name[: _MAX_ID - _DIGITS - 1]} {digest}"
            found[patient] = name
    return found


def _described(path: Path, row: InstanceRow) -> Dataset:
    """The instance without its pixels, with what a directory record must have but for who its patient is."""
    ds = dcmread(path, stop_before_pixels=True)
    if not ds.original_encoding[0] and any(element.VR is None for element in ds.values()):
        _ = list(
            ds.iterall()
        )  # Seen: Implicit VR in SC_rgb_jpeg.dcm of pydicom; what is looked at has a VR to be written
    for keyword, value in NEEDED.items():
        if not ds.get(keyword):
            setattr(ds, keyword, value)
    if row.sop_class_uid in PLANS and not ds.get("RTPlanLabel"):
        ds.RTPlanLabel = "UNKNOWN"
    if not ds.get("ConceptNameCodeSequence"):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "UNKNOWN", "99RELAIS", "Unknown"
        ds.ConceptNameCodeSequence = [code]
    return _as_document(ds)


def _as_document(ds: Dataset) -> Dataset:
    """*ds*, of whose document a directory record has what modifies its title, and no more (PS3.3 F.5.23).

    When it was last verified is said there; in the document its observers say so, each in an Item.
    """
    observers: Sequence[Dataset] = ds.get("VerifyingObserverSequence") or ()
    if moments := [str(item.VerificationDateTime) for item in observers if item.get("VerificationDateTime")]:
        ds.VerificationDateTime = max(moments)
    content: Sequence[Dataset] = ds.get("ContentSequence") or ()
    title = [item for item in content if item.get("RelationshipType") == "HAS CONCEPT MOD"]
    if title:
        ds.ContentSequence = title
    elif "ContentSequence" in ds:
        del ds.ContentSequence
    return ds
