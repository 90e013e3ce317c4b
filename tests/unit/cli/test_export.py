"""`relais export`."""

import os
import subprocess
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
)

from fixtures.builders import a_ct, a_sr, part10
from fixtures.node import lose, spoil
from fixtures.upper_layer import fresh_uid
from relais.access.principals import Principal
from relais.archive import Archive, delete, export, ingest
from relais.cli import own
from relais.config import load
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import StudyRef
from relais.index import lookup, search
from relais.node import compose

Run = Callable[..., Any]
SAMPLES = Path(__file__).parents[3] / "sample_dicom"

ANNA, BOB = {"PatientID": "A1", "PatientName": "Müller^Anna", "SpecificCharacterSet": "ISO_IR 100"}, {"PatientID": "B2"}


@pytest.fixture
def studies(tmp_path: Path, relais_json: Run) -> dict[str, str]:
    """An archive with two studies of Anna's, of the same day and description, and one of Bob's."""
    folder = tmp_path / "in"
    folder.mkdir()
    found = {"first": fresh_uid(), "second": fresh_uid(), "bob": fresh_uid()}
    for name, uid in found.items():
        who = BOB if name == "bob" else ANNA
        series = fresh_uid()
        for number in (1, 2):
            ds = a_ct(StudyInstanceUID=uid, SeriesInstanceUID=series, InstanceNumber=str(number), **who)
            (folder / f"{name}{number}.dcm").write_bytes(part10(ds))
        (folder / f"{name}-report.dcm").write_bytes(part10(a_sr(StudyInstanceUID=uid, **who)))
    assert relais_json("import", folder)["stored"] == 9
    return {name: str(uid) for name, uid in found.items()}


@pytest.fixture
def stored(config_file: Path) -> Callable[[], dict[str, bytes]]:
    """Every object of the archive, by SOP Instance UID."""

    def read() -> dict[str, bytes]:
        with compose.archive_of(load(config_file).config) as archive:
            rows = [row for _, row in lookup.keys(archive.db)]
            return {row.ref.sop_instance_uid: archive.store.read_range(row.key, 0, row.size_bytes) for row in rows}

    return read


def by_uid(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR"]
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path.read_bytes() for path in files}


def test_everything_comes_out_byte_for_byte_in_folders_for_people(
    tmp_path: Path, relais_json: Run, studies: dict[str, str], stored: Callable[[], dict[str, bytes]]
) -> None:
    out = tmp_path / "out"
    told = relais_json("export", out, "--all")
    assert (told["written"], told["present"]) == (9, 0)
    assert by_uid(out) == stored()
    assert len(list((out / "Müller^Anna A1".replace("^", " ")).iterdir())) == 2


