"""The web door while processes behind it die: who was not accepted yet waits, and is served by who comes after."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest

from fixtures.served import Served, put_away
from fixtures.waiting import eventually

LONG_S = 300.0  # for what must come to pass, however busy the machine is
CLIENTS = 12  # of which each of two workers has some, but once in 2,000 times


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    made.wait_until_ready()
    yield made
    put_away(made)


def stop(pid: int) -> None:
    """From now on the process accepts nobody; it is not dead, so the kernel goes on giving it connections."""
    os.kill(pid, signal.SIGSTOP)
    assert eventually(lambda: states(pid) == {"T"}, LONG_S)


def states(pid: int) -> set[str]:
    """Of all threads of the process."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return found


def asking(node: Served, closing: ExitStack) -> socket.socket:
    """A connection with a request that nobody has seen yet."""
    connection = closing.enter_context(socket.create_connection(("127.0.0.1", node.web_port), 180))
    connection.sendall(b"GET /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n\r\n")
    return connection


def status(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status


def test_who_waits_at_workers_that_are_killed_is_served_by_their_successors(node: Served) -> None:
    assert eventually(lambda: len(node.workers()) == 2, LONG_S)
    workers = node.workers()
    for pid in workers:
        stop(pid)
    with ExitStack() as closing:
        clients = [asking(node, closing) for _ in range(CLIENTS)]
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert [status(client) for client in clients] == [200] * CLIENTS
    assert eventually(lambda: len({*node.workers()} - {*workers}) == 2, LONG_S)


def test_who_waits_while_the_whole_web_process_is_down_is_served_by_the_next_one(node: Served) -> None:
    former = node.child("web")
    assert eventually(lambda: len(node.workers()) == 2, LONG_S)
    for pid in node.workers():
        stop(pid)
    with ExitStack() as closing:
        before = [asking(node, closing) for _ in range(CLIENTS)]
        os.kill(former, signal.SIGKILL)
        after = [asking(node, closing) for _ in range(CLIENTS)]  # nobody is refused
        assert [status(client) for client in (*before, *after)] == [200] * 2 * CLIENTS
    assert node.child("web") != former


def test_a_node_that_ends_lets_nobody_wait(node: Served) -> None:
    assert node.stop() == 0
    assert eventually(lambda: node.pids() == [], LONG_S)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", node.web_port), 60)
