"""`relais find`, `send`, `echo` and `peers`, with a whole node as the other one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from pydicom import Dataset, config, dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from fixtures.builders import a_ct, a_series, dataset_bytes, part10
from fixtures.commitment import provider
from fixtures.engines import only_sqlite
from fixtures.places import node_environ
from relais.config import load
from relais.errors import Unavailable
from relais.index import statistics
from relais.node.inline import Node
from relais.node.outgoing import of_file
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers

Run = Callable[..., Any]


@pytest.fixture
def south(tmp_path: Path) -> Iterator[Node]:
    environ = node_environ(tmp_path / "south", RELAIS_DIMSE__AE_TITLE="SOUTH")
    (tmp_path / "empty.toml").touch()
    with Node(load(tmp_path / "empty.toml", environ).config) as node:
        yield node


@pytest.fixture
def peer(south: Node, config_file: Path) -> str:
    """The name under which the configuration knows SOUTH."""
    port = south.config.dimse.port
    with config_file.open("a") as file:
        file.write(f'[[peers]]\nname = "south"\nae_title = "SOUTH"\nhost = "127.0.0.1"\nport = {port}\n')
        file.write('[[peers]]\nname = "gone"\nae_title = "GONE"\nhost = "127.0.0.1"\nport = 1\nmay = []\n')
    return "south"


def filled(tmp_path: Path, relais: Run, **attributes: Any) -> list[Any]:
    """Instances of one series in the own archive."""
    series = a_series(3, **attributes)
    for number, ds in enumerate(series):
        (tmp_path / f"{number}.dcm").write_bytes(part10(ds))
    relais("import", *(tmp_path / f"{number}.dcm" for number in range(3)))
    return series


def test_find_shows_a_table_and_how_many(tmp_path: Path, relais: Run) -> None:
    (first, *_) = filled(tmp_path, relais, PatientName="LEFÈVRE^Hélène")
    told = relais("find", "PatientName=lefevre*")
    assert "LEFÈVRE^Hélène" in told.stdout
    assert first.StudyInstanceUID in told.stdout
    assert "1 found." in told.stderr
    assert "0 found." in relais("find", "PatientName=NOBODY").stderr


@pytest.mark.parametrize(("level", "count"), [("patient", 1), ("study", 1), ("series", 1), ("instance", 3)])
def test_find_looks_at_every_level(tmp_path: Path, relais: Run, relais_json: Run, level: str, count: int) -> None:
    filled(tmp_path, relais)
    assert len(relais_json("find", "--level", level)) == count


def test_find_says_that_there_is_more(tmp_path: Path, relais: Run, relais_json: Run) -> None:
    filled(tmp_path, relais)
    assert "there are more" in relais("find", "--level", "instance", "--limit", 2).stderr
    assert len(relais_json("find", "--level", "instance", "--limit", 0)) == 3


def test_find_takes_tags_and_returns_keys_without_a_value(tmp_path: Path, relais: Run) -> None:
    filled(tmp_path, relais, AccessionNumber="RIV-7")
    told = relais("find", "00080050=RIV-7", "PatientBirthDate")
    assert told.stdout.splitlines()[0].split()[-2:] == ["AccessionNumber", "PatientBirthDate"]


@pytest.mark.parametrize("key", ["NoSuchKeyword=1", "0008=1", "zzzzzzzz=1"])
def test_find_refuses_a_key_that_is_none(relais: Run, key: str) -> None:
    assert "neither a keyword" in relais("find", key, code=2).stderr


def test_find_refuses_a_key_that_the_index_does_not_match(tmp_path: Path, relais: Run) -> None:
    filled(tmp_path, relais)
    assert "does not match PixelSpacing at this level." in relais("find", "PixelSpacing=1", code=1).stderr
    told = relais("find", "Modality=CT", "PixelSpacing=1", code=1).stderr
    assert "does not match Modality, PixelSpacing at this level: Modality with --level series." in told


def test_find_refuses_a_value_that_makes_no_sense(relais: Run) -> None:
    told = relais("find", "StudyDate=yesterday", code=1)
    assert told.stderr.startswith("Error: ")
    assert "Traceback" not in told.output


def test_send_passes_on_by_uid_at_every_level_and_find_asks_the_peer(
    tmp_path: Path, relais: Run, relais_json: Run, south: Node, peer: str
) -> None:
    (first, *_) = filled(tmp_path, relais)
    assert relais_json("send", peer, first.SOPInstanceUID)["sent"] == 1
    assert statistics.statistics(south.archive.db).instances == 1
    assert relais_json("send", peer, first.SeriesInstanceUID)["sent"] == 3
    assert relais_json("send", peer, first.StudyInstanceUID)["sent"] == 3
    assert statistics.statistics(south.archive.db).instances == 3
    (found,) = relais_json("find", "--peer", peer, f"StudyInstanceUID={first.StudyInstanceUID}")
    assert found["0020000D"]["Value"] == [first.StudyInstanceUID]
    assert len(relais_json("find", "--peer", peer, f"StudyInstanceUID={first.StudyInstanceUID}",
                           f"SeriesInstanceUID={first.SeriesInstanceUID}", "SOPInstanceUID",
                           "--level", "instance", "--limit", 2)) == 2  # fmt: skip


def test_send_passes_on_files_and_folders(tmp_path: Path, relais: Run, south: Node) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.dcm").write_bytes(part10(a_ct()))
    (folder / "note.txt").write_text("not DICOM")
    port = south.config.dimse.port
    told = relais("send", f"SOUTH@127.0.0.1:{port}", folder).stdout
    assert told == f"3 sent to SOUTH@127.0.0.1:{port}, 0 with a warning, 0 failed; 1 not DICOM.\n"
    assert statistics.statistics(south.archive.db).instances == 3


@only_sqlite("a database of a server is there or not, whoever looks")
def test_send_of_uids_finds_no_archive_and_makes_none(tmp_path: Path, relais: Run, peer: str) -> None:
    """A configuration that points elsewhere left an empty archive behind, which `relais check` called sound."""
    (tmp_path / "1.dcm").write_bytes(part10(a_ct()))
    assert "There is no archive here" in relais("send", peer, "1.2.3", code=1).stderr
    assert "There is no archive here" in relais("send", "--commit", peer, tmp_path / "1.dcm", code=1).stderr
    assert relais("send", peer, tmp_path / "1.dcm").stdout.startswith("1 sent")
    assert not (tmp_path / "data" / "index.sqlite").exists()
    assert "There is no archive here" in relais("check", code=1).stderr


def test_send_tells_what_the_peer_refused(tmp_path: Path, relais: Run, peer: str) -> None:
    (tmp_path / "bad.dcm").write_bytes(part10(a_ct(StudyInstanceUID=None)))
    told = relais("send", peer, tmp_path / "bad.dcm", code=1)
    assert "0 sent to south, 0 with a warning, 1 failed; 0 not DICOM." in told.stdout
    assert "status " in told.stdout


def test_send_fails_of_what_cannot_be_read_and_sends_the_rest(
    tmp_path: Path, relais: Run, relais_json: Run, south: Node, peer: str
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    whole = part10(a_ct())
    (folder / "whole.dcm").write_bytes(whole)
    (folder / "cut.dcm").write_bytes(whole[:200])  # within its File Meta Information
    (folder / "bare.dcm").write_bytes(dataset_bytes(a_ct()))
    (folder / "note.txt").write_text("not DICOM")
    (folder / "more.tar.gz").write_bytes(b"\x1f\x8b")
    with ZipFile(folder / "more.zip", "w") as packed:
        packed.writestr("1.dcm", whole)
    told = relais_json("send", peer, folder, code=1)
    assert (told["sent"], told["failed"], told["not_dicom"]) == (1, 4, 1)
    why = {Path(name).name: reason for name, reason in told["unreadable"].items()}
    assert why["cut.dcm"] == "The file ends within its File Meta Information."
    assert "not a DICOM Part 10 file" in why["bare.dcm"]
    assert "unpack it" in why["more.tar.gz"]
    assert "import that" in why["more.zip!1.dcm"]
    said = relais("send", peer, folder, code=1).stdout
    assert "1 sent to south, 0 with a warning, 4 failed; 1 not DICOM." in said
    assert f"{folder / 'cut.dcm'}: The file ends within its File Meta Information." in said
    assert statistics.statistics(south.archive.db).instances == 1


@pytest.mark.parametrize(
    ("uid", "why"),
    [
        ("", "The File Meta Information names no Transfer Syntax."),
        ("1." * 40 + "1", "What it names as its Transfer Syntax is not a UID."),
    ],
)
def test_send_fails_of_what_cannot_be_proposed_and_sends_the_rest(
    tmp_path: Path, relais_json: Run, peer: str, uid: str, why: str
) -> None:
    """It ended in a traceback, and nothing was sent."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "whole.dcm").write_bytes(part10(a_ct()))
    odd = dcmread(BytesIO(part10(a_ct())))
    odd.file_meta.TransferSyntaxUID = UID(uid, validation_mode=config.IGNORE)
    with (folder / "odd.dcm").open("wb") as file:
        file.write(bytes(128) + b"DICM")
        write_file_meta_info(file, odd.file_meta, enforce_standard=False)
        file.write(dataset_bytes(a_ct()))
    told = relais_json("send", peer, folder, code=1)
    assert (told["sent"], told["failed"]) == (1, 1)
    assert told["unreadable"] == {str(folder / "odd.dcm"): why}