def test_an_interrupted_export_goes_on_where_it_was(tmp_path: Path, relais_json: Run, studies: dict[str, str]) -> None:
    out = tmp_path / "out"
    relais_json("export", out, "--all")
    first, second, *_ = sorted(path for path in out.rglob("*.dcm"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    before = second.read_bytes()
    told = relais_json("export", out, "--all")
    assert (told["written"], told["present"]) == (2, 7)
    assert second.read_bytes() != before


def test_an_export_after_the_study_has_grown_holds_every_instance_once(
    tmp_path: Path, relais_json: Run, stored: Callable[[], dict[str, bytes]]
) -> None:
    """What came lies between what was there, in its series and among series that are called alike."""
    out, study, twins = tmp_path / "out", fresh_uid(), [fresh_uid() for _ in range(3)]

    def take_in(series: int, *numbers: int) -> None:
        for number in numbers:
            ds = a_ct(StudyInstanceUID=study, SeriesInstanceUID=twins[series], InstanceNumber=str(number), **ANNA)
            (tmp_path / "one.dcm").write_bytes(part10(ds))
            relais_json("import", tmp_path / "one.dcm")

    twins.sort()  # of one number, they come by UID
    take_in(1, 2, 4)
    take_in(2, 1)
    assert relais_json("export", out, "--all")["written"] == 3
    before = {path: path.read_bytes() for path in out.rglob("*.dcm")}
    take_in(0, 1, 2)
    take_in(1, 1, 3)
    told = relais_json("export", out, "--all")
    assert (told["written"], told["present"]) == (4, 3)
    assert by_uid(out) == stored()
    assert len(list(out.rglob("*.dcm"))) == 7
    assert {path: path.read_bytes() for path in before} == before
    by_series = [{str(dcmread(path).SeriesInstanceUID) for path in folder.iterdir()} for folder in out.glob("*/*/*")]
    assert sorted(by_series, key=min) == [{uid} for uid in twins]
    told = relais_json("export", out, "--all")
    assert (told["written"], told["present"], told["size_bytes"]) == (0, 7, 0)


@pytest.mark.parametrize(
    "corrected",
    [{"PatientBirthDate": "19990101"}, {"PatientName": "Roe^Jane"}, {"StudyDescription": "Head", "PatientID": "C3"}],
)
def test_an_export_after_a_correction_holds_what_is_stored_now_and_nothing_else(
    tmp_path: Path, config_file: Path, relais_json: Run, stored: Callable[[], dict[str, bytes]], corrected: Any
) -> None:
    """Also if its size is the same, and if its patient or study is called otherwise now."""
    with config_file.open("a") as file:
        file.write('[archive]\non_conflict = "replace"\n')
    before = {"PatientName": "Doe^John", "PatientBirthDate": "19700101", "StudyDescription": "Foot", **BOB}
    before["FrameOfReferenceUID"] = "2.25.1"  # another random one may be shorter
    out, levels = tmp_path / "out", ("Study", "Series", "SOP")
    one = {f"{level}InstanceUID": str(fresh_uid()) for level in levels}

    def take_in(name: str, **said: str) -> None:
        (tmp_path / name).write_bytes(part10(a_ct(**before | said)))
        relais_json("import", "--again", tmp_path / name)

    take_in("one", **one)
    take_in("other")
    assert relais_json("export", out, "--all")["written"] == 2
    sizes = sorted(map(len, stored().values()))
    take_in("one", **one, **corrected)
    assert sorted(map(len, stored().values())) == sizes
    assert relais_json("export", out, "--all")["written"] == 1
    assert len(list(out.rglob("*.dcm"))) == 2
    assert by_uid(out) == stored()
    for path in out.rglob("*.dcm"):
        ds = dcmread(path)
        folder = f"{ds.PatientName.family_name} {ds.PatientName.given_name} {ds.PatientID}"
        assert path.relative_to(out).parts[0] == folder
        assert ds.StudyDescription in path.relative_to(out).parts[1]
    assert relais_json("export", out, "--all")["present"] == 2


def test_another_instance_of_the_same_size_is_not_taken_for_one_that_is_there(
    tmp_path: Path, relais_json: Run, studies: dict[str, str], stored: Callable[[], dict[str, bytes]]
) -> None:
    out = tmp_path / "out"
    relais_json("export", out, "--all")
    one = next(path for path in sorted(out.rglob("*.dcm")) if path.name == "00001.dcm")
    other = next(path for path in one.parent.parent.rglob("00002.dcm"))
    one.write_bytes(other.read_bytes())
    other.unlink()
    kept = one.read_bytes()
    relais_json("export", out, "--all")
    assert one.read_bytes() == kept
    assert by_uid(out) == stored()


def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path, relais: Run, studies: dict[str, str]) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file", tmp_path / "file" / "out"):
        for more in ([], ["--dicomdir"]):
            assert "Error: " in (told := relais("export", target, "--all", *more, code=1)).stderr
            assert "cannot be written: " in told.stderr


def test_one_study_and_one_patient_can_be_had_alone(tmp_path: Path, relais_json: Run, studies: dict[str, str]) -> None:
    assert relais_json("export", tmp_path / "one", "--study", studies["first"])["written"] == 3
    assert relais_json("export", tmp_path / "anna", "--patient", "A1", "--study", studies["second"])["written"] == 6
    uids = {str(dcmread(path).StudyInstanceUID) for path in (tmp_path / "anna").rglob("*.dcm")}
    assert uids == {studies["first"], studies["second"]}


@pytest.mark.parametrize("chosen", [["--all"], ["--patient", "A1"]])
def test_what_comes_and_goes_meanwhile_leaves_no_study_out_and_doubles_none(
    tmp_path: Path, config_file: Path, relais_json: Run, monkeypatch: pytest.MonkeyPatch, chosen: list[str]
) -> None:
    monkeypatch.setattr(search.stream, "__defaults__", (2,))  # studies asked for at a time
    (tmp_path / "in").mkdir()
    for number in range(6):
        ds = a_ct(StudyDate=f"2024010{number + 1}", **ANNA)
        (tmp_path / "in" / f"{number}.dcm").write_bytes(part10(ds))
    relais_json("import", tmp_path / "in")
    to_folder, written = export.to_folder, []

    def while_others_work(archive: Archive, principal: Principal, ref: StudyRef, *more: Any) -> export.Exported:
        written.append(ref.study_instance_uid)
        done = to_folder(archive, principal, ref, *more)
        if len(written) == 1:
            delete.delete(archive, principal, ref, delete.Reason.NONE)
        ingest.store_part10(archive, BytesIO(part10(a_ct(StudyDate="20250101", **ANNA))), Origin(Channel.IMPORT))
        return done

    monkeypatch.setattr(export, "to_folder", while_others_work)
    assert relais_json("export", tmp_path / "out", *chosen)["written"] == 6
    assert len(set(written)) == len(written) == 6


def test_what_was_deleted_before_its_turn_is_left_out(
    tmp_path: Path, relais_json: Run, studies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_folder = export.to_folder

    def deletes_bob(archive: Archive, principal: Principal, ref: StudyRef, *more: Any) -> export.Exported:
        if ref.study_instance_uid == studies["first"]:
            delete.delete(archive, principal, StudyRef(studies["bob"]), delete.Reason.NONE)
        return to_folder(archive, principal, ref, *more)

    monkeypatch.setattr(export, "to_folder", deletes_bob)
    assert relais_json("export", tmp_path / "out", "--study", studies["first"], "--all")["written"] == 6


def test_a_zip_file_holds_the_same(tmp_path: Path, relais_json: Run, studies: dict[str, str]) -> None:
    relais_json("export", tmp_path / "all.zip", "--all")
    relais_json("export", tmp_path / "out", "--all")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        inside = {name: archive.read(name) for name in archive.namelist()}
    outside = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in tmp_path.glob("out/**/*.dcm")
    }
    assert inside == outside


def test_a_file_set_is_read_by_dcmtk_and_imported_again(
    tmp_path: Path, relais_json: Run, studies: dict[str, str], stored: Callable[[], dict[str, bytes]]
) -> None:
    out = tmp_path / "disc"
    assert relais_json("export", out, "--patient", "A1", "--dicomdir")["written"] == 6
    assert {uid: data for uid, data in stored().items() if uid in by_uid(out)} == by_uid(out)
    dump = subprocess.run(["dcmdump", out / "DICOMDIR"], capture_output=True, check=True).stdout
    assert dump.count(b"DirectoryRecordType") == 1 + 2 + 4 + 6
    assert relais_json("import", out / "DICOMDIR")["duplicates"] == 6


def test_a_file_set_describes_what_lacks_a_number(tmp_path: Path, relais_json: Run) -> None:
    (tmp_path / "bare.dcm").write_bytes(part10(a_ct(PatientID="", InstanceNumber=None, StudyID=None)))
    relais_json("import", tmp_path / "bare.dcm")
    assert relais_json("export", tmp_path / "disc", "--all", "--dicomdir")["written"] == 1
    (file,) = by_uid(tmp_path / "disc").values()
    assert b"UNKNOWN" not in file


def test_a_file_set_holds_every_kind_of_sample(tmp_path: Path, relais_json: Run) -> None:
    """Deflated ones, too, the attributes of which stand where in others only pixels are."""
    count = relais_json("import", SAMPLES)["stored"]
    assert relais_json("export", tmp_path / "disc", "--all", "--dicomdir")["written"] == count
    assert len(by_uid(tmp_path / "disc")) == count


@pytest.mark.parametrize(
    "sop_class",
    [
        CTImageStorage,
        ComprehensiveSRStorage,
        EncapsulatedPDFStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        KeyObjectSelectionDocumentStorage,
        RTDoseStorage,
        RTPlanStorage,
        RTStructureSetStorage,
        "1.2.3.4.5.6",
    ],
)
def test_a_file_set_describes_what_lacks_nearly_everything(
    tmp_path: Path, relais_json: Run, stored: Callable[[], dict[str, bytes]], sop_class: str
) -> None:
    bare = a_ct(SOPClassUID=sop_class)
    for keyword in [element.keyword for element in bare if not element.keyword.endswith("UID")]:
        del bare[keyword]
    (tmp_path / "bare.dcm").write_bytes(part10(bare))
    relais_json("import", tmp_path / "bare.dcm")
    assert relais_json("export", tmp_path / "disc", "--all", "--dicomdir")["written"] == 1
    assert by_uid(tmp_path / "disc") == stored()


def test_a_file_set_holds_what_is_not_encoded_as_it_says(tmp_path: Path, relais_json: Run) -> None:
    """Implicit VR under the Transfer Syntax of a JPEG."""
    odd = get_testdata_file("SC_rgb_jpeg.dcm", download=False)
    with pytest.warns(UserWarning, match="found implicit VR"):
        dcmread(odd)  # type: ignore[arg-type]
    assert relais_json("import", odd)["stored"] == 1
    with pytest.warns(UserWarning, match="found implicit VR"):
        assert relais_json("export", tmp_path / "disc", "--all", "--dicomdir")["written"] == 1


def test_a_directory_record_of_a_report_says_what_modifies_its_title_and_when_it_was_verified(
    tmp_path: Path, relais_json: Run
) -> None:
    """PS3.3 F.5.23"""
    report = a_sr()
    kinds = ("HAS CONCEPT MOD", "CONTAINS", "HAS OBS CONTEXT")
    report.ContentSequence = [Dataset() for _ in kinds]
    for item, kind in zip(report.ContentSequence, kinds, strict=True):
        item.RelationshipType, item.ValueType = kind, "TEXT"
    report.VerifyingObserverSequence = [Dataset(), Dataset()]
    for item, moment in zip(report.VerifyingObserverSequence, ("20240612143000", "20240612120000"), strict=True):
        item.VerificationDateTime = moment
    (tmp_path / "report.dcm").write_bytes(part10(report))
    relais_json("import", tmp_path / "report.dcm")
    relais_json("export", tmp_path / "disc", "--all", "--dicomdir")
    records = dcmread(tmp_path / "disc" / "DICOMDIR").DirectoryRecordSequence
    (record,) = [one for one in records if one.DirectoryRecordType == "SR DOCUMENT"]
    assert [item.RelationshipType for item in record.ContentSequence] == ["HAS CONCEPT MOD"]
    assert record.VerificationDateTime == "20240612143000"


def test_a_file_set_wants_an_empty_folder(tmp_path: Path, relais: Run, studies: dict[str, str]) -> None:
    told = relais("export", tmp_path / "in", "--all", "--dicomdir", code=1)
    assert "is not empty" in told.output
    assert len(list((tmp_path / "in").iterdir())) == 9


def test_what_cannot_be_exported_is_told(tmp_path: Path, relais: Run, studies: dict[str, str]) -> None:
    assert "--study" in relais("export", tmp_path / "out", code=2).output
    assert "wants a folder" in relais("export", tmp_path / "a.zip", "--all", "--dicomdir", code=2).output
    assert "no study of Patient ID" in relais("export", tmp_path / "out", "--patient", "nobody", code=1).output
    relais("export", tmp_path / "out", "--study", "1.2.3", code=1)
    (tmp_path / "there.zip").write_bytes(b"")
    assert "is there already" in relais("export", tmp_path / "there.zip", "--all", code=1).output
    assert "The archive holds no study 1.2.3." in relais("export", tmp_path / "out", "--study", "1.2.3", code=1).output


def test_a_zip_file_that_cannot_be_written_is_told(tmp_path: Path, relais: Run, studies: dict[str, str]) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "nowhere" / "all.zip", tmp_path / "file" / "all.zip"):
        assert f"Error: {target} cannot be written: " in relais("export", target, "--all", code=1).stderr


