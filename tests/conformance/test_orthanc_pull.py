"""A real Orthanc brought here by its REST interface, and by its DIMSE door."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless

from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, part10, uid
from fixtures.orthanc import Orthanc, orthanc
from fixtures.places import node_environ
from fixtures.waiting import eventually

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("orthanc")
    with orthanc(folder, DicomAlwaysAllowGet=True, OverwriteInstances=True) as server:
        yield server


@pytest.fixture
def server(running: Orthanc) -> Orthanc:
    """One that holds nothing, and has forgotten what it held."""
    for patient in running.get("/patients"):
        send(running, "DELETE", f"/patients/{patient}")
    send(running, "DELETE", "/changes")
    return running


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        **node_environ(tmp_path / "data"),
        "RELAIS_STORAGE__JOURNAL_MB": "0",
        "RELAIS_INDEX__LOG_MB": "0",
        "RELAIS_CONFIG": str(tmp_path / "relais.toml"),
    }


@pytest.fixture
def relais(tmp_path: Path, environ: dict[str, str]) -> Run:
    """Runs `relais ARGUMENTS --json` in a process of its own; *code* is the exit code expected."""
    (tmp_path / "relais.toml").touch()

    def run(*arguments: object, code: int = 0) -> Any:
        command = [sys.executable, "-m", "relais", *map(str, arguments), "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, timeout=300, check=False)
        assert done.returncode == code, done.stdout.decode() + done.stderr.decode()
        return json.loads(done.stdout) if done.stdout else done.stderr.decode()

    return run


def fill(server: Orthanc, *datasets: Any) -> list[str]:
    return [str(server.post("/instances", part10(ds))["ID"]) for ds in datasets]


def send(server: Orthanc, method: str, path: str, body: bytes | None = None) -> None:
    urlopen(Request(server.url + path, data=body, method=method), timeout=60).close()


def held(relais: Run) -> int:
    return len(relais("find", "--level", "instance", "--limit", "0"))


def test_everything_comes_first_and_then_what_is_new(server: Orthanc, relais: Run) -> None:
    thorax = uid("thorax")
    series = a_series(5, StudyInstanceUID=thorax)
    fill(server, *series, a_sr(StudyInstanceUID=thorax), a_multiframe(transfer_syntax=RLELossless))
    first = relais("pull", server.url)
    assert (first["total"], first["complete"], first["instances"], first["received"]) == (3, 3, 7, 7)
    again = relais("pull", server.url)
    assert (again["units"], again["received"]) == (0, 0)
    fill(server, a_ct(StudyInstanceUID=thorax, SeriesInstanceUID=series[0].SeriesInstanceUID), a_ct())
    third = relais("pull", server.url)
    assert (third["units"], third["received"], third["instances"]) == (2, 2, 7)
    assert held(relais) == 9
    assert relais("pull", server.url, "--again")["units"] == 4


def pairs(count: int) -> list[Any]:
    return [ds for _ in range(count) for ds in a_series(2, rows=8, columns=8, StudyInstanceUID=uid("pairs"))]


def killed_behind_a_series(environ: dict[str, str], data_dir: Path, peer: str) -> str:
    """A pull that was killed when it had noted a series as complete: Orthanc's identifier of that."""
    command = [sys.executable, "-m", "relais", "pull", peer, "--parallel", "1", "--rate", "12kB/s"]
    before = len(ledger_lines(data_dir))
    done: list[str] = []

    def noted() -> bool:
        keys = (line.partition("\t")[0] for line in ledger_lines(data_dir)[before:])
        done[:] = [key for key in keys if key.count("-") == 4 and ":" not in key]
        return bool(done)

    victim = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert eventually(noted, 120)
    finally:
        victim.kill()
        victim.wait()
    return done[0]


def ledger_of(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "pulls").rglob("*") if path.is_file()]


def ledger_lines(data_dir: Path) -> list[str]:
    return [line for path in ledger_of(data_dir) for line in path.read_text().splitlines()]


def uids_here(relais: Run) -> set[str]:
    return {row["00080018"]["Value"][0] for row in relais("find", "--level", "instance", "--limit", "0")}


def uids_there(server: Orthanc) -> set[str]:
    return {one["MainDicomTags"]["SOPInstanceUID"] for one in server.get("/instances?expand")}