def test_send_fails_of_a_file_that_may_not_be_read(tmp_path: Path, relais_json: Run, peer: str) -> None:
    (tmp_path / "here.dcm").write_bytes(part10(a_ct()))
    (tmp_path / "broken.dcm").symlink_to("/proc/self/mem")  # reading its first bytes is an error, for everybody
    told = relais_json("send", peer, tmp_path / "here.dcm", tmp_path / "broken.dcm", code=1)
    assert (told["sent"], told["failed"], told["not_dicom"]) == (1, 1, 0)
    assert told["unreadable"] == {str(tmp_path / "broken.dcm"): "The file cannot be read: Input/output error."}


def test_send_of_nothing_is_no_success(tmp_path: Path, relais: Run, peer: str) -> None:
    (tmp_path / "note.txt").write_text("not DICOM")
    told = relais("send", peer, tmp_path / "note.txt", code=1)
    assert "0 sent to south, 0 with a warning, 0 failed; 1 not DICOM." in told.stdout


def test_a_file_that_is_gone_when_its_turn_comes_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "1.dcm"
    path.write_bytes(part10(a_ct()))
    with closing(PixelWorkers(PixelSettings())) as pixels:
        outgoing = of_file(path, pixels)
        path.unlink()
        with pytest.raises(Unavailable, match=r"1\.dcm cannot be read: No such file"):
            list(outgoing.read(outgoing.transfer_syntax_uid))


