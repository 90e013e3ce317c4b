"""`relais export --dicomdir`: who is who on a disc, and what is left of one that could not be made."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from fixtures.builders import a_ct, part10
from fixtures.upper_layer import fresh_uid
from relais.archive import export_media

Run = Callable[..., Any]


@pytest.fixture
def take_in(tmp_path: Path, relais_json: Run) -> Callable[..., str]:
    """Takes in an instance, and says its Study Instance UID."""

    def run(**said: Any) -> str:
        ds = a_ct(**said)
        (tmp_path / "one.dcm").write_bytes(part10(ds))
        assert relais_json("import", "--again", tmp_path / "one.dcm")["stored"] == 1
        return str(ds.StudyInstanceUID)

    return run


def patients(disc: Path) -> dict[tuple[str, str], set[str]]:
    """The Study Instance UIDs below each PATIENT record, as independent software reads them, by ID and name."""
    dump = subprocess.run(["dcmdump", disc / "DICOMDIR"], capture_output=True, check=True, text=True).stdout
    found: dict[tuple[str, str], set[str]] = {}
    name = patient_id = ""
    for line in dump.splitlines():
        value = line.partition("[")[2].rpartition("]")[0]
        if "(0010,0010)" in line:
            name = value
        elif "(0010,0020)" in line:
            patient_id = value
            assert (patient_id, name) not in found
            found[patient_id, name] = set()
        elif "(0020,000d)" in line:
            found[patient_id, name].add(value)
    return found


def test_studies_of_patients_without_an_id_are_not_given_to_one(
    tmp_path: Path, relais_json: Run, take_in: Callable[..., str]
) -> None:
    """PS3.4 C.6.1.1, PS3.3 F.5.1: they are of a patient each, here as in every answer."""
    anna = take_in(PatientID="", PatientName="Adams^Anna")
    bob = take_in(PatientID="", PatientName="Baker^Bob")
    clark = take_in(PatientID="7", PatientName="Clark^Cy")
    relais_json("export", tmp_path / "disc", "--all", "--dicomdir")
    found = patients(tmp_path / "disc")
    assert {name: uids for (_, name), uids in found.items()} == {
        "Adams^Anna": {anna}, "Baker^Bob": {bob}, "Clark^Cy": {clark},
    }  # fmt: skip
    ids = [patient_id for patient_id, _ in found]
    assert len(set(ids)) == 3
    assert sorted(one.partition(" ")[0] for one in ids) == ["7", "UNKNOWN", "UNKNOWN"]


def test_one_id_of_several_issuers_is_that_of_several_patients(
    tmp_path: Path, relais_json: Run, take_in: Callable[..., str]
) -> None:
    """PS3.3 F.5.1: no ID appears in two PATIENT records."""
    north = take_in(PatientID="4711", IssuerOfPatientID="NORTH", PatientName="North^Nina")
    south = [take_in(PatientID="4711", IssuerOfPatientID="SOUTH", PatientName="South^Sam") for _ in range(2)]
    plain = take_in(PatientID="4711", IssuerOfPatientID="", PatientName="Plain^Pat")
    only = take_in(PatientID="12", IssuerOfPatientID="NORTH", PatientName="Only^One")
    relais_json("export", tmp_path / "disc", "--all", "--dicomdir")
    assert patients(tmp_path / "disc") == {
        ("4711^^^NORTH", "North^Nina"): {north},
        ("4711^^^SOUTH", "South^Sam"): set(south),
        ("4711", "Plain^Pat"): {plain},
        ("12", "Only^One"): {only},
    }
    records = dcmread(tmp_path / "disc" / "DICOMDIR").DirectoryRecordSequence
    issuers = {one.PatientID: one.get("IssuerOfPatientID") for one in records if one.DirectoryRecordType == "PATIENT"}
    assert issuers == {"4711^^^NORTH": "NORTH", "4711^^^SOUTH": "SOUTH", "4711": None, "12": "NORTH"}
    assert relais_json("import", tmp_path / "disc" / "DICOMDIR")["duplicates"] == 5


def test_an_instance_without_an_issuer_is_of_its_studys_patient_and_one_of_another_patient_is_not(
    tmp_path: Path, relais_json: Run, take_in: Callable[..., str]
) -> None:
    study = fresh_uid()
    for said in (
        {"PatientID": "4711", "IssuerOfPatientID": "NORTH"},
        {"PatientID": "4711", "IssuerOfPatientID": ""},
        {"PatientID": ""},
        {"PatientID": "99", "PatientName": "Other^Olga"},
    ):
        take_in(StudyInstanceUID=study, **{"PatientName": "North^Nina", **said})
    relais_json("export", tmp_path / "disc", "--all", "--dicomdir")
    assert patients(tmp_path / "disc") == {("4711", "North^Nina"): {study}, ("99", "Other^Olga"): {study}}


def test_an_id_that_is_none_is_shown_as_it_is(tmp_path: Path, relais_json: Run, take_in: Callable[..., str]) -> None:
    """Several values, in an attribute of one."""
    study = take_in(PatientID=["12", "34"], PatientName="Two^Tom")
    relais_json("export", tmp_path / "disc", "--all", "--dicomdir")
    assert patients(tmp_path / "disc") == {("12\\34", "Two^Tom"): {study}}


def test_made_up_ids_are_those_of_nobody_else_and_fit() -> None:
    long = "9" * 60
    found = export_media._ids(
        [
            export_media._Patient("1", "A", ""),
            export_media._Patient("1", "B", ""),
            export_media._Patient("1^^^A", "", ""),
            export_media._Patient(long, "A", ""),
            export_media._Patient(long, "B", ""),
        ]
    )
    assert len(set(found.values())) == 5
    assert max(map(len, found.values())) <= 64


@pytest.mark.parametrize("is_there", [True, False])
def test_a_disc_that_cannot_be_written_leaves_nothing(
    tmp_path: Path,
    relais: Run,
    relais_json: Run,
    take_in: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    is_there: bool,
) -> None:
    take_in()
    disc = tmp_path / "disc"
    if is_there:
        disc.mkdir()
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if disc in Path(target).parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        assert "cannot be written: No space left" in relais("export", disc, "--all", "--dicomdir", code=1).stderr
    assert disc.exists() == is_there
    assert not is_there or not list(disc.iterdir())
    assert relais_json("export", disc, "--all", "--dicomdir")["written"] == 1


def test_a_disc_that_was_killed_is_no_disc_and_the_same_command_makes_it(
    tmp_path: Path, relais_json: Run, take_in: Callable[..., str], config_file: Path
) -> None:
    """At its worst moment: when all names are there, and none of the images."""
    take_in()
    disc = tmp_path / "disc"
    victim = (
        "import os, signal\n"
        "from pydicom.fileset import FileSet\n"
        "from relais.cli import program\n"
        "write = FileSet.write\n"
        "def die(*arguments):\n"
        "    write(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "FileSet.write = die\n"
        f"program(['export', {str(disc)!r}, '--all', '--dicomdir', '--config', {str(config_file)!r}])\n"
    )
    assert subprocess.run([sys.executable, "-c", victim], check=False).returncode == -9
    assert [path.name for path in disc.iterdir()] == [export_media.PART]
    assert relais_json("export", disc, "--all", "--dicomdir")["written"] == 1
    assert sorted(path.name for path in disc.iterdir()) == ["DICOMDIR", "PT000000"]
