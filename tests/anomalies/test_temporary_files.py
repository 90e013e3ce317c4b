"""What is made of instances for whoever asks, and says who the patient is: nothing is left of it when the node ends."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import pytest
from pydicom import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from fixtures.builders import a_ct, part10
from fixtures.process import open_below
from fixtures.served import ONE_BEHIND_EACH_DOOR, Served, put_away
from fixtures.waiting import eventually
from fixtures.web import path
from relais.node.outgoing import of_file
from relais.peers.base import Verdict
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers

LONG_S = 300.0  # for what must come to pass, however busy the machine is
SIDE = 4096  # of an image of 32 MB: more than waits in sockets


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where temporary files go."""
    made = tmp_path / "scratch"
    made.mkdir()
    return made


@pytest.fixture
def node(tmp_path: Path, scratch: Path) -> Iterator[Served]:
    made = Served(tmp_path, TMPDIR=str(scratch), **ONE_BEHIND_EACH_DOOR)
    made.wait_until_ready()
    yield made
    put_away(made)


@pytest.fixture
def pool() -> Iterator[PixelWorkers]:
    made = PixelWorkers(PixelSettings(workers=1))
    yield made
    made.close()


def wado_uri(ds: FileDataset, **parameters: str) -> str:
    named = {"studyUID": ds.StudyInstanceUID, "seriesUID": ds.SeriesInstanceUID, "objectUID": ds.SOPInstanceUID}
    return "/wado?" + urlencode({"requestType": "WADO", "contentType": "application/dicom", **named, **parameters})


def anonymous(ds: FileDataset) -> str:
    return wado_uri(ds, anonymize="yes")


def native(ds: FileDataset) -> str:
    return wado_uri(ds, transferSyntax=ExplicitVRLittleEndian)


def in_parts(ds: FileDataset) -> str:
    """Every part in the default Transfer Syntax, which is native."""
    return f"/dicom-web{path(ds)}"


def store(node: Served, pool: PixelWorkers, folder: Path) -> FileDataset:
    """A large image, of which no byte is sent as it is stored."""
    ds = a_ct(rows=SIDE, columns=SIDE, transfer_syntax=JPEG2000Lossless)
    file = folder / "one.dcm"
    file.write_bytes(part10(ds))
    (sent,) = node.peer.store([of_file(file, pool)])
    assert sent.verdict is Verdict.COMPLETED
    return ds


def begin_to_read(node: Served, resource: str, closing: ExitStack) -> None:
    """Ask for *resource*, read the beginning of the answer, and nothing more."""
    connection = closing.enter_context(socket.create_connection(("127.0.0.1", node.web_port), LONG_S))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    accept = "application/dicom, multipart/related; type=application/dicom"
    connection.sendall(f"GET {resource} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("resource", [anonymous, native, in_parts])
def test_a_copy_that_somebody_reads_is_gone_with_the_node(
    node: Served, pool: PixelWorkers, tmp_path: Path, scratch: Path, resource: Callable[[FileDataset], str]
) -> None:
    ds = store(node, pool, tmp_path)
    with ExitStack() as closing:
        begin_to_read(node, resource(ds), closing)
        assert open_below(scratch)
        assert list(scratch.iterdir()) == []
        node.kill()
    assert list(scratch.iterdir()) == []


def test_a_copy_that_is_being_made_is_gone_with_the_node(
    node: Served, pool: PixelWorkers, tmp_path: Path, scratch: Path
) -> None:
    ds = store(node, pool, tmp_path)
    with ExitStack() as closing:
        connection = closing.enter_context(socket.create_connection(("127.0.0.1", node.web_port), LONG_S))
        connection.sendall(f"GET {anonymous(ds)} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode())
        assert eventually(lambda: bool(open_below(scratch)), LONG_S)
        node.kill()
    assert list(scratch.iterdir()) == []


def test_what_a_peer_is_sent_in_another_syntax_has_no_name_meanwhile(
    pool: PixelWorkers, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    file = tmp_path / "one.dcm"
    file.write_bytes(part10(ds := a_ct(transfer_syntax=JPEG2000Lossless)))
    chunks = of_file(file, pool).read(ExplicitVRLittleEndian)
    first = next(iter(chunks))
    assert str(ds.PatientID).encode() in first
    assert open_below(scratch)
    assert list(scratch.iterdir()) == []
