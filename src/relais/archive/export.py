"""Studies as files in a folder, for another archive or for a disc. Knows files, not arguments.

1. Files hold what is stored, byte for byte. An instance that is there already in its full size is left as it is,
   whatever its file is called, so that an export that was interrupted goes on where it was. No file takes the place of
   another instance: after an export every instance is there once, whatever came since the one before.
2. Folders are for people, and the same each time: what makes a study's folder unlike all others comes from its UID.
3. A file-set (PS3.10 8, PS3.11) has a DICOMDIR and the short names that it demands.
"""

import os
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.fileset import FileSet

from relais.access.principals import Principal
from relais.archive import Archive, retrieve, zipped
from relais.archive.integrity import verified_chunks
from relais.dicom import uids
from relais.dicom.part10 import read_head
from relais.dicom.refs import SeriesRef, StudyRef
from relais.errors import InvalidDataSet, InvalidRequest, Unavailable, writing
from relais.index.rows import InstanceRow

Progress = Callable[[int], None]
"""Told the size of each file that is in its place."""

MARK = 8  # hexadecimal digits of the digest of a UID
SUFFIX = ".dcm"
NEEDED = {
    "PatientID": "UNKNOWN",
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


@dataclass(slots=True)
class Exported:
    """What an export wrote, in numbers of files; *present* were there already."""

    written: int = 0
    present: int = 0
    size_bytes: int = 0


def to_folder(archive: Archive, principal: Principal, ref: StudyRef, folder: Path, progress: Progress) -> Exported:
    """Write the study into *folder*/patient/study/series/NNNNN.dcm.

    Raises NotFound, Gone, Unavailable if an instance is damaged or a file that is there cannot be read, OutOfResources
    if one cannot be written.
    """
    done = Exported()
    for path, row, is_there in _placed(folder, list(study_files(archive, principal, ref))):
        if is_there:
            done.present += 1
        else:
            _write(archive, row, path, done)
        progress(row.size_bytes)
    return done


def to_media(
    archive: Archive, principal: Principal, refs: list[StudyRef], folder: Path, progress: Progress
) -> Exported:
    """Write the studies as one file-set with a DICOMDIR into *folder*, which must be new or empty.

    Memory grows with the number of instances: this is for patients, not for archives. Raises as to_folder does, and
    InvalidRequest if the folder is not empty or an instance cannot be described in a DICOMDIR.
    """
    with writing(folder):
        if folder.exists() and any(folder.iterdir()):
            raise InvalidRequest(f"{folder} is not empty: a file-set is written as a whole.")
    done, fileset, rows = Exported(), FileSet(), {}
    try:
        with writing(folder):
            for ref in refs:
                for row in retrieve.instances(archive, principal, ref):
                    _add(fileset, _described(archive, row))
                    rows[row.ref.sop_instance_uid] = row
            fileset.write(folder)
    finally:
        fileset._stage["t"].cleanup()  # Seen: pydicom 3 leaves its temporary folder to the collector, which complains
    for instance in fileset:
        path = Path(instance.path)
        with writing(path):
            path.unlink()  # until now it holds what the directory record was made from
        row = rows[str(instance.SOPInstanceUID)]
        _write(archive, row, path, done)
        progress(row.size_bytes)
    return done


def study_files(archive: Archive, principal: Principal, ref: StudyRef) -> Iterator[tuple[Path, InstanceRow]]:
    """The files of a study and their names. One decision and one audit record for all. Raises NotFound, Gone."""
    rows = retrieve.instances(archive, principal, ref)
    mark = _digest(ref.study_instance_uid)[:MARK]
    for name, row in zip(zipped.names(archive, principal, rows), rows, strict=True):
        patient, study, series, file = name.split("/")
        yield Path(patient) / f"{study} [{mark}]" / series / file, row


def _placed(folder: Path, named: Sequence[tuple[Path, InstanceRow]]) -> Iterator[tuple[Path, InstanceRow, bool]]:
    """Where each instance of a study is, or is to go, in *folder*, and whether it is there in its full size.

    Names say the place in the series, and what came since the last export has moved others: these stay where they are.
    """
    there = _instances_in(folder / named[0][0].parent.parent)
    found = {uid: path for path, uid in reversed(there.items())}
    series: dict[SeriesRef, Path] = {}
    for _, row in named:
        if row.ref.sop_instance_uid in found:
            series.setdefault(row.ref.series, found[row.ref.sop_instance_uid].parent)
    taken, folders = set(there), {path.parent.name for path in there}
    for name, row in named:
        uid = row.ref.sop_instance_uid
        if uid in found:
            yield found[uid], row, _size_bytes(found[uid]) == row.size_bytes
            continue
        if row.ref.series not in series:
            series[row.ref.series] = folder / name.parent.with_name(zipped.unlike(folders, name.parent.name))
            folders.add(series[row.ref.series].name)
        path = _free(series[row.ref.series] / name.name, uid, taken)
        taken.add(path)
        yield path, row, False


def _instances_in(study: Path) -> dict[Path, str]:
    """The SOP Instance UID of every file of a study's folder that can be told, in order of names."""
    with _reading(study):
        series = [folder for folder in study.iterdir() if folder.is_dir()] if study.is_dir() else []
        files = [path for folder in series for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file()]
    found = {path: _instance_in(path) for path in sorted(files)}
    return {path: uid for path, uid in found.items() if uid}


def _instance_in(path: Path) -> str:
    """The SOP Instance UID that the head of the file tells; "" if it tells none."""
    with _reading(path), path.open("rb") as file, suppress(InvalidDataSet):
        return read_head(file.read)[0].sop_instance_uid
    return ""


def _free(path: Path, uid: str, taken: Set[Path]) -> Path:
    """*path*, or where another instance has it, the same with a digest of *uid* in its name."""
    marked = path.with_stem(f"{path.stem} [{_digest(uid)[:MARK]}]")
    return next((one for one in (path, marked) if one not in taken), path.with_stem(f"{path.stem} [{_digest(uid)}]"))


def _size_bytes(path: Path) -> int:
    with _reading(path):
        return path.stat().st_size


def _digest(uid: str) -> str:
    return sha256(uid.encode()).hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable(f"{path} cannot be read: {exc.strerror}.") from exc


def _add(fileset: FileSet, ds: Dataset) -> None:
    try:
        fileset.add(ds)
    except ValueError as exc:
        raise InvalidRequest(f"{ds.SOPInstanceUID} has no place in a DICOMDIR: {exc}.") from exc


def _described(archive: Archive, row: InstanceRow) -> Dataset:
    """The instance without its pixels, with what a directory record must have."""
    end = row.layout.pixel_offset
    if end is None or row.transfer_syntax_uid == uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        end = row.size_bytes
    ds = dcmread(BytesIO(archive.store.read_range(row.key, 0, end)), stop_before_pixels=True)
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


def _write(archive: Archive, row: InstanceRow, path: Path, done: Exported) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                for chunk in verified_chunks(archive, row, 0, always=True):
                    file.write(chunk)
            os.replace(part, path)  # noqa: PTH105 - also over a file of another size
    finally:
        with suppress(OSError):  # it is not there, or cannot be
            part.unlink()
    done.written += 1
    done.size_bytes += row.size_bytes
