"""What the kernel counts of connections, and how they are ended, at real sockets."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fixtures.waiting import eventually
from relais.node import connections

Ends = tuple[socket.socket, socket.socket, int]


@pytest.fixture(params=["127.0.0.1", "::1"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """A peer's end, ours, and our port."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with ExitStack() as keep:
        listener = keep.enter_context(socket.create_server((request.param, 0), family=family))
        peer = keep.enter_context(socket.create_connection(listener.getsockname()[:2], 10))
        own = keep.enter_context(listener.accept()[0])
        yield peer, own, listener.getsockname()[1]


def test_who_is_connected_is_found_and_only_lent(ends: Ends) -> None:
    peer, own, port = ends
    (found,) = [(address, lent.fileno()) for address, lent in connections.to(port)]
    assert found[0] == peer.getsockname()[:2]
    assert found[1] != own.fileno()
    own.sendall(b"still open")
    assert peer.recv(100) == b"still open"
    assert list(connections.to(1)) == []


def test_addresses_are_written_in_one_way() -> None:
    assert connections.plain("::ffff:10.0.0.1") == connections.plain("10.0.0.1") == "10.0.0.1"
    assert connections.plain("::1") == "::1"


def test_bytes_are_counted_in_both_directions(ends: Ends) -> None:
    peer, own, _ = ends
    before = connections.count(own, time.monotonic())
    peer.sendall(bytes(100))
    assert eventually(lambda: connections.unread(own) == 100, 120)
    own.sendall(bytes(70))
    assert eventually(lambda: connections.unsent(own) == 0, 120)
    after = connections.count(own, time.monotonic())
    assert (after.received - before.received, after.acknowledged - before.acknowledged) == (100, 70)


def test_what_nobody_takes_is_unsent_until_it_is_broken_off(ends: Ends) -> None:
    peer, own, _ = ends
    own.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            own.send(bytes(2**20))
    assert connections.unsent(own) > 0
    connections.break_off(own)
    with pytest.raises(BrokenPipeError):
        own.send(b"x")
    own.close()
    with pytest.raises(ConnectionResetError):
        while peer.recv(2**20):
            pass


def test_who_is_not_read_any_longer_still_hears_the_answer(ends: Ends) -> None:
    peer, own, _ = ends
    connections.stop_reading(own)
    assert own.recv(10) == b""
    own.sendall(b"too slow")
    assert peer.recv(100) == b"too slow"
    peer.close()
    connections.stop_reading(own)
    connections.break_off(own)
