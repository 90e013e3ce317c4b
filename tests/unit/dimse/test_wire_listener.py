"""Connections that come, stay silent, or are too many."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from fixtures.waiting import eventually
from relais.dimse.wire.listener import Address, Limits, Listener


class Echoing:
    """Sends back what comes, in capitals."""

    def __init__(self, connection: socket.socket, address: Any) -> None:
        self._connection = connection
        self.is_established = False

    def serve(self) -> None:
        while data := self._connection.recv(100):
            self.is_established = True
            self._connection.sendall(data.upper())

    def abort(self, block: bool = True) -> None:
        self._connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def listening(limits: Limits, **options: Any) -> Iterator[Listener]:
    listener = Listener(socket.create_server(("127.0.0.1", 0)), Echoing, limits, **options)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield listener
    finally:
        listener.shutdown()
        thread.join(30)
        assert not thread.is_alive()


def connected(listener: Listener) -> socket.socket:
    return socket.create_connection(listener.server_address, 120)


def says(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(100)


def at_work() -> int:
    """How many threads there are for connections, those of listeners that are ending included."""
    return sum(thread.name == "dimse" for thread in threading.enumerate())


def test_who_speaks_is_served() -> None:
    with listening(Limits()) as listener, connected(listener) as one, connected(listener) as other:
        assert says(one, b"one") == b"ONE"
        assert says(other, b"other") == b"OTHER"
        assert len(listener.active_associations) == 2
        other.close()
        assert eventually(lambda: len(listener.active_associations) == 1)


def test_who_says_nothing_costs_no_thread_and_is_closed_after_a_while() -> None:
    assert eventually(lambda: at_work() == 0)
    with listening(Limits(silent_s=0.3)) as listener, connected(listener) as silent:
        time.sleep(0.1)
        assert at_work() == 0
        assert silent.recv(1) == b""


def test_of_too_many_silent_ones_the_oldest_goes_and_who_speaks_is_served() -> None:
    with listening(Limits(silent=10)) as listener, ExitStack() as stack:
        silent = [stack.enter_context(connected(listener)) for _ in range(30)]
        with connected(listener) as speaker:
            assert says(speaker, b"here") == b"HERE"
        assert silent[0].recv(1) == b""
        assert says(silent[-1], b"too") == b"TOO"


def test_of_too_many_that_speak_the_oldest_that_is_not_associated_makes_room() -> None:
    with listening(Limits(threads=2)) as listener, connected(listener) as first, connected(listener) as second:
        assert says(first, b"first") == b"FIRST"
        assert says(second, b"second") == b"SECOND"
        oldest: Any = listener.active_associations[0]
        oldest.is_established = False
        with connected(listener) as third, pytest.raises(ConnectionError):
            assert says(third, b"third") == b""
            raise ConnectionAbortedError  # closed, or reset
        assert first.recv(1) == b""
        with connected(listener) as fourth:
            assert eventually(lambda: len(listener.active_associations) == 1)
            assert says(fourth, b"fourth") == b"FOURTH"


def test_of_those_in_their_welcome_the_oldest_makes_room_too(caplog: pytest.LogCaptureFixture) -> None:
    """As a TLS handshake does, this welcome puts a socket of its own in the place of the one that was accepted."""

    def welcome(connection: socket.socket, address: Address) -> tuple[socket.socket, Address]:
        within = socket.socket(fileno=connection.detach())
        within.settimeout(120)
        while (said := within.recv(1)) != b"+":
            if not said:
                within.close()
                raise ConnectionAbortedError
        return within, address

    with listening(Limits(threads=3), welcome=welcome) as listener, ExitStack() as stack:
        served, first, second = [stack.enter_context(connected(listener)) for _ in range(3)]
        served.sendall(b"+")
        assert says(served, b"served") == b"SERVED"
        first.sendall(b"-")
        assert eventually(lambda: listener._threads == 2)
        second.sendall(b"-")
        assert eventually(lambda: listener._threads == 3)
        with connected(listener) as third, pytest.raises(ConnectionError):
            assert says(third, b"+") == b""
            raise ConnectionAbortedError  # closed, or reset
        assert first.recv(1) == b""
        assert eventually(lambda: listener._threads == 2)
        with connected(listener) as fourth:
            fourth.sendall(b"+")
            assert says(fourth, b"fourth") == b"FOURTH"
        second.sendall(b"+")
        assert says(second, b"second") == b"SECOND"
        assert says(served, b"served") == b"SERVED"
    assert 'event="no thread" refused=127.0.0.1 ended=127.0.0.1' in caplog.text


def test_what_a_connection_needs_first_is_done_in_its_own_thread() -> None:
    """A TLS handshake that stalls stops nobody else."""

    def welcome(connection: socket.socket, address: Address) -> tuple[socket.socket, Address]:
        if connection.recv(1) == b"-":
            raise TimeoutError
        return connection, address

    with listening(Limits(), welcome=welcome) as listener, connected(listener) as slow, connected(listener) as refused:
        refused.sendall(b"-")
        assert refused.recv(1) == b""
        with connected(listener) as quick:
            quick.sendall(b"+")
            assert says(quick, b"quick") == b"QUICK"
        slow.sendall(b"+")
        assert says(slow, b"slow") == b"SLOW"


def test_what_is_being_served_outlives_the_listener() -> None:
    with listening(Limits()) as listener:
        connection, silent = connected(listener), connected(listener)
        assert says(connection, b"one") == b"ONE"
    with connection, silent:
        assert silent.recv(1) == b""
        assert says(connection, b"two") == b"TWO"


def test_a_thread_serves_one_connection_after_another_and_ends_when_none_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relais.dimse.wire.listener.IDLE_S", 0.2)
    assert eventually(lambda: at_work() == 0)
    with listening(Limits()) as listener:
        for _ in range(20):
            with connected(listener) as one:
                assert says(one, b"one") == b"ONE"
            assert eventually(lambda: listener.active_associations == [])
        assert at_work() <= 5  # not twenty
        with ExitStack() as stack:
            crowd = [stack.enter_context(connected(listener)) for _ in range(30)]
            assert [says(one, b"x") for one in crowd] == [b"X"] * 30
        assert eventually(lambda: at_work() == 0)
