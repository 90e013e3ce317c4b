"""DCMTK's archive, dcmqrscp, brought here by C-GET and by C-MOVE."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from fixtures import dcmtk
from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, part10, uid
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.node import content_of
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
