"""`relais import`."""

import os
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import MediaStorageDirectoryStorage

from fixtures.builders import a_ct, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.node import lose, overwrite
from fixtures.process import is_locked
from fixtures.waiting import eventually
from relais.access.principals import OPERATOR
from relais.archive import delete
from relais.cli.intake import Intake, Summary
from relais.cli.sources import Source
from relais.config import load
from relais.dicom.refs import StudyRef
from relais.errors import OutOfResources
from relais.node import compose

Run = Callable[..., Any]


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """zipfile warns of a name that is there twice, and writes it all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_what_became_of_every_file_is_told(tmp_path: Path, relais_json: Run) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "1.dcm").write_bytes(part10(a_ct()))
    (folder / "deep" / "no-extension").write_bytes(part10(a_sr()))
    same = part10(a_ct())
    (folder / "2.dcm").write_bytes(same)
    (folder / "2 again.dcm").write_bytes(same)
    (folder / "readme.txt").write_text("hello")
    (folder / "empty").touch()
    (folder / "truncated.dcm").write_bytes(part10(a_ct())[:-100])
    (folder / "without_uid.dcm").write_bytes(part10(a_ct(SeriesInstanceUID=None)))
    told = relais_json("import", folder, code=1)
    assert (told["stored"], told["duplicates"], told["not_dicom"], told["refused_count"]) == (3, 1, 2, 2)
    named = [name for refused in told["refused"].values() for name in refused["examples"]]
    assert sorted(Path(name).name for name in named) == ["truncated.dcm", "without_uid.dcm"]


def test_people_get_a_summary_with_reasons(tmp_path: Path, relais: Run) -> None:
    (tmp_path / "bad.dcm").write_bytes(part10(a_ct())[:-100])
    told = relais("import", tmp_path / "bad.dcm", code=1)
    assert "0 stored, 0 already there, 0 replaced, 1 refused, 0 not DICOM" in told.stdout
    assert "bad.dcm" in told.stdout


def counts(summary: Any) -> tuple[int, ...]:
    return tuple(summary[what] for what in ("stored", "duplicates", "not_dicom", "known"))


def test_importing_again_changes_nothing_and_reads_nothing(tmp_path: Path, relais_json: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(part10(a_ct()))
    (folder / "letter.txt").write_text("Dear colleague")
    assert counts(relais_json("import", folder)) == (1, 0, 1, 0)
    assert counts(relais_json("import", folder)) == (0, 1, 1, 2)
    (folder / "1.dcm").touch()
    (folder / "2.dcm").write_bytes(part10(a_ct()))
    assert counts(relais_json("import", folder)) == (1, 1, 1, 1)
    assert counts(relais_json("import", folder, "--again")) == (0, 2, 1, 0)


def test_a_zip_file_that_is_the_same_is_not_read_again(tmp_path: Path, relais_json: Run, relais: Run) -> None:
    for number, name in enumerate(("a.dcm", "a.dcm", "b.dcm")):
        with zipfile.ZipFile(tmp_path / "study.zip", "w" if number == 0 else "a") as archive, suppress_warnings():
            archive.writestr(name, part10(a_ct()))
    assert counts(relais_json("import", tmp_path / "study.zip")) == (3, 0, 0, 0)
    assert "3 of these files were known" in relais("import", tmp_path / "study.zip").stdout


def test_what_was_deleted_here_is_read_again(tmp_path: Path, relais_json: Run, config_file: Path) -> None:
    study = uid("deleted")
    for number, ds in enumerate([*a_series(2, StudyInstanceUID=study), a_ct()]):
        (tmp_path / f"{number}.dcm").write_bytes(part10(ds))
    files = [tmp_path / f"{number}.dcm" for number in range(3)]
    relais_json("import", *files)
    with compose.archive_of(load(config_file, {"RELAIS_ACCESS__DELETE": "true"}).config) as archive:
        delete.delete(archive, OPERATOR, StudyRef(study))
    assert counts(relais_json("import", *files)) == (2, 1, 0, 1)


@pytest.mark.parametrize("remains", [None, b"half"])
def test_what_was_lost_here_is_read_again(
    tmp_path: Path, relais_json: Run, config_file: Path, remains: bytes | None
) -> None:
    """Said to be there already is what the storage has, not what the index names."""
    for number in range(2):
        (tmp_path / f"{number}.dcm").write_bytes(part10(a_ct()))
    files = [tmp_path / f"{number}.dcm" for number in range(2)]
    relais_json("import", *files)
    with compose.archive_of(load(config_file, {}).config) as archive:
        key = next(archive.store.iterate())
        lose(archive, key)
        if remains is not None:
            overwrite(archive, key, remains)
    assert counts(relais_json("import", *files)) == (1, 1, 0, 1)
    assert relais_json("check")["sound"]


def test_what_was_refused_is_tried_again(tmp_path: Path, relais_json: Run) -> None:
    (tmp_path / "bad.dcm").write_bytes(part10(a_ct())[:-100])
    for _ in range(2):
        assert relais_json("import", tmp_path / "bad.dcm", code=1)["refused_count"] == 1


def is_at_work(data_dir: Path) -> bool:
    """Whether an import has its ledger."""
    return any(map(is_locked, (data_dir / "imports").rglob("files")))


def test_killed_at_random_it_goes_on(tmp_path: Path, relais_json: Run, config_file: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, ds in enumerate(a_series(400, rows=8, columns=8)):
        (folder / f"{number}.dcm").write_bytes(part10(ds))
    for seconds in (0.05, 0.3):
        command = [sys.executable, "-m", "relais", "import", str(folder)]
        victim = subprocess.Popen(
            command, env=os.environ | {"RELAIS_CONFIG": str(config_file)}, stdout=subprocess.DEVNULL
        )
        assert eventually(lambda victim=victim: victim.poll() is not None or is_at_work(tmp_path / "data"))
        time.sleep(seconds)
        victim.kill()
        victim.wait()
    told = relais_json("import", folder)
    assert told["stored"] + told["duplicates"] == 400
    assert relais_json("check")["checked"] == 400
    assert counts(relais_json("import", folder)) == (0, 400, 0, 400)


def test_a_member_whose_compression_is_damaged_does_not_stop_the_others(tmp_path: Path, relais_json: Run) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(str(number), part10(a_ct()))
        begin = archive.getinfo("1").header_offset
    content = bytearray(path.read_bytes())
    content[begin + 31 : begin + 300] = b"\xff" * 269  # no block of RFC 1951 begins so: zlib.error
    path.write_bytes(content)
    told = relais_json("import", path, code=1)
    assert (told["stored"], told["refused_count"]) == (2, 1)
    assert "decompress" in next(iter(told["refused"]))


def test_zip_files_are_looked_into(tmp_path: Path, relais_json: Run) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"IMAGES/{number}", part10(a_ct()))
        archive.writestr("index.html", "<html>")
    told = relais_json("import", tmp_path / "study.zip", "--threads", 4)
    assert (told["stored"], told["not_dicom"]) == (20, 1)


def test_a_damaged_member_of_a_zip_file_does_not_stop_the_others(tmp_path: Path, relais_json: Run) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(str(number), part10(a_ct()))
    content = bytearray(path.read_bytes())
    content[3000] ^= 0xFF
    path.write_bytes(content)
    told = relais_json("import", path, code=1)
    assert (told["stored"], told["refused_count"]) == (2, 1)


def test_files_without_preamble_or_without_any_head_are_taken(tmp_path: Path, relais_json: Run) -> None:
    (tmp_path / "no_preamble").write_bytes(part10(a_ct())[132:])
    (tmp_path / "bare").write_bytes(dataset_bytes(a_ct()))
    told = relais_json("import", tmp_path / "no_preamble", tmp_path / "bare")
    assert told["stored"] == 2
    assert len(relais_json("find", "--level", "instance")) == 2


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path, relais_json: Run) -> None:
    told = relais_json("import", tmp_path / "nowhere", code=1)
    assert list(told["refused"]) == ["The file does not exist."]


def test_a_directory_that_is_no_instance_is_refused_by_the_archive_itself(tmp_path: Path, relais_json: Run) -> None:
    (tmp_path / "index.dcm").write_bytes(part10(a_ct(SOPClassUID=MediaStorageDirectoryStorage)))
    assert relais_json("import", tmp_path / "index.dcm", code=1)["refused_count"] == 1


def test_reasons_that_differ_in_their_uids_only_are_one_reason() -> None:
    summary = Summary()
    summary.refuse("a", "Instance 1.2.840.10008.1 is odd.")
    summary.refuse("b", "Instance 1.2.840.10008.2 is odd.")
    assert {reason: refused.count for reason, refused in summary.refused.items()} == {"Instance (UID) is odd.": 2}


def test_nothing_more_is_tried_when_the_storage_is_full() -> None:
    def full() -> Any:
        tried.append(1)
        raise OutOfResources

    tried: list[int] = []
    intake = Intake(archive=None, origin=None)  # type: ignore[arg-type] - neither is reached
    summary = intake.run((Source(str(number), full) for number in range(1000)), threads=2)
    assert summary.full
    assert len(tried) < 20
    assert "storage is full" in next(iter(summary.refused))


def test_a_mistake_of_ours_is_not_swallowed() -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    intake = Intake(archive=None, origin=None)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        intake.run([Source("x", broken)], threads=1)
