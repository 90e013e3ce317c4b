"""The web door while processes behind it die: who was not accepted yet waits, and is served by who comes after."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import pytest

from fixtures.served import Served, put_away
from relais.node.listen import eventually

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
    assert eventually(lambda: states(pid) == {"T"}, 60)


def states(pid: int) -> set[str]:
    """Of all threads of the process."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


def asking(node: Served, closing: ExitStack) -> socket.socket:
    """A connection with a request that nobody has seen yet."""
    connection = closing.enter_context(socket.create_connection(("127.0.0.1", node.web_port), 180))
    connection.sendall(b"GET /dicom-web/studies HTTP/1.1\r\nHost: node\r\nAccept: application/dicom+json\r\n\r\n")
    return connection


def status(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status


def test_who_waits_at_workers_that_are_killed_is_served_by_their_successors(node: Served) -> None:
    assert eventually(lambda: len(node.workers()) == 2, 120)
    workers = node.workers()
    for pid in workers:
        stop(pid)
    with ExitStack() as closing:
        clients = [asking(node, closing) for _ in range(CLIENTS)]
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert [status(client) for client in clients] == [200] * CLIENTS
    assert eventually(lambda: len(node.workers()) == 2, 120)
    assert not {*workers} & {*node.workers()}


def test_who_waits_while_the_whole_web_process_is_down_is_served_by_the_next_one(node: Served) -> None:
    former = node.child("web")
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
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", node.web_port), 60)
