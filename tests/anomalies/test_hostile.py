"""One hostile peer: what it sends costs little and is answered, and others notice nothing (hardening 3 to 5)."""

import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from pydicom import Dataset

from fixtures import upper_layer as ul
from fixtures.builders import a_ct, dataset_bytes
from fixtures.process import MB, descriptors, forget_peak, peak_bytes, resident_bytes, threads
from fixtures.served import ONE_BEHIND_EACH_DOOR, Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually

STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PUSH_MODEL, PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
IMPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
PROPOSALS = (
    (ul.CT, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),
    (STUDY_FIND, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),
    (ul.CT, (DEFLATED,)),
    (PUSH_MODEL, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),
)
STORE, FIND, STORE_DEFLATED, COMMIT = 1, 3, 5, 7
MAY_HOLD = 48  # associations of one address: [dimse] max_per_peer

QUICK_S = 30.0  # less than a hundredth of it when the machine has nothing else to do
MOST_BYTES = 100 * MB  # that one peer costs, whatever it does
SETTLES_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("hostile"), RELAIS_DIMSE__ACSE_TIMEOUT_S="5", **ONE_BEHIND_EACH_DOOR)
    made.wait_until_ready()
    yield made
    put_away(made)


class Others:
    """Who uses the node beside the hostile peer, and what that costs the node."""

    def __init__(self, node: Served) -> None:
        self.node, self.visitor = node, Visitor(node.dimse_port, node.web_port)
        for door in ("dimse", "web"):
            assert self.visitor.store(door) in {"0000", "200"}
        assert self.visitor.fetch_all()
        self.pid = node.child("dimse")
        self.before = resident_bytes(self.pid), descriptors(self.pid), threads(self.pid)
        forget_peak(self.pid)

    def notice_nothing(self) -> None:
        (uid, *_) = self.visitor.acknowledged
        for _ in range(5):
            for act in (self.visitor.echo, lambda: self.visitor.find(uid)):
                began = time.monotonic()
                assert act()
                assert time.monotonic() - began < QUICK_S
        assert self.visitor.store("dimse") == "0000"
        assert self.visitor.fetch_all()

    def can_echo(self) -> bool:
        """Whether there is room for one more association from this address."""
        try:
            return self.visitor.echo()
        except ConnectionError:
            return False

    def cost_bytes(self) -> int:
        return peak_bytes(self.pid) - self.before[0]

    def settle(self) -> None:
        """Files and threads are given back in time."""
        assert self.node.child("dimse") == self.pid
        assert eventually(lambda: descriptors(self.pid) <= self.before[1] + 1, SETTLES_WITHIN_S)
        assert eventually(lambda: threads(self.pid) <= self.before[2] + 1, SETTLES_WITHIN_S)


@pytest.fixture
def others(node: Served) -> Others:
    return Others(node)