def test_an_export_is_audited_with_who_is_logged_in_and_where(
    tmp_path: Path, config_file: Path, relais: Run, studies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "rosa")
    relais("export", tmp_path / "out", "--study", studies["bob"])
    with compose.archive_of(load(config_file).config) as archive, archive.db.read() as tx:
        text = "SELECT protocol, name, address, study_instance_uid FROM audit WHERE action = 'retrieve'"
        (told,) = tx.execute(text).fetchall()
    assert tuple(told) == ("local", "rosa", gethostname(), studies["bob"])


def test_who_has_no_name_is_audited_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert own.operator().name == str(os.getuid())


@pytest.mark.parametrize("form", ["folder", "zip", "disc"])
def test_what_is_damaged_or_lost_is_told_and_all_else_is_written(
    tmp_path: Path,
    config_file: Path,
    relais: Run,
    studies: dict[str, str],
    stored: Callable[[], dict[str, bytes]],
    form: str,
) -> None:
    held, lacking = stored(), []
    with compose.archive_of(load(config_file).config) as archive:
        rows = [row for _, row in lookup.keys(archive.db)]
        for uid, harm in ((studies["first"], spoil), (studies["bob"], lose)):
            row = next(row for row in rows if row.ref.study_instance_uid == uid)
            harm(archive, row.key)
            lacking.append(row)
    out = tmp_path / ("out.zip" if form == "zip" else "out")
    told = relais("export", out, "--all", *["--dicomdir"] * (form == "disc"), code=1).stdout
    assert "7 files written" in told
    damaged, missing = (row.key for row in lacking)
    assert f"1 missing:\n  {missing}\n" in told
    assert f"not those that were stored:\n  {damaged}\n" in told
    if form == "zip":
        with zipfile.ZipFile(out) as archive_file:
            assert archive_file.testzip() is None
            archive_file.extractall(tmp_path / "unpacked")
        out = tmp_path / "unpacked"
    gone = {row.ref.sop_instance_uid for row in lacking}
    assert by_uid(out) == {uid: data for uid, data in held.items() if uid not in gone}
    if form == "disc":
        records = dcmread(out / "DICOMDIR").DirectoryRecordSequence
        named = {str(one.ReferencedSOPInstanceUIDInFile) for one in records if "ReferencedSOPInstanceUIDInFile" in one}
        assert named == set(by_uid(out))


