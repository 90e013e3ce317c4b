"""The files that an operator points at."""

import gc
import os
import tarfile
import warnings
import zipfile
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.fileset import FileSet
from pydicom.filewriter import write_dataset

from fixtures.builders import a_ct, dataset_bytes, part10
from fixtures.forbidden import forbid
from relais.cli.sources import NO_FILE, PACKED_TWICE, PREAMBLE, Kind, Source, Unusable, kind_of, walk
from relais.dicom import uids


def names(*paths: Path) -> list[str]:
    with ExitStack() as keep:
        return [Path(item.name).name for item in walk(paths, keep)]


def found(*paths: Path) -> list[Source | Unusable]:
    with ExitStack() as keep:
        return list(walk(paths, keep))


def test_folders_are_walked_in_order_of_names_without_their_dicomdir(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "b/1", "a/9.dcm", "DICOMDIR"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert names(tmp_path) == ["9.dcm", "1", "2.dcm"]


def test_links_in_circles_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "self").symlink_to(tmp_path)
    assert names(tmp_path) == ["a"]


def test_a_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["pipe", "pipe.zip", "pipe.tar"])
def test_a_pipe_that_was_named_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert found(tmp_path / name) == [Unusable(str(tmp_path / name), NO_FILE)]
    assert found(tmp_path) == []


@pytest.mark.parametrize("name", ["CD/study.TAR.GZ", "study.zip", "study.tar", "image.dcm.gz", "disc.rar"])
def test_what_is_packed_in_a_packed_file_is_told_and_not_passed_over(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as archive:
        archive.writestr(name, b"")
        archive.writestr("a.dcm", part10(a_ct()))
    with tarfile.open(tmp_path / "disc.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    for path in (tmp_path / "disc.zip", tmp_path / "disc.tar"):
        assert Unusable(f"{path}!{name}", PACKED_TWICE) in found(path)
    assert names(tmp_path / "disc.zip")[1:] == ["disc.zip!a.dcm"]


def test_a_path_that_does_not_exist_is_told(tmp_path: Path) -> None:
    assert found(tmp_path / "none") == [Unusable(str(tmp_path / "none"), "The file does not exist.")]


def test_a_folder_that_may_not_be_read_is_told_and_the_others_are_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.dcm").touch()
    forbid(monkeypatch, "scandir", tmp_path / "b")
    told = Unusable(str(tmp_path / "b"), "The folder cannot be read: Permission denied.")
    assert [item if isinstance(item, Unusable) else Path(item.name).parent.name for item in found(tmp_path)] == [
        "a", told, "c",
    ]  # fmt: skip
    assert found(tmp_path / "b") == [told]


@pytest.mark.parametrize("name", ["1.dcm", "x.zip", "x.tar", "DICOMDIR", "folder"])
def test_what_may_not_even_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    forbid(monkeypatch, "stat", tmp_path / name)
    (item,) = found(tmp_path / name)
    assert isinstance(item, Unusable)
    assert "cannot be read" in item.reason


def test_the_members_of_a_zip_file_can_be_read_while_it_is_kept_open(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("folder/a.dcm", b"one")
        archive.writestr("../../b.dcm", b"two")
        archive.mkdir("empty")
    with ExitStack() as keep:
        members = list(walk([tmp_path / "x.zip"], keep))
        assert [m.open().read() for m in members if isinstance(m, Source)] == [b"one", b"two"]


def test_a_zip_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no")
    (item,) = found(tmp_path / "x.zip")
    assert isinstance(item, Unusable)
    assert "cannot be read" in item.reason


def a_file_set(folder: Path, count: int) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a FileSet leaves its temporary folder to the collector
        files = FileSet()
        for _ in range(count):
            files.add(a_ct())
        files.write(folder)
        del files
        gc.collect()
    return folder / "DICOMDIR"


def test_a_dicomdir_stands_for_the_files_that_it_names(tmp_path: Path) -> None:
    directory = a_file_set(tmp_path, 3)
    (tmp_path / "not_named.dcm").touch()
    items = found(directory)
    assert len(items) == 3
    assert all(isinstance(item, Source) and item.path and item.path.is_relative_to(tmp_path) for item in items)


def test_a_dicomdir_finds_files_that_became_lower_case(tmp_path: Path) -> None:
    directory = a_file_set(tmp_path, 1)
    for path in sorted(tmp_path.rglob("*"), key=lambda path: -len(path.parts)):
        if path != directory:
            path.rename(path.with_name(path.name.lower()))
    assert isinstance(found(directory)[0], Source)


def test_a_dicomdir_that_names_a_missing_file_says_so(tmp_path: Path) -> None:
    directory = a_file_set(tmp_path, 2)
    next(path for path in tmp_path.rglob("*") if path.is_file() and path != directory).unlink()
    assert sorted(type(item).__name__ for item in found(directory)) == ["Source", "Unusable"]


def test_a_dicomdir_leads_nowhere_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.dcm").write_bytes(part10(a_ct()))
    directory = a_file_set(tmp_path / "media", 1)
    content = directory.read_bytes()
    at = content.index(b"\x04\x00\x00\x15CS") + 6
    length = int.from_bytes(content[at : at + 2], "little")
    evil = b"..\\SECRET.DCM".ljust(length)[:length]
    directory.write_bytes(content[: at + 2] + evil + content[at + 2 + length :])
    assert all(isinstance(item, Unusable) for item in found(directory))


def test_a_dicomdir_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(b"not at all")
    assert "cannot be read" in found(tmp_path / "DICOMDIR")[0].reason  # type: ignore[union-attr]


def kind(content: bytes) -> Kind | None:
    stream = BytesIO(content)
    result = kind_of(stream)
    assert stream.tell() == 0
    return result


def encoded(implicit: bool, little: bool) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    ds = a_ct()
    del ds.PixelData
    write_dataset(buffer, ds)
    return buffer.getvalue()


def test_part_10_files_are_told_by_their_preamble() -> None:
    assert kind(part10(a_ct())) == Kind()


def test_a_part_10_file_that_lacks_its_preamble_is_told_by_its_first_group() -> None:
    assert kind(part10(a_ct())[132:]) == Kind(prefix=PREAMBLE)


@pytest.mark.parametrize(
    ("implicit", "little", "transfer_syntax_uid"),
    [
        (True, True, uids.IMPLICIT_VR_LITTLE_ENDIAN),
        (False, True, uids.EXPLICIT_VR_LITTLE_ENDIAN),
        (False, False, uids.EXPLICIT_VR_BIG_ENDIAN),
    ],
)
def test_a_bare_data_set_is_told_by_its_first_element(implicit: bool, little: bool, transfer_syntax_uid: str) -> None:
    assert kind(encoded(implicit, little)) == Kind(transfer_syntax_uid=transfer_syntax_uid)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08", b"hello, this is text", b"\x89PNG\r\n\x1a\n" + bytes(200), b"\x08\x00\x05\x00\xff\xff\xff\x7f",
     b"\x00\x08abcdef", bytes(500)],
)  # fmt: skip
def test_other_files_are_no_dicom(content: bytes) -> None:
    assert kind(content) is None


def test_bare_bytes_of_a_fixture_are_explicit_little_endian() -> None:
    assert kind(dataset_bytes(a_ct())) == Kind(transfer_syntax_uid=uids.EXPLICIT_VR_LITTLE_ENDIAN)
