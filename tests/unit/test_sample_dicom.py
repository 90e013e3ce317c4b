"""The samples are what their README says, readable by everybody, and made again to the byte."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

SAMPLES = Path(__file__).parents[2] / "sample_dicom"
FILES = sorted(SAMPLES.rglob("*.dcm"))


@pytest.fixture(scope="module")
def headers() -> dict[Path, pydicom.FileDataset]:
    return {path: pydicom.dcmread(path, stop_before_pixels=True) for path in FILES}


def test_readme_counts_every_instance_of_every_folder() -> None:
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert f"{len(FILES)} instances" in readme
    counts: dict[str, int] = defaultdict(int)
    for path in FILES:
        counts[f"{path.parent.name}/{path.stem.rstrip('0123456789')}"] += 1
    for name, count in counts.items():
        row = f"`{name}*` ({count})" if count > 1 else f"`{name}`"
        assert row in readme, row


def test_readme_names_transfer_syntax_and_character_set_of_every_instance(
    headers: dict[Path, pydicom.FileDataset],
) -> None:
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    words = {"1.2.840.10008.1.2.4.91": "JPEG 2000 (lossy)", "1.2.840.10008.1.2.4.90": "JPEG 2000 lossless"}
    for path, ds in headers.items():
        row = next(line for line in readme if f"`{path.parent.name}/{path.stem.rstrip('0123456789')}" in line)
        syntax = UID(ds.file_meta.TransferSyntaxUID)
        expected = words.get(syntax, syntax.name.split(" (")[0].removesuffix(" Lossless Image Compression"))
        assert expected in row, (path.name, expected)
        charset = ds.SpecificCharacterSet
        assert (charset if isinstance(charset, str) else charset[-1]) in row


def test_names_read_as_they_are_written_in_each_script(headers: dict[Path, pydicom.FileDataset]) -> None:
    names = {str(ds.PatientName) for ds in headers.values()}
    assert {
        "LEFÈVRE^Hélène",
        "LECŒUR^Maëlys",
        "Иваненко^Ольга",
        "Chen^Meilin=陈^美琳",
        "Tanaka^Yuki=田中^由紀=たなか^ゆき",
    } <= names


def test_every_image_decodes() -> None:
    for path in FILES:
        ds = pydicom.dcmread(path)
        if "PixelData" in ds and not UID(ds.file_meta.TransferSyntaxUID).startswith("1.2.840.10008.1.2.4.9"):
            assert ds.pixel_array.max() > ds.pixel_array.min()


def test_uids_are_unique_and_a_patient_has_three_dates(headers: dict[Path, pydicom.FileDataset]) -> None:
    assert len({ds.SOPInstanceUID for ds in headers.values()}) == len(FILES)
    dates = {ds.StudyDate for ds in headers.values() if ds.PatientID == "0458213706"}
    assert len(dates) == 3
    assert {ds.IssuerOfPatientID for ds in headers.values()} == {"RIVEMONT", "VALDORME"}


def test_a_series_began_once(headers: dict[Path, pydicom.FileDataset]) -> None:
    """PS3.3 C.7.3.1: Series Time is of the series, not of its instances."""
    times: dict[str, set[str]] = defaultdict(set)
    for ds in headers.values():
        times[ds.SeriesInstanceUID].add(f"{ds.SeriesDate}{ds.SeriesTime}")
    assert {uid: len(found) for uid, found in times.items()} == dict.fromkeys(times, 1)


def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    studies = ["ivanenko_2024_ct", "benali_2024_mr"]
    command = [sys.executable, str(SAMPLES / "generate.py"), "--into", str(tmp_path), *studies]
    subprocess.run(command, check=True, capture_output=True)
    made = sorted(tmp_path.rglob("*.dcm"))
    assert len(made) == 9
    for path in made:
        assert path.read_bytes() == (SAMPLES / path.relative_to(tmp_path)).read_bytes(), path.name