def test_what_changed_between_two_sittings_of_the_first_run_comes(
    server: Orthanc, relais: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    """The series had as many instances as before, and the change log was read from the second sitting on."""
    fill(server, *pairs(12))
    series = server.get(f"/series/{killed_behind_a_series(environ, tmp_path / 'data', server.url)}")
    study = server.get(f"/studies/{series['ParentStudy']}")["MainDicomTags"]["StudyInstanceUID"]
    send(server, "DELETE", f"/instances/{series['Instances'][0]}")
    patient = server.get(f"/series/{series['ID']}/patient")["MainDicomTags"]["PatientID"]
    same = {"PatientID": patient, "StudyInstanceUID": study}
    fill(server, a_ct(**same, SeriesInstanceUID=series["MainDicomTags"]["SeriesInstanceUID"]))
    assert relais("pull", server.url)["is_complete"]
    assert len(uids_there(server)) == 24
    assert uids_there(server) <= uids_here(relais)
    assert relais("pull", server.url)["units"] == 0


def test_what_another_database_told_is_not_believed_after_a_run_that_was_killed(
    server: Orthanc, relais: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    def is_at(one: Orthanc) -> None:
        (tmp_path / "relais.toml").write_text(f'[[peers]]\nname = "old"\nkind = "orthanc"\nurl = "{one.url}"\n')

    fill(server, *pairs(10))
    cursor = server.get("/changes?last")["Last"]
    is_at(server)
    relais("pull", "old")
    with orthanc(tmp_path / "other") as other:
        fill(other, *pairs(3))
        assert other.get("/changes?last")["Last"] < cursor
        is_at(other)
        killed_behind_a_series(environ, tmp_path / "data", "old")
        while other.get("/changes?last")["Last"] <= cursor:
            fill(other, *pairs(4))
        assert relais("pull", "old")["is_complete"]
        assert uids_there(other) <= uids_here(relais)


def corrected(server: Orthanc, patient_id: str, **more: Any) -> None:
    """The one patient of Orthanc is another one, in files with the same UIDs."""
    [patient] = server.get("/patients")
    keep = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    how = {"Replace": {"PatientID": patient_id}, "Keep": keep, "Force": True, "KeepSource": False, **more}
    server.post(f"/patients/{patient}/modify", how)


def patients_here(relais: Run) -> list[str]:
    return sorted(row["00100020"]["Value"][0] for row in relais("find", "--level", "patient"))


def test_what_was_corrected_under_the_same_uids_is_refused_and_told(server: Orthanc, relais: Run) -> None:
    series = a_series(3, PatientID="WRONG", rows=8, columns=8)
    fill(server, *series)
    relais("pull", server.url)
    corrected(server, "RIGHT")
    for _ in range(2):
        told = relais("pull", server.url, code=1)
        [left] = told["incomplete"].values()
        assert (told["complete"], told["received"], left["missing"], left["instances"]) == (0, 0, 3, 3)
        assert "3 refused here: Another instance with this SOP Instance UID is already kept." in left["notes"]
        assert set(left["examples"]) == {ds.SOPInstanceUID for ds in series}


def test_what_was_corrected_under_the_same_uids_replaces_where_it_may(
    server: Orthanc, relais: Run, environ: dict[str, str]
) -> None:
    environ["RELAIS_ARCHIVE__ON_CONFLICT"] = "replace"
    first = a_ct(PatientID="SAME", PatientName="First")
    fill(server, first)
    relais("pull", server.url)
    for name in ("Second", "First"):  # and back: that file came before, and is not what is here now
        first.PatientName = name
        fill(server, first)  # overwrites
        told = relais("pull", server.url)
        assert (told["complete"], told["received"]) == (1, 1)
        assert [row["00100010"]["Value"][0]["Alphabetic"] for row in relais("find", "PatientName")] == [name]
    corrected(server, "RIGHT")
    assert relais("pull", server.url)["received"] == 1
    assert patients_here(relais) == ["RIGHT"]
    [patient] = server.get("/patients")
    send(server, "DELETE", f"/patients/{patient}")
    fill(server, first)  # a file that came before under this identifier, and was replaced under another
    assert relais("pull", server.url)["received"] == 1
    assert patients_here(relais) == ["SAME"]
    assert relais("pull", server.url, "--again")["received_bytes"] == 0


@pytest.mark.parametrize("policy", ["keep", "replace"])
def test_of_two_patients_with_the_same_uids_one_is_told_to_be_missing(
    server: Orthanc, relais: Run, environ: dict[str, str], policy: str
) -> None:
    environ["RELAIS_ARCHIVE__ON_CONFLICT"] = policy
    ds = a_ct(PatientID="A")
    fill(server, ds)
    ds.PatientID = "B"
    fill(server, ds)
    for _ in range(2):
        told = relais("pull", server.url, code=1)
        assert [left["missing"] for left in told["incomplete"].values()] == [1]
        [here] = patients_here(relais)
        assert here in {"A", "B"}
    other = next(one for one in server.get("/patients?expand") if one["MainDicomTags"]["PatientID"] == here)
    send(server, "DELETE", f"/patients/{other['ID']}")
    told = relais("pull", server.url, code=int(policy == "keep"))
    assert patients_here(relais) == ([here] if policy == "keep" else sorted({"A", "B"} - {here}))


def test_what_came_is_not_fetched_again_while_it_is_the_same(server: Orthanc, relais: Run) -> None:
    series = a_series(4, rows=8, columns=8)
    fill(server, *series)
    relais("pull", server.url)
    told = relais("pull", server.url, "--again")
    assert (told["units"], told["instances"], told["received_bytes"]) == (1, 4, 0)
    fill(server, series[0])  # Orthanc keeps it as a new file, with the same MD5
    told = relais("pull", server.url)
    assert (told["units"], told["instances"], told["received_bytes"]) == (1, 4, 0)


def test_what_came_by_another_way_is_compared_once(server: Orthanc, relais: Run, tmp_path: Path) -> None:
    ds = a_ct()
    (tmp_path / "one.dcm").write_bytes(part10(ds))
    relais("import", tmp_path / "one.dcm")
    fill(server, ds)
    told = relais("pull", server.url)
    assert (told["complete"], told["received"], told["here"]) == (1, 0, 1)
    assert told["received_bytes"] > 0
    assert relais("pull", server.url, "--again")["received_bytes"] == 0


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_ledger_that_remembers_no_instances_goes_on(
    server: Orthanc, relais: Run, tmp_path: Path, is_whole: bool
) -> None:
    """As an earlier version wrote it, whose first run came to its end or not."""
    series = a_series(3, rows=8, columns=8)
    fill(server, *series, a_ct())
    relais("pull", server.url)
    lines = ledger_lines(tmp_path / "data")
    kept = [line.partition("\t") for line in lines if ":" not in line and not line.startswith("begun")]
    former = [(key, value if key.isalpha() else ("3" if "3" in value else "1")) for key, _, value in kept]
    [path] = ledger_of(tmp_path / "data")
    path.write_text("".join(f"{key}\t{value}\n" for key, value in former if is_whole or key != "changes"))
    told = relais("pull", server.url)
    assert (told["units"], told["received"]) == ((0, 0) if is_whole else (2, 0))
    series[1].PatientName = "Other^Name"
    fill(server, series[1])
    told = relais("pull", server.url, code=1)
    assert [left["examples"] for left in told["incomplete"].values()] == [[series[1].SOPInstanceUID]]


def test_another_database_behind_the_same_url_is_looked_at_whole(server: Orthanc, relais: Run) -> None:
    ids = fill(server, *a_series(3))
    relais("pull", server.url)
    for one in ids:
        send(server, "DELETE", f"/instances/{one}")
    send(server, "DELETE", "/changes")
    fill(server, a_ct())
    assert relais("pull", server.url)["received"] == 1
    assert held(relais) == 4


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.slow)])  # of series with 20 instances
def test_killed_three_times_it_finishes_complete(
    server: Orthanc, relais: Run, environ: dict[str, str], tmp_path: Path, count: int
) -> None:
    for number in range(count):
        fill(server, *a_series(20, rows=8, columns=8, StudyInstanceUID=uid(f"killed {number // 2}")))
    dice, most = random.Random(3), 0
    for _ in range(3):
        command = [sys.executable, "-m", "relais", "pull", server.url]
        victim = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert eventually(lambda: bool(ledger_of(tmp_path / "data")))  # where much else runs, that takes seconds
        time.sleep(dice.uniform(0.2, 1.7) * count / 50)
        victim.kill()
        victim.wait()
        now = held(relais)
        assert now >= most  # nothing that had come is lost
        most = now
    told = relais("pull", server.url)
    assert (told["total"], told["complete"], told["instances"], told["is_complete"]) == (count, count, 20 * count, True)
    assert held(relais) == 20 * count
    assert relais("check")["sound"]
    assert uids_here(relais) == uids_there(server)


