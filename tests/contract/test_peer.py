"""What every peer promises (relais.peers.base), over each adapter, against one node in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import FileDataset
from pydicom.uid import JPEG2000Lossless

from fixtures import dcmtk
from fixtures.builders import a_ct, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.cast import SURYA, YAMADA
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.node import content_of
from fixtures.ports import free_port
from fixtures.pynetdicom_scu import UNCOMPRESSED, Inbox, storage_scp
from relais.archive.ingest import store_part10
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import SeriesRef, StudyRef
from relais.errors import InvalidRequest, OutOfResources, Unavailable
from relais.peers.base import Announced, Buffer, MoveOriginator, Outgoing, Peer, Retrieved, Sent, Verdict
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings

CT = "1.2.840.10008.5.1.4.1.1.2"
JPEG = "1.2.840.10008.1.2.4.70"
STUDY_UID, SERIES_UID = 0x0020000D, 0x0020000E


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node") as node:
        yield node


@pytest.fixture(params=["dimse"])
def peer(request: pytest.FixtureRequest, node: DimseNode) -> Peer:
    """Each adapter, speaking to the node."""
    assert request.param == "dimse"
    return dimse_peer(node.port)


def dimse_peer(port: int, timeout_s: float = 20, ae_title: str = "RELAIS", parallel: int = 1) -> DimsePeer:
    settings = PeerSettings("there", ae_title, "127.0.0.1", port, timeout_s=timeout_s, parallel=parallel)
    return DimsePeer(settings, "HERE")


def outgoing(ds: FileDataset, piece_bytes: int = 1000) -> Outgoing:
    """An instance whose Data Set is read in small pieces, in the Transfer Syntax that it has and no other."""

    def read(syntax: str) -> Iterator[bytes]:
        assert syntax == ds.file_meta.TransferSyntaxUID
        data = dataset_bytes(ds)
        return (data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes))

    return Outgoing(ds.SOPClassUID, ds.SOPInstanceUID, ds.file_meta.TransferSyntaxUID, read)


def test_a_peer_that_is_there_answers(peer: Peer) -> None:
    peer.echo()


def test_a_peer_that_is_not_there_is_unavailable_and_says_so() -> None:
    absent = dimse_peer(free_port(), timeout_s=5)
    with pytest.raises(Unavailable, match=r"there at 127\.0\.0\.1:"):
        absent.echo()
    with pytest.raises(Unavailable):
        list(absent.search(Query(Level.STUDY)))
    with pytest.raises(Unavailable):
        list(absent.store([outgoing(a_ct())]))


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="host is not known"):
        DimsePeer(PeerSettings("there", "RELAIS", "no.such.host.invalid", 104)).echo()


def test_a_peer_that_rejects_is_unavailable_and_says_why(tmp_path: Path) -> None:
    refused = pytest.raises(Unavailable, match=r"(?i)there rejected the association: called ae title not recogni")
    with dimse_node(tmp_path, check_called_ae_title=True) as node, refused:
        dimse_peer(node.port, ae_title="SOMEBODY").echo()


def test_a_peer_that_accepts_nothing_is_unavailable(tmp_path: Path) -> None:
    refused = pytest.raises(Unavailable, match="none of the presentation contexts")
    with storage_scp([(CT, UNCOMPRESSED)], Inbox()) as port, refused:
        dimse_peer(port).echo()


def test_what_is_stored_arrives_as_it_was(peer: Peer, node: DimseNode) -> None:
    instances = [*a_series(3), a_sr(), a_ct(transfer_syntax="1.2.840.10008.1.2")]
    sent = list(peer.store(outgoing(ds) for ds in instances))
    assert [(one.sop_instance_uid, one.status) for one in sent] == [(ds.SOPInstanceUID, 0) for ds in ordered(instances)]
    assert node.instances == 5
    stored = sorted(content_of(node.archive, key)[-3000:] for key in node.kept)
    assert all(any(data.endswith(dataset_bytes(ds)[-1000:]) for data in stored) for ds in instances)


@pytest.mark.parametrize("allowed", [48, 1])
def test_over_several_associations_everything_arrives_once(tmp_path: Path, allowed: int) -> None:
    """also where the peer takes fewer associations than it is offered"""
    instances = a_series(25)
    with dimse_node(tmp_path, max_per_peer=allowed) as node:
        sent = list(dimse_peer(node.port, parallel=4).store([outgoing(ds) for ds in instances]))
        assert node.instances == 25
    assert {one.sop_instance_uid for one in sent} == {ds.SOPInstanceUID for ds in instances}
    assert [one.status for one in sent] == [0] * 25


def test_several_associations_with_nobody_are_unavailable() -> None:
    with pytest.raises(Unavailable):
        list(dimse_peer(free_port(), timeout_s=5, parallel=4).store([outgoing(ds) for ds in a_series(8)]))


@pytest.mark.parametrize("parallel", [1, 4])
def test_who_says_stop_gets_what_was_on_its_way_and_no_more(tmp_path: Path, parallel: int) -> None:
    told: list[Sent] = []
    with dcmtk.storescp(tmp_path / "out", "--fork", ae_title="THERE") as scp:
        peer = dimse_peer(scp.port, ae_title="THERE", parallel=parallel)
        for sent in peer.store([outgoing(ds) for ds in a_series(40)], keep_going=lambda: len(told) < 5):
            told.append(sent)
        assert len(scp.files) == len(told)
    assert 5 <= len(told) <= 5 + 3 * parallel
    assert all(one.status == 0 for one in told)


def test_nothing_to_store_needs_no_peer() -> None:
    assert list(dimse_peer(free_port()).store([])) == []


def test_an_instance_that_cannot_be_read_fails_alone(peer: Peer, node: DimseNode) -> None:
    good, bad = a_ct(), a_ct()

    def unreadable(syntax: str) -> Iterator[bytes]:
        yield b"\0" * 100
        raise OutOfResources("The disk is on fire.")

    broken = Outgoing(bad.SOPClassUID, bad.SOPInstanceUID, bad.file_meta.TransferSyntaxUID, unreadable)
    sent = list(peer.store([outgoing(a_ct()), broken, outgoing(good)]))
    assert [one.verdict for one in sent] == [Verdict.COMPLETED, Verdict.FAILED, Verdict.COMPLETED]
    assert (sent[1].status, sent[1].comment) == (None, "The disk is on fire.")
    assert node.instances == 2


def test_an_instance_found_damaged_half_way_is_taken_back_and_the_others_go(peer: Peer, node: DimseNode) -> None:
    bad = a_ct()

    def damaged(syntax: str) -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(1024 * 1024)
        raise Unavailable("The stored instance is damaged.")

    broken = Outgoing(bad.SOPClassUID, bad.SOPInstanceUID, bad.file_meta.TransferSyntaxUID, damaged)
    sent = list(peer.store([outgoing(a_ct()), broken, outgoing(a_ct())]))
    assert [one.verdict for one in sent] == [Verdict.COMPLETED, Verdict.FAILED, Verdict.COMPLETED]
    assert "damaged" in sent[1].comment
    assert node.instances == 2


def test_what_the_peer_does_not_take_fails_with_a_reason(peer: Peer) -> None:
    ds = a_ct()
    sent = list(
        peer.store([Outgoing("1.2.3.4", ds.SOPInstanceUID, "1.2.840.10008.1.2.1", outgoing(ds).read), outgoing(ds)])
    )
    assert [one.verdict for one in sent] == [Verdict.FAILED, Verdict.COMPLETED]
    assert "No presentation context" in sent[0].comment


def test_what_the_peer_says_of_an_instance_is_told(peer: Peer) -> None:
    ds = a_ct()
    wrong = Outgoing(ds.SOPClassUID, "1.2.3", ds.file_meta.TransferSyntaxUID, outgoing(ds).read)
    [sent] = peer.store([wrong])
    assert sent.status == 0xA900
    assert "SOP Instance UID" in sent.comment


def test_a_peer_that_goes_away_leaves_the_rest_without_a_status() -> None:
    inbox = Inbox(cut_after=2)
    series = a_series(3)
    with storage_scp([(CT, UNCOMPRESSED)], inbox) as port:
        sending = dimse_peer(port, timeout_s=5).store([outgoing(ds) for ds in series])
        first = next(sending)
    rest = list(sending)
    assert first.verdict is Verdict.COMPLETED
    assert [one.verdict for one in rest] == [Verdict.FAILED, Verdict.FAILED]
    assert rest[0].status is None


def test_closing_early_stops_after_the_instance_on_its_way(peer: Peer, node: DimseNode) -> None:
    sending = peer.store([outgoing(ds) for ds in a_series(5)])
    next(sending)
    sending.close()  # type: ignore[attr-defined]
    assert node.instances == 1
    peer.echo()


def test_who_asked_for_a_move_is_told() -> None:
    inbox = Inbox()
    with storage_scp([(CT, UNCOMPRESSED)], inbox) as port:
        list(dimse_peer(port).store([outgoing(a_ct())], MoveOriginator("WORKSTATION", 7)))
    assert (inbox.received[0].originator, inbox.received[0].originator_message_id) == ("WORKSTATION", 7)


def test_more_kinds_than_one_association_takes_go_over_several() -> None:
    """PS3.8 9.3.2.2: at most 128 presentation contexts"""
    syntaxes = [f"1.2.840.10008.1.2.4.{number}" for number in range(50, 67)]
    classes = [f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("1", "1.1", "2", "2.1", "4", "6.1", "7", "12.1", "20")]
    inbox = Inbox()

    def read(syntax: str) -> Iterator[bytes]:
        return iter([b"\0\0"])

    instances = [
        Outgoing(sop_class, f"1.2.{number}.{kind}", syntax, read)
        for kind, sop_class in enumerate(classes)
        for number, syntax in enumerate(syntaxes)
    ]
    with storage_scp([(sop_class, syntaxes) for sop_class in classes], inbox) as port:
        sent = list(dimse_peer(port).store(instances))
    assert [one.status for one in sent] == [0] * 153
    assert {(one.sop_class_uid, one.transfer_syntax_uid) for one in inbox.received} == {
        (one.sop_class_uid, one.transfer_syntax_uid) for one in instances
    }


def test_a_search_finds_what_the_peer_holds(peer: Peer, node: DimseNode) -> None:
    fill(node, a_ct(StudyInstanceUID=uid("knee"), **YAMADA), a_ct(StudyInstanceUID=uid("head"), **SURYA))
    everything = list(peer.search(Query(Level.STUDY, return_keys=frozenset({0x00100010}))))
    assert {answer["0020000D"]["Value"][0] for answer in everything} == {uid("knee"), uid("head")}
    query = Query(Level.STUDY, (Match(0x00100010, MatchKind.WILD_CARD, ("yamada*",)),))
    [answer] = peer.search(query)
    assert answer["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert [one["00100020"]["Value"] for one in peer.search(Query(Level.PATIENT))] == [["200117"], ["JP-0007"]]


def test_a_search_that_is_not_read_to_its_end_is_cancelled(peer: Peer, node: DimseNode) -> None:
    fill(node, *a_series(50, StudyInstanceUID=uid("knee"), SeriesInstanceUID=uid("series")))
    above = (
        Match(STUDY_UID, MatchKind.SINGLE_VALUE, (uid("knee"),)),
        Match(SERIES_UID, MatchKind.SINGLE_VALUE, (uid("series"),)),
    )
    assert len(list(peer.search(Query(Level.IMAGE, above, limit=7, offset=2)))) == 7
    assert len(list(peer.search(Query(Level.IMAGE, above)))) == 50


def test_a_query_that_the_peer_refuses_is_an_invalid_request(peer: Peer) -> None:
    with pytest.raises(InvalidRequest, match="A900"):
        list(peer.search(Query(Level.SERIES)))


@contextmanager
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if "AcceptorThread" not in thread.name]
    assert [thread for thread in left if "run_reactor" in thread.name and thread.is_alive() and not thread.daemon] == []


def test_no_association_and_no_thread_is_left(peer: Peer, node: DimseNode) -> None:
    with no_thread_left():
        peer.echo()
        list(peer.store([outgoing(a_ct())]))
        list(peer.search(Query(Level.STUDY)))
        with pytest.raises(Unavailable):
            dimse_peer(free_port(), timeout_s=2).echo()


def test_fifteen_hundred_sends_lose_no_response(tmp_path: Path) -> None:
    """pynetdicom's own send_c_store loses about one response in so many to the association's second thread."""
    ds = a_ct(rows=8, columns=8)
    data = dataset_bytes(ds)
    instance = Outgoing(ds.SOPClassUID, ds.SOPInstanceUID, ds.file_meta.TransferSyntaxUID, lambda syntax: iter([data]))
    with dcmtk.storescp(tmp_path / "out", "--ignore", ae_title="THERE") as scp:
        sent = list(dimse_peer(scp.port, timeout_s=10, ae_title="THERE").store([instance] * 1500))
    assert [one.status for one in sent] == [0] * 1500


def fill(node: DimseNode, *datasets: FileDataset) -> None:
    for ds in datasets:
        store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))


def ordered(instances: list[FileDataset]) -> list[FileDataset]:
    """As they are sent: by SOP Class, in the order of their first."""
    classes = list(dict.fromkeys(ds.SOPClassUID for ds in instances))
    return sorted(instances, key=lambda ds: classes.index(ds.SOPClassUID))


def test_several_searches_go_over_one_association(node: DimseNode) -> None:
    fill(node, *a_series(3, StudyInstanceUID=uid("knee"), SeriesInstanceUID=uid("series")), a_ct())
    of_study = Match(STUDY_UID, MatchKind.SINGLE_VALUE, (uid("knee"),))
    of_series = Match(SERIES_UID, MatchKind.SINGLE_VALUE, (uid("series"),))
    with dimse_peer(node.port).searching() as search:
        assert len(list(search(Query(Level.STUDY)))) == 2
        assert len(list(search(Query(Level.SERIES, (of_study,))))) == 1
        assert len(list(search(Query(Level.IMAGE, (of_study, of_series))))) == 3


@dataclass
class Tray:
    """Takes instances that are got, and answers *code* to each."""

    code: int = 0
    announced: list[Announced] = field(default_factory=list)
    data: bytes = b""
    finished: int = 0

    def receive(self, announced: Announced) -> "Tray":
        self.announced.append(announced)
        return self

    def write(self, data: Buffer) -> None:
        self.data += bytes(data)

    def finish(self) -> "Tray":
        self.finished += 1
        return self

    def discard(self) -> None:
        pass


def test_what_is_got_is_what_the_peer_keeps(node: DimseNode) -> None:
    """PS3.4 C.4.3"""
    ds = a_ct(transfer_syntax=JPEG2000Lossless)
    fill(node, ds)
    tray = Tray()
    said = dimse_peer(node.port).get(StudyRef(ds.StudyInstanceUID), [CT], tray.receive)
    assert said == Retrieved(0, completed=1)
    assert tray.announced == [Announced(CT, ds.SOPInstanceUID, JPEG2000Lossless, CT)]
    assert tray.data == dataset_bytes(ds)


def test_the_peer_hears_what_became_of_what_is_got(node: DimseNode) -> None:
    """PS3.4 C.4.3.1.4"""
    series = a_series(3)
    fill(node, *series)
    ref = SeriesRef(series[0].StudyInstanceUID, series[0].SeriesInstanceUID)
    said = dimse_peer(node.port).get(ref, (), Tray(code=0xA700).receive)
    assert (said.status, said.completed, said.failed) == (0xA702, 0, 3)


def test_who_wants_no_more_aborts_and_the_peer_goes_on(node: DimseNode) -> None:
    series = a_series(20)
    fill(node, *series)
    tray = Tray()
    with pytest.raises(Unavailable, match="stopped"):
        dimse_peer(node.port).get(StudyRef(series[0].StudyInstanceUID), [CT], tray.receive, lambda: tray.finished < 3)
    assert tray.finished == 3
    dimse_peer(node.port).echo()


def test_getting_what_is_not_there_gets_nothing(node: DimseNode) -> None:
    tray = Tray()
    assert dimse_peer(node.port).get(StudyRef("1.2.3"), [CT], tray.receive).completed == 0
    assert tray.announced == []