def test_send_refuses_what_it_cannot_find(tmp_path: Path, relais: Run, peer: str) -> None:
    filled(tmp_path, relais)
    assert "holds no study, series or instance 1.2.3." in relais("send", peer, "1.2.3", code=1).stderr
    assert "does not exist" in relais("send", peer, tmp_path / "nowhere", code=1).stderr
    (tmp_path / "x.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert relais("send", peer, tmp_path / "x.zip", code=1).stdout.startswith("0 sent")


def test_echo_tells_whether_a_peer_answers(relais: Run, relais_json: Run, peer: str) -> None:
    assert "south answered in" in relais("echo", peer).stdout
    assert relais_json("echo", peer)["answers"] is True
    told = relais("echo", "gone", code=1)
    assert told.stderr.startswith("Error: gone ")
    told = relais("echo", "nobody", code=1).stderr
    assert "no peer called nobody (configured: south, gone), and it is no AE_TITLE@HOST:PORT" in " ".join(told.split())
    assert relais("echo", "BAD\\TITLE@127.0.0.1:104", code=2)


@pytest.mark.parametrize(
    ("peer", "code"),
    [
        ("http://rosa:s3cret@127.0.0.1:1", 2),
        ("ftp://rosa:s3cret@127.0.0.1:1", 2),
        ("ftp://rosa:s3cret@127.0.0.1", 1),
    ],
)
def test_a_password_in_what_is_no_name_of_a_peer_is_not_shown(relais: Run, peer: str, code: int) -> None:
    told = relais("echo", peer, code=code)
    assert "s3cret" not in told.output
    assert "rosa:********@127.0.0.1" in "".join(told.output.split())


def test_peers_are_listed_and_asked(relais: Run, relais_json: Run, peer: str) -> None:
    assert [found["name"] for found in relais_json("peers")] == [peer, "gone"]
    told = relais("peers", "--echo", code=1).stdout
    assert "south" in told
    assert "gone" in told


def test_without_peers_it_is_said_how_to_add_one(relais: Run) -> None:
    assert "Add [[peers]]" in relais("peers").stdout


def test_what_was_sent_is_committed_to(tmp_path: Path, relais: Run, relais_json: Run, peer: str) -> None:
    (first, *_) = filled(tmp_path, relais)
    told = relais_json("send", "--commit", peer, first.StudyInstanceUID)
    assert (told["sent"], told["committed"], told["not_committed"]) == (3, 3, {})
    assert "3 committed to, 0 not." in relais("send", "--commit", peer, first.StudyInstanceUID).stdout


def test_what_is_not_committed_to_is_named_with_the_reason(
    tmp_path: Path, relais: Run, relais_json: Run, config_file: Path
) -> None:
    (first, *_) = filled(tmp_path, relais)

    def all_but_one(information: Dataset) -> tuple[Sequence[Dataset], Sequence[Dataset]]:
        *most, last = information.ReferencedSOPSequence
        last.FailureReason = 0x0112
        return most, [last]

    with provider("ARCHIVE", all_but_one) as port:
        told = relais_json("send", "--commit", f"ARCHIVE@127.0.0.1:{port}", first.StudyInstanceUID, code=1)
        assert told["committed"] == 2
        assert list(told["not_committed"].values()) == ["reason 0112"]
    with provider("ARCHIVE", lambda information: ([], [])) as port:
        address = f"ARCHIVE@127.0.0.1:{port}"
        told = relais_json("send", "--commit", "--wait", "0.5", address, first.StudyInstanceUID, code=1)
        assert set(told["not_committed"].values()) == {"no answer"}
