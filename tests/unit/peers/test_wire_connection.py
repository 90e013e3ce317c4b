"""The connection under an association: everything arrives, in order, and no wait is for ever."""

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from relais.peers.wire.connection import BUFFER_BYTES, Connection, ConnectionLost

SOON_S, LONG_S = 0.1, 30.0


def soon() -> float:
    return time.monotonic() + SOON_S


def later() -> float:
    return time.monotonic() + LONG_S


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    """Our end of a connection and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname(), LONG_S)
        ours, _ = listening.accept()
    connection = Connection(ours)
    with peer:
        yield connection, peer
    connection.close()


def test_what_is_sent_in_many_pieces_arrives_whole_at_a_slow_reader(ends: tuple[Connection, socket.socket]) -> None:
    connection, peer = ends
    chance = random.Random(7)
    pieces = [chance.randbytes(chance.choice((0, 1, 12, 4096, 131072))) for _ in range(3000)]
    received = bytearray()

    def read() -> None:
        while piece := peer.recv(chance.choice((1000, 100_000, 1_000_000))):
            received.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    connection.send(pieces, LONG_S)
    connection.close()
    reader.join(LONG_S)
    assert received == b"".join(pieces)


def test_what_is_read_comes_in_order_whatever_the_sizes(ends: tuple[Connection, socket.socket]) -> None:
    connection, peer = ends
    chance = random.Random(8)
    data = chance.randbytes(4 * BUFFER_BYTES)
    sender = threading.Thread(target=peer.sendall, args=(data,))
    sender.start()
    found = bytearray()
    while len(found) < len(data):
        count = min(len(data) - len(found), chance.choice((1, 6, 70_000, BUFFER_BYTES + 1)))
        if chance.random() < 0.5:
            found += connection.read(count, later())
        else:
            found += b"".join([bytes(piece) for piece in connection.slices(count, later())])
    sender.join(LONG_S)
    assert found == data


def test_waiting_for_what_does_not_come_has_an_end(ends: tuple[Connection, socket.socket]) -> None:
    connection, peer = ends
    assert not connection.has_data
    assert not connection.wait(soon())
    peer.sendall(b"12")
    assert connection.wait(later())
    with pytest.raises(TimeoutError):
        connection.read(3, soon())


def test_dripping_bytes_do_not_put_off_the_end_of_a_wait(ends: tuple[Connection, socket.socket]) -> None:
    connection, peer = ends
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(0.01):
            peer.sendall(b"x")

    dripper = threading.Thread(target=drip)
    dripper.start()
    with pytest.raises(TimeoutError):
        connection.read(100_000, soon())
    is_over.set()
    dripper.join(LONG_S)


def test_sending_to_who_does_not_read_has_an_end(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    with pytest.raises(TimeoutError):
        connection.send([bytes(1024 * 1024)] * 64, SOON_S)


class SlowPeer:
    """Takes *rate* bytes of what is sent in each second that our end waits, of which none goes by."""

    def __init__(self, connection: Connection, peer: socket.socket, rate: int, patch: pytest.MonkeyPatch) -> None:
        self._real, self._peer, self._rate = connection._writable, peer, rate
        self.received, self.waited_s = 0, 0.0
        peer.setblocking(False)
        patch.setattr(connection, "_writable", self)
        patch.setattr("time.monotonic", lambda: self.waited_s)

    def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
        self.waited_s += timeout_ms / 1000
        with suppress(BlockingIOError):
            while self.received < self.waited_s * self._rate:
                self.received += len(self._peer.recv(int(self.waited_s * self._rate) - self.received + 1))
        return self._real.poll(0)


def test_who_takes_steadily_gets_all_however_long_it_takes(
    ends: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, peer = ends
    with monkeypatch.context() as patch:
        slow = SlowPeer(connection, peer, 10_000, patch)
        for _ in range(20):
            connection.send([bytes(2**20)], 60)
        assert slow.received > 2**20
        assert slow.waited_s > 100


@pytest.mark.parametrize("size", [2**10, 2**20])
def test_who_takes_a_trickle_is_given_up(
    ends: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Whether much is sent at once or little: as if a seat could be held for ever by taking a byte now and then."""
    connection, peer = ends
    with monkeypatch.context() as patch:
        slow = SlowPeer(connection, peer, 1000, patch)
        with pytest.raises(TimeoutError):
            for _ in range(2**25 // size):
                connection.send([bytes(size)], 10)
        assert slow.waited_s < 1000


def test_the_end_of_the_connection_is_told(ends: tuple[Connection, socket.socket]) -> None:
    connection, peer = ends
    peer.sendall(b"123")
    peer.shutdown(socket.SHUT_WR)
    assert connection.read(3, later()) == b"123"
    with pytest.raises(ConnectionLost):
        connection.wait(later())


def test_another_thread_can_end_the_wait(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    timer = threading.Timer(SOON_S, connection.interrupt)
    timer.start()
    with pytest.raises(ConnectionLost):
        connection.wait(later())
    timer.join()