def test_a_file_that_has_rotted_in_orthanc_is_not_taken(relais: Run, tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc", MaximumStorageCacheSize=0) as server:
        rotten_is_not_taken(server, relais, tmp_path / "orthanc" / "storage")


def rotten_is_not_taken(server: Orthanc, relais: Run, storage: Path) -> None:
    good, bad = a_ct(PatientID="GOOD"), a_ct(PatientID="BAD")
    fill(server, good, bad)
    rotten = next(path for path in storage.rglob("*") if path.is_file() and b"BAD" in path.read_bytes())
    content = bytearray(rotten.read_bytes())
    content[-5] ^= 0xFF
    rotten.write_bytes(content)
    told = relais("pull", server.url, code=1)
    [left] = told["incomplete"].values()
    assert left["examples"] == [bad.SOPInstanceUID]
    assert "MD5" in " ".join(left["notes"])
    assert held(relais) == 1
    retried = relais("pull", server.url, code=1)
    assert (retried["units"], len(retried["incomplete"])) == (1, 1)


def test_what_is_attached_and_no_dicom_is_named(server: Orthanc, relais: Run) -> None:
    [instance] = fill(server, a_ct())
    send(server, "PUT", f"/instances/{instance}/attachments/4321", b"a scan of a letter")
    study = server.get("/studies")[0]
    send(server, "PUT", f"/studies/{study}/attachments/1234", b"another letter")
    told = relais("pull", server.url)
    said = json.dumps(told["notes"])
    assert f"instances/{instance}" in said
    assert f"studies/{study}" in said
    assert told["received"] == 1


def test_what_is_compressed_on_the_disk_of_orthanc_comes_as_it_was_sent(tmp_path: Path, relais: Run) -> None:
    with orthanc(tmp_path / "orthanc", StorageCompression=True) as server:
        fill(server, *a_series(3), a_ct(transfer_syntax=JPEG2000Lossless))
        assert relais("pull", server.url)["received"] == 4


def test_a_name_and_a_password_are_shown(tmp_path: Path, relais: Run) -> None:
    users = {"rosa": "s3cret"}
    with orthanc(tmp_path / "orthanc", AuthenticationEnabled=True, RegisteredUsers=users) as server:
        fill(server, a_ct())
        written = f'[[peers]]\nname = "old"\nkind = "orthanc"\nurl = "{server.url}"\nuser = "rosa"\n'
        (tmp_path / "relais.toml").write_text(written)
        assert "HTTP status 401" in relais("pull", "old", code=1)
        (tmp_path / "relais.toml").write_text(f'{written}password = "s3cret"\n')
        assert relais("pull", "old")["received"] == 1
        assert "s3cret" not in json.dumps(relais("check-config"))
        (tmp_path / "secret").write_text("s3cret\n")
        (tmp_path / "relais.toml").write_text(f'{written}password_file = "{tmp_path / "secret"}"\n')
        assert relais("pull", "old")["is_complete"]


def test_an_orthanc_that_is_away_is_said_to_be(relais: Run) -> None:
    assert "does not answer" in relais("pull", "http://127.0.0.1:1", code=1)


def test_an_orthanc_echoes_and_is_otherwise_no_dimse_peer(server: Orthanc, relais: Run, tmp_path: Path) -> None:
    (tmp_path / "relais.toml").write_text(f'[[peers]]\nname = "old"\nkind = "orthanc"\nurl = "{server.url}"\n')
    assert relais("echo", "old")["answers"]
    assert relais("peers", "--echo")[0]["answers"] == "yes"
    assert "this cannot be done with it" in relais("find", "--peer", "old", code=1)
    assert "brought whole" in relais("pull", "old", "PatientID=1", code=1)


def test_its_dimse_door_gives_by_get(server: Orthanc, relais: Run) -> None:
    study = uid("thorax")
    fill(server, *a_series(4, StudyInstanceUID=study), a_ct(transfer_syntax=JPEG2000Lossless, StudyInstanceUID=study))
    fill(server, a_ct(PatientID="OTHER"))
    told = relais("pull", f"ORTHANC@127.0.0.1:{server.dicom_port}", f"StudyInstanceUID={study}")
    assert (told["units"], told["complete"], told["received"]) == (1, 1, 5)


@pytest.mark.parametrize("at", [1, 5, 10])
def test_what_is_behind_a_refused_instance_comes_by_get_too(
    server: Orthanc, relais: Run, tmp_path: Path, at: int
) -> None:
    """Orthanc's next answers then name what failed behind the command set; its order is unlike that of the numbers."""
    study = uid(f"refused at {at}")
    series = a_series(10, StudyInstanceUID=study, rows=8, columns=8)
    fill(server, *series)
    other = series[at - 1]
    other.ImageComments = "another one here"
    (tmp_path / "other.dcm").write_bytes(part10(other))
    relais("import", tmp_path / "other.dcm")
    told = relais("pull", f"ORTHANC@127.0.0.1:{server.dicom_port}", f"StudyInstanceUID={study}")
    assert (told["units"], told["complete"], told["received"], told["here"]) == (1, 1, 9, 1)
    [note] = [note for note in told["notes"][study] if "refused here" in note]
    assert note.startswith("1 refused here with status 0111: ")
    assert held(relais) == 10


def test_its_limit_of_answers_is_worked_around(tmp_path: Path, relais: Run) -> None:
    with orthanc(tmp_path / "orthanc", DicomAlwaysAllowGet=True, LimitFindResults=5) as server:
        fill(server, *(a_ct(rows=8, columns=8, StudyDate=f"2020{1 + n % 12:02d}{1 + n % 28:02d}") for n in range(25)))
        told = relais("pull", f"ORTHANC@127.0.0.1:{server.dicom_port}")
    assert (told["units"], told["complete"], told["received"]) == (25, 25, 25)