def test_a_large_damaged_instance_breaks_no_zip_file(tmp_path: Path, config_file: Path, relais: Run) -> None:
    """Its end is damaged, and its beginning would have been written before that is seen."""
    (tmp_path / "large.dcm").write_bytes(part10(a_ct(PixelData=bytes(3_000_000), Rows=1000, Columns=1500)))
    (tmp_path / "small.dcm").write_bytes(part10(a_ct()))
    relais("import", tmp_path / "large.dcm", tmp_path / "small.dcm")
    with compose.archive_of(load(config_file).config) as archive:
        spoil(archive, max((row for _, row in lookup.keys(archive.db)), key=lambda row: row.size_bytes).key)
    assert "1 files written" in relais("export", tmp_path / "out.zip", "--all", code=1).stdout
    with zipfile.ZipFile(tmp_path / "out.zip") as archive_file:
        assert archive_file.testzip() is None
        assert len(archive_file.namelist()) == 1


def test_a_damaged_instance_is_not_passed_on(
    tmp_path: Path, config_file: Path, relais: Run, studies: dict[str, str]
) -> None:
    with compose.archive_of(load(config_file).config) as archive:
        key, row = next(iter(lookup.keys(archive.db)))
        spoil(archive, key)
    told = relais("export", tmp_path / "out", "--study", row.ref.study_instance_uid, code=1)
    assert "damaged" in told.output
    assert not any(path.suffix == ".part" for path in (tmp_path / "out").rglob("*"))
