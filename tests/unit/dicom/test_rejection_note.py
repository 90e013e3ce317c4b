"""Rejection notes (PS3.16 TID 2010), judged by pydicom and DCMTK."""

import io
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from fixtures.builders import a_ct, uid
from relais.dicom.header import read_header
from relais.dicom.json_model import from_dataset
from relais.dicom.part10 import read_head
from relais.dicom.refs import InstanceRef, StudyRef
from relais.dicom.rejection_note import SOP_CLASS_UID, Reason, Rejected, encode

AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, UTC)
CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11"


def rejected(study: str, series: str, instance: str, sop_class: str = CT) -> Rejected:
    ref = InstanceRef(study, uid(series), uid(instance))
    return Rejected(ref, sop_class, is_image=sop_class == CT)


def a_note(reason: Reason = Reason.QUALITY, count: int = 0) -> tuple[Dataset, bytes]:
    ct = a_ct(PatientName="LEFÈBVRE^Zoé", AccessionNumber="A1")
    study = ct.StudyInstanceUID
    named = [rejected(study, "s2", "i3", SR), rejected(study, "s1", "i1"), rejected(study, "s1", "i2")]
    named += [rejected(study, "s3", f"more {number}") for number in range(count)]
    found, document = encode(reason, from_dataset(ct), named, AT)
    ds = dcmread(io.BytesIO(document))
    assert ds.SOPInstanceUID == found
    return ds, document


def test_a_note_names_what_is_gone_by_study_and_series() -> None:
    """PS3.3 C.17.2.1"""
    ds, _ = a_note()
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == ds.StudyInstanceUID
    named = {
        series.SeriesInstanceUID: {
            sop.ReferencedSOPInstanceUID: sop.ReferencedSOPClassUID for sop in series.ReferencedSOPSequence
        }
        for series in study.ReferencedSeriesSequence
    }
    assert named == {uid("s1"): {uid("i1"): CT, uid("i2"): CT}, uid("s2"): {uid("i3"): SR}}
    kinds = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: item.ValueType for item in ds.ContentSequence}
    assert kinds == {uid("i1"): "IMAGE", uid("i2"): "IMAGE", uid("i3"): "COMPOSITE"}


def test_a_note_belongs_to_the_study_and_the_patient() -> None:
    ds, _ = a_note()
    assert (ds.PatientName, ds.PatientID, ds.AccessionNumber, ds.StudyDate) == (
        "LEFÈBVRE^Zoé",
        "100042",
        "A1",
        "20240310",
    )
    assert (ds.Modality, ds.SOPClassUID) == ("KO", SOP_CLASS_UID)
    assert (ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("20260301", "123015.250000", "+0000")


@pytest.mark.parametrize("reason", list(Reason))
def test_the_title_says_why(reason: Reason) -> None:
    """PS3.16 CID 7010"""
    (title,) = a_note(reason)[0].ConceptNameCodeSequence
    assert title.CodeMeaning == reason.meaning
    assert (title.CodeValue, title.CodingSchemeDesignator) == ((reason, "DCM") if reason else ("DELETED", "99RELAIS"))


def test_a_study_of_which_little_is_known_has_a_note_too() -> None:
    _, document = encode(Reason.NONE, {"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}, [rejected("1.2.3", "s", "i")], AT)
    ds = dcmread(io.BytesIO(document))
    assert ds.PatientID == ds.StudyID == ""
    assert ds.StudyInstanceUID == "1.2.3"


def test_we_could_store_our_own_note() -> None:
    ds, document = a_note(count=5000)
    stream = io.BytesIO(document)
    meta, head = read_head(stream.read)
    header = read_header(
        lambda at, length: document[at : at + length], len(document), len(head), meta.transfer_syntax_uid
    )
    assert header.ref.study == StudyRef(ds.StudyInstanceUID)
    assert header.warnings == ()
    assert len(ds.ContentSequence) == 5003


def test_dcmtk_reads_a_note(tmp_path: Path) -> None:
    (tmp_path / "note.dcm").write_bytes(a_note()[1])
    told = subprocess.run(["dsrdump", "+Pc", str(tmp_path / "note.dcm")], capture_output=True, text=True, check=True)
    assert "E: " not in told.stderr
    assert "Rejected for Quality Reasons" in told.stdout
    assert told.stdout.count("contains IMAGE") == 2
    assert told.stdout.count("contains COMPOSITE") == 1
