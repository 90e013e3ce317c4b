"""`relais import` of tar files: members where they lie, whatever they are called; of others that they stay packed."""

import gzip
import tarfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from io import SEEK_CUR, SEEK_END, BytesIO
from pathlib import Path
from typing import Any

import pytest

from fixtures.builders import a_ct, a_series, part10
from relais.cli.sources import STAYS_PACKED, Source, Unusable, walk
from relais.cli.within import Within

Run = Callable[..., Any]


def a_tar(path: Path, members: Mapping[str, bytes], *others: tarfile.TarInfo, kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
        for other in others:
            archive.addfile(other)
    return path


def a_member(name: str, kind: bytes, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def found(path: Path) -> list[Source | Unusable]:
    with ExitStack() as keep:
        return list(walk([path], keep))


def read(source: Source | Unusable) -> bytes:
    assert isinstance(source, Source)
    with source.open() as stream:
        return stream.read()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_files_are_looked_into(tmp_path: Path, relais_json: Run, kind: int) -> None:
    (tmp_path / "in").mkdir()
    members = {f"IMAGES/{number}": part10(ds) for number, ds in enumerate(a_series(20))}
    a_tar(tmp_path / "in" / "study.tar", {**members, "index.html": b"<html>"}, kind=kind)
    told = relais_json("import", tmp_path / "in", "--threads", 4)
    assert (told["stored"], told["not_dicom"], told["refused_count"]) == (20, 1, 0)
    again = relais_json("import", tmp_path / "in")
    assert (again["stored"], again["known"]) == (0, 21)


def test_members_are_read_as_they_are_whatever_they_are_called(tmp_path: Path) -> None:
    members = {"../../outside": b"one", "/etc/passwd": b"two", "a" * 300: b"three", "empty": b"", "b\u00e9\n": b"four"}
    others = [
        a_member("folder", tarfile.DIRTYPE),
        a_member("soft", tarfile.SYMTYPE, "/etc/passwd"),
        a_member("hard", tarfile.LNKTYPE, "empty"),
        a_member("pipe", tarfile.FIFOTYPE),
        a_member("DICOMDIR", tarfile.REGTYPE),
    ]
    assert [read(one) for one in found(a_tar(tmp_path / "x.TAR", members, *others))] == list(members.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.TAR"]


def test_members_can_be_read_side_by_side(tmp_path: Path) -> None:
    one, two = found(a_tar(tmp_path / "x.tar", {"1": b"first", "2": b"second"}))
    assert isinstance(one, Source)
    assert isinstance(two, Source)
    with one.open() as first, two.open() as second:
        assert (first.read(2), second.read(3), first.read(), second.read()) == (b"fi", b"sec", b"rst", b"ond")


def test_what_comes_before_the_end_of_a_tar_file_that_was_cut_is_taken(tmp_path: Path, relais_json: Run) -> None:
    path = a_tar(tmp_path / "x.tar", {str(number): part10(a_ct()) for number in range(3)})
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1].offset_data
    path.write_bytes(path.read_bytes()[: last + 700])
    told = relais_json("import", path, code=1)
    assert told["stored"] == 2
    assert "The tar file cannot be read to its end: unexpected end of data." in told["refused"]


@pytest.mark.parametrize("content", [b"no tar file", b"", bytes(range(256)) * 4])
def test_a_tar_file_that_is_none_is_told_or_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    assert all(isinstance(one, Unusable) and "cannot be read" in one.reason for one in found(tmp_path / "x.tar"))


def test_a_file_with_holes_is_told(tmp_path: Path) -> None:
    path = a_tar(tmp_path / "x.tar", {"1": b"one"}, a_member("holes", tarfile.GNUTYPE_SPARSE), kind=tarfile.GNU_FORMAT)
    one, holes = found(path)
    assert read(one) == b"one"
    assert isinstance(holes, Unusable)
    assert "holes" in holes.reason


@pytest.mark.parametrize("name", ["study.tar.gz", "STUDY.TGZ", "image.dcm.gz", "disc.7z"])
def test_what_stays_packed_is_told_and_not_passed_over(tmp_path: Path, relais_json: Run, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(gzip.compress(part10(a_ct())))
    (folder / "scan.nii.gz").write_bytes(gzip.compress(b"another format"))
    told = relais_json("import", folder, code=1)
    assert (told["stored"], told["not_dicom"]) == (0, 1)
    assert told["refused"][STAYS_PACKED] == {"count": 1, "examples": [str(folder / name)]}


def test_a_piece_of_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with Within(tmp_path / "file", 2, 5) as piece:
        assert piece.read() == b"23456"
        assert piece.read() == b""
        assert (piece.seek(-2, SEEK_END), piece.read(9)) == (3, b"56")
        assert (piece.seek(1), piece.seek(1, SEEK_CUR), piece.tell(), piece.read(1)) == (1, 2, 2, b"4")
        assert (piece.seek(9), piece.read()) == (9, b"")
        assert (piece.seek(-9, SEEK_CUR), piece.read(1)) == (0, b"2")
