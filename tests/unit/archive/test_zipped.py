"""archive.zipped: names that people can read and no system minds, and archives of any size."""

import io
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest
from pydicom import FileDataset

from fixtures.builders import a_ct, a_series, part10, uid
from relais.access.policy import Mode, Policy
from relais.access.principals import OPERATOR, Principal, Protocol
from relais.archive import Archive, ingest, retrieve, zipped
from relais.archive.retrieve import Body
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import StudyRef
from relais.errors import NotFound
from relais.index.rows import InstanceRow


def kept(archive: Archive, *instances: FileDataset) -> list[InstanceRow]:
    refs = [ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT)).ref for ds in instances]
    return [retrieve.instances(archive, OPERATOR, ref)[0] for ref in refs]


def names(archive: Archive, *instances: FileDataset) -> list[str]:
    return zipped.names(archive, OPERATOR, kept(archive, *instances))


def a_file(name: str, *chunks: bytes) -> zipped.File:
    return zipped.File(name, 1.7e9, Body(sum(map(len, chunks)), iter(chunks), ""))


def test_folders_say_whose_and_what_it_is(archive: Archive) -> None:
    ds = a_ct(PatientName="MOREL^Hélène", PatientID="P1", StudyDescription="Thorax", SeriesDescription="Axial")
    (name,) = names(archive, ds)
    assert name == "MOREL Hélène P1/20240310 Thorax/1 CT Axial/00001.dcm"


@pytest.mark.parametrize("text", ["../../etc/passwd", "C:\\evil", "a/b\\c", "  .. ", "nul\x01", "?*|<>\"'", "名前"])
def test_nothing_that_a_stranger_wrote_leaves_its_folder(archive: Archive, text: str) -> None:
    """hardening.md 6"""
    (name,) = names(
        archive,
        a_ct(
            SpecificCharacterSet="ISO_IR 192",
            PatientName=text,
            PatientID="",
            StudyDescription=text,
            SeriesDescription=text,
        ),
    )
    assert name.count("/") == 3
    for part in name.split("/")[:3]:
        assert part == part.strip(" .") != ""
        assert not set(part) & set('\\/:*?"<>|.\x01')


def test_what_is_called_alike_is_told_apart(archive: Archive) -> None:
    study = uid("twins")
    one, other = (a_ct(StudyInstanceUID=study, SeriesNumber=1, SeriesDescription=text) for text in ("AXIAL", "axial"))
    found = names(archive, one, other, *a_series(2, StudyInstanceUID=study, SeriesDescription="Axial"))
    assert len({name.casefold() for name in found}) == 4
    assert found[2].rpartition("/")[0] == found[3].rpartition("/")[0]


def test_long_names_are_cut(archive: Archive) -> None:
    (name,) = names(archive, a_ct(SeriesDescription="x" * 64, StudyDescription="y" * 64, PatientName="z" * 64))
    assert max(map(len, name.split("/"))) <= zipped.MAX_NAME_CHARACTERS


def test_archives_larger_than_32_bits_can_say_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    files = [a_file(f"{number}.dcm", bytes([number]) * 700, b"!" * 700) for number in range(3)]
    content = b"".join(zipped.chunks(files))
    assert b"PK\x06\x06" in content  # the end of a Zip64 archive
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert [info.file_size for info in archive.infolist()] == [1400] * 3


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_length_of_an_archive_is_known_before(count: int) -> None:
    files = {f"Hélène/{number}.dcm": b"!" * number * 1000 for number in range(count)}
    content = b"".join(zipped.chunks(a_file(name, data) for name, data in files.items()))
    assert zipped.length((name, len(data)) for name, data in files.items()) == len(content)


def test_the_length_of_a_huge_archive_is_not_known_before() -> None:
    assert zipped.length([("a.dcm", 2 * 1024**3)]) is None
    assert zipped.length((f"{number}.dcm", 0) for number in range(70_000)) is None


def test_memory_does_not_grow_with_the_archive() -> None:
    def chunks() -> Iterator[bytes]:
        return (bytes(256 * 1024) for _ in range(400))

    files = [zipped.File("large.dcm", 0.0, Body(400 * 256 * 1024, chunks(), ""))]
    tracemalloc.start()
    total = sum(map(len, zipped.chunks(files)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 400 * 256 * 1024
    assert peak < 4 * 1024 * 1024


def test_mallory_learns_no_names(archive: Archive) -> None:
    rows = kept(archive, a_ct(StudyInstanceUID=uid("hers")))
    closed = Archive(archive.db, archive.store, archive.pixels, Policy(Mode.ENFORCED), archive.settings)
    with pytest.raises(NotFound):
        zipped.names(closed, Principal(Protocol.WEB, "mallory", "127.0.0.1"), rows)
    assert retrieve.instances(archive, OPERATOR, StudyRef(uid("hers")))