def pour(connection: socket.socket, data: bytes, most_bytes: int) -> None:
    """Send *data* again and again, until *most_bytes* are sent or nobody takes them."""
    connection.settimeout(5)
    with suppress(OSError):
        for _ in range(most_bytes // len(data)):
            connection.sendall(data)


A_FIND = ul.pdv(3, ul.command(e0002=STUDY_FIND, e0100=0x20, e0110=1, e0700=0, e0800=1), FIND)
POURED = {
    "behind a PDU of four gigabytes": (struct.pack(">BxI", 4, 0xFFFFFFFF), bytes(MB)),
    "behind an A-ASSOCIATE-RQ of four gigabytes": (struct.pack(">BxI", 1, 0xFFFFFFFF), bytes(MB)),
    "as a command set": (b"", ul.pdv(1, bytes(100_000), FIND)),
    "as an Identifier": (A_FIND, ul.pdv(0, bytes(100_000), FIND)),
}


@pytest.mark.parametrize(("first", "piece"), POURED.values(), ids=POURED.keys())
def test_what_is_poured_without_end_is_dropped(node: Served, others: Others, first: bytes, piece: bytes) -> None:
    """Hardening 4: 300 MB that nobody keeps."""
    with ul.associate(node.dimse_port, ul.associate_rq(PROPOSALS)) as connection:
        connection.sendall(first)
        pour(connection, piece, 300 * MB)
        others.notice_nothing()
    assert others.cost_bytes() < 64 * MB
    others.settle()


def test_as_many_unfinished_messages_as_one_peer_may_hold_cost_little(node: Served, others: Others) -> None:
    """Hardening 3: every association that it may have holds the longest Identifier that is taken, but for its end."""
    with ExitStack() as keep:
        for _ in range(MAY_HOLD):
            connection = keep.enter_context(ul.associate(node.dimse_port, ul.associate_rq(PROPOSALS)))
            connection.sendall(A_FIND)
            pour(connection, ul.pdv(0, bytes(500_000), FIND), 4 * MB - 600_000)
        assert eventually(others.can_echo, SETTLES_WITHIN_S)  # the node let go of most
        others.notice_nothing()
    assert others.cost_bytes() < MOST_BYTES
    others.settle()


def store(data: bytes, context_id: int, sop_instance_uid: str) -> bytes:
    pieces = [ul.pdv(3, ul.store_rq(1, ul.CT, sop_instance_uid), context_id)]
    for at in range(0, len(data), 100_000):
        last = at + 100_000 >= len(data)
        pieces.append(ul.pdv(2 if last else 0, data[at : at + 100_000], context_id))
    return b"".join(pieces)


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def nested(depth: int) -> bytes:
    """Sequences in sequences, of undefined length, never closed."""
    opened = struct.pack("<HH2s2xI", 0x0040, 0xA730, b"SQ", 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return opened * depth


def deflated(plain: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(plain) + deflater.flush()


def bomb(megabytes: int) -> bytes:
    """A CT that is well-formed as far as one looks, and inflates to that much."""
    ds = a_ct(rows=16, columns=16)
    head = dataset_bytes(ds)[: -(16 * 16 * 2 + 12)]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    made = [deflater.compress(head + struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", megabytes * MB))]
    made += [deflater.compress(bytes(MB)) for _ in range(megabytes)]
    return b"".join([*made, deflater.flush()])


BOMBS: dict[str, tuple[Callable[[], bytes], int]] = {
    "a thousand nested sequences": (lambda: nested(1000), STORE),
    "a hundred thousand nested sequences": (lambda: nested(100_000), STORE),
    "a million empty elements": (lambda: element(0x00091001, b"UN", b"") * 1_000_000, STORE),
    "an element of four gigabytes": (
        lambda: struct.pack("<HH2s2xI", 9, 0x1001, b"UN", 0xFFFFFFF0) + bytes(1000),
        STORE,
    ),
    "deflated zeros that inflate to two gigabytes": (lambda: bomb(2000), STORE_DEFLATED),
    "deflated noise": (lambda: b"\xff" * 100_000, STORE_DEFLATED),
}


@pytest.mark.parametrize(("made", "context_id"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_with_a_status(
    node: Served, others: Others, made: Callable[[], bytes], context_id: int
) -> None:
    """Hardening 5: C000, cannot understand (PS3.4 B.2.3), over an association that goes on."""
    data = made()
    with ul.associate(node.dimse_port, ul.associate_rq(PROPOSALS)) as connection:
        connection.settimeout(180)  # a million elements are read
        connection.sendall(store(data, context_id, ul.fresh_uid()))
        others.notice_nothing()
        kind, answer = ul.read_pdu(connection)
        assert kind == ul.P_DATA_TF
        assert ul.status_of(answer) in {0xC000, 0xA700, 0xA900}
        ul.release(connection)
    assert others.cost_bytes() < MOST_BYTES
    others.settle()


@pytest.mark.parametrize("depth", [40, 1000, 100_000])
def test_a_nested_identifier_is_refused_with_a_status(node: Served, others: Others, depth: int) -> None:
    """PS3.4 C.4.1.1.4: C000, unable to process"""
    with ul.associate(node.dimse_port, ul.associate_rq(PROPOSALS)) as connection:
        connection.settimeout(120)
        connection.sendall(A_FIND)
        for at in range(0, len(data := nested(depth)), 60_000):
            connection.sendall(ul.pdv(2 if at + 60_000 >= len(data) else 0, data[at : at + 60_000], FIND))
        kind, answer = ul.read_pdu(connection)
        assert (kind, ul.status_of(answer) >> 12) == (ul.P_DATA_TF, 0xC)
    others.notice_nothing()
    others.settle()


A_COMMITMENT = ul.pdv(
    3, ul.command(e0003=PUSH_MODEL, e0100=0x130, e0110=1, e0800=1, e1001=PUSH_MODEL_INSTANCE, e1008=1), COMMIT
)
EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
OF_MANY_ITEMS = {
    "an Identifier": (A_FIND, FIND, 0x00081110, 130_000),
    "a commitment request": (A_COMMITMENT, COMMIT, 0x00081199, 500_000),
}


@pytest.mark.parametrize(("asked", "context_id", "tag", "items"), OF_MANY_ITEMS.values(), ids=OF_MANY_ITEMS.keys())
def test_a_request_of_very_many_empty_items_is_refused_at_once(
    node: Served, others: Others, asked: bytes, context_id: int, tag: int, items: int
) -> None:
    """Hardening 3: each is eight bytes there, and some seven hundred as a Data Set."""
    data = element(tag, b"SQ", EMPTY_ITEM * items)
    with ul.associate(node.dimse_port, ul.associate_rq(PROPOSALS)) as connection:
        connection.settimeout(QUICK_S)
        connection.sendall(asked)
        for at in range(0, len(data), 60_000):
            connection.sendall(ul.pdv(2 if at + 60_000 >= len(data) else 0, data[at : at + 60_000], context_id))
        kind, answer = ul.read_pdu(connection)
        assert kind == ul.P_DATA_TF
        assert ul.status_of(answer) not in {0x0000, 0xFF00}
        ul.release(connection)
    others.notice_nothing()
    assert others.cost_bytes() < 32 * MB
    others.settle()


GIANT = {"Rows": 65535, "Columns": 65535, "NumberOfFrames": 2**31 - 1}


def named(ds: Dataset) -> str:
    return f"studyUID={ds.StudyInstanceUID}&seriesUID={ds.SeriesInstanceUID}&objectUID={ds.SOPInstanceUID}"


def test_a_tiny_file_with_a_giant_matrix_is_an_error_of_who_asks(node: Served, others: Others) -> None:
    """Hardening 5: it is kept as it came, and what cannot be made of it is refused."""
    ds = a_ct(SOPInstanceUID=ul.fresh_uid(), StudyInstanceUID=(study := ul.fresh_uid()), **GIANT)
    with ul.associate(node.dimse_port, ul.associate_rq(PROPOSALS)) as connection:
        connection.sendall(store(dataset_bytes(ds), STORE, ds.SOPInstanceUID))
        assert ul.status_of(ul.read_pdu(connection)[1]) == 0xB007  # it has not the pixels that it says
        ul.release(connection)
    instance = f"/dicom-web/studies/{study}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    worker = node.workers()[0]
    forget_peak(worker)
    before = resident_bytes(worker)
    found = [others.visitor.get(instance + path)[0] for path in ("/metadata", "/frames/1", "/rendered", "/thumbnail")]
    found.append(others.visitor.get(f"/wado?requestType=WADO&{named(ds)}&contentType=image/gif")[0])
    assert found[0] == 200
    assert all(400 <= status < 500 for status in found[1:]), found
    assert peak_bytes(worker) - before < MOST_BYTES
    others.notice_nothing()
