"""DCMTK's archive, dcmqrscp, brought here by C-GET and by C-MOVE."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from fixtures import dcmtk
from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, part10, uid
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.node import content_of
from relais.archive.ingest import store_part10
from relais.archive.ledger import Ledger
from relais.archive.pull import Pull, Report
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Match, MatchKind
from relais.dicom.refs import StudyRef
from relais.errors import Unavailable
from relais.node.pulling import DimsePull
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings

THORAX = uid("thorax")
PeerOf = Callable[..., DimsePeer]


@contextmanager
def dcmqrscp(folder: Path, here_port: int) -> Iterator[int]:
    """The port of a running dcmqrscp, called QRSCP, whose only move destination is RELAIS on *here_port*.

    Of the compressed Transfer Syntaxes it takes the one that its options name.
    """
    files, config = folder / "files", folder / "dcmqrscp.cfg"
    files.mkdir(parents=True)
    config.write_text(
        "MaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nhere = (RELAIS, localhost, {here_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQRSCP {files} RW (1000, 8192mb) ANY\nAETable END\n"
    )
    with dcmtk.listening(
        lambda port: ["dcmqrscp", "+xr", "-c", str(config), str(port)], folder / "dcmqrscp.log"
    ) as port:
        yield port


@dataclass
class Cut:
    """A way to a peer that breaks once, after so many bytes of an answer. *is_done* tells whether it has broken."""

    port: int
    is_done: bool = False


@contextmanager
def cut_once(port: int, after_bytes: int) -> Iterator[Cut]:
    class Way(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as peer:
                back = threading.Thread(target=self.answers, args=(peer,))
                back.start()
                with suppress(OSError):
                    while piece := self.request.recv(65536):
                        peer.sendall(piece)
                    peer.shutdown(socket.SHUT_RDWR)
                back.join()

        def answers(self, peer: socket.socket) -> None:
            size = 0
            with suppress(OSError):
                while (piece := peer.recv(65536)) and (cut.is_done or size < after_bytes):
                    self.request.sendall(piece)
                    size += len(piece)
                cut.is_done = cut.is_done or size >= after_bytes
                self.request.shutdown(socket.SHUT_RDWR)
                peer.shutdown(socket.SHUT_RDWR)

    with ThreadingTCPServer(("127.0.0.1", 0), Way) as server:
        cut = Cut(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield cut
        server.shutdown()
        thread.join()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "here") as node:
        yield node


@pytest.fixture
def there(tmp_path: Path, here: DimseNode) -> Iterator[PeerSettings]:
    """A dcmqrscp with two studies, one of which has several SOP Classes and Transfer Syntaxes."""
    mixed = [
        *a_series(4, StudyInstanceUID=THORAX),
        a_sr(StudyInstanceUID=THORAX),
        a_ct(StudyInstanceUID=THORAX, transfer_syntax=ImplicitVRLittleEndian),
        a_multiframe(StudyInstanceUID=THORAX, transfer_syntax=RLELossless),
        a_ct(),
    ]
    (tmp_path / "send").mkdir()
    for number, ds in enumerate(mixed):
        (tmp_path / "send" / f"{number}.dcm").write_bytes(part10(ds))
    with dcmqrscp(tmp_path / "there", here.port) as port:
        sent = dcmtk.run("dcmsend", "-aec", "QRSCP", "+sd", "+r", "-nh", "127.0.0.1", port, tmp_path / "send")
        assert sent.code == 0, sent.output
        yield PeerSettings("there", "QRSCP", "127.0.0.1", port, timeout_s=20)


def pulled(
    here: DimseNode, settings: PeerSettings, *matches: Match, destination: str = "", parallel: int = 1
) -> Report:
    with Ledger(here.archive, here.folder / "pulls", "there") as ledger:
        pull = Pull(ledger)
        source = DimsePull(pull, here.archive, DimsePeer(settings, "RELAIS"), Origin(Channel.IMPORT), destination)
        return source.run(matches, parallel)


def counts(report: Report) -> tuple[Any, ...]:
    return report.total, report.complete, report.instances, report.received, report.incomplete


def test_everything_comes_by_get_in_the_syntaxes_it_is_kept_in(here: DimseNode, there: PeerSettings) -> None:
    assert counts(pulled(here, there, parallel=2)) == (2, 2, 8, 8, {})
    heads = b"".join(content_of(here.archive, key)[:1000] for key in here.kept)
    assert RLELossless.encode() in heads
    again = pulled(here, there)
    assert (again.known, again.received) == (2, 0)


def test_everything_comes_by_move_to_the_node_that_runs(here: DimseNode, there: PeerSettings) -> None:
    report = pulled(here, there, destination="RELAIS")
    assert (report.total, report.complete, report.received) == (2, 1, 7)
    [left] = report.incomplete.values()  # dcmqrscp itself cannot send the RLE one: it proposes no context for it
    assert left.missing == 1
    assert "status A702" in " ".join(left.notes)


def test_what_was_here_before_has_not_come_now(here: DimseNode, there: PeerSettings, tmp_path: Path) -> None:
    first, second, *_ = sorted((tmp_path / "send").iterdir())
    for file in (first, second):
        store_part10(here.archive, BytesIO(file.read_bytes()), Origin(Channel.IMPORT))
    report = pulled(here, there, Match(0x0020000D, MatchKind.SINGLE_VALUE, (THORAX,)))
    assert counts(report) == (1, 1, 7, 5, {})
    assert report.here == 2


@pytest.mark.parametrize("lacking", [0, 5])
def test_what_was_refused_is_told_also_if_the_peer_broke_off_then(
    here: DimseNode, tmp_path: Path, lacking: int
) -> None:
    """What is refused since another one is here is not asked for again. *lacking* is the only one that is not."""
    (tmp_path / "send").mkdir()
    for number, ds in enumerate(a_series(6, rows=256, columns=256, StudyInstanceUID=THORAX)):
        (tmp_path / "send" / f"{number}.dcm").write_bytes(part10(ds))
        ds.ImageComments = "another one"
        if number != lacking:
            store_part10(here.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
    with dcmqrscp(tmp_path / "there", here.port) as port, cut_once(port, 400_000) as cut:
        assert dcmtk.run("dcmsend", "-aec", "QRSCP", "+sd", "-nh", "127.0.0.1", port, tmp_path / "send").code == 0
        report = pulled(here, PeerSettings("there", "QRSCP", "127.0.0.1", cut.port, timeout_s=20))
    assert cut.is_done
    assert counts(report) == (1, 1, 6, 1, {})
    [note] = report.notes[THORAX]
    assert note[1:].startswith(" refused here with status 0111: ")


def test_only_what_is_asked_for_comes(here: DimseNode, there: PeerSettings) -> None:
    one = Match(0x0020000D, MatchKind.SINGLE_VALUE, (THORAX,))
    assert counts(pulled(here, there, one)) == (1, 1, 7, 7, {})
    assert here.instances == 7


def test_a_move_to_whom_the_peer_does_not_know_is_told(here: DimseNode, there: PeerSettings) -> None:
    report = pulled(here, there, Match(0x0020000D, MatchKind.SINGLE_VALUE, (THORAX,)), destination="NOBODY")
    assert "status A801" in " ".join(report.incomplete[THORAX].notes)
    assert here.instances == 0


def test_a_move_that_takes_for_ever_is_broken_off_when_it_is_to_end(tmp_path: Path) -> None:
    (tmp_path / "send").mkdir()
    ds = a_ct()
    (tmp_path / "send" / "1.dcm").write_bytes(part10(ds))
    with dcmtk.storescp(tmp_path / "out", "--sleep-after", "600") as slow, dcmqrscp(tmp_path, slow.port) as port:
        assert dcmtk.run("dcmsend", "-aec", "QRSCP", "-nh", "127.0.0.1", port, tmp_path / "send" / "1.dcm").code == 0
        peer = DimsePeer(PeerSettings("there", "QRSCP", "127.0.0.1", port), "RELAIS")
        looks = iter([True, True, False])
        with pytest.raises(Unavailable, match="stopped"):
            peer.move(StudyRef(ds.StudyInstanceUID), "RELAIS", lambda: next(looks))
        assert next(looks, None) is None


def test_a_peer_without_get_is_told_apart(here: DimseNode, there: PeerSettings, tmp_path: Path) -> None:
    with dcmtk.storescp(tmp_path / "out", ae_title="THERE") as scp:
        settings = replace(there, ae_title="THERE", port=scp.port)
        with pytest.raises(Exception, match=r"presentation contexts"):
            pulled(here, settings)
