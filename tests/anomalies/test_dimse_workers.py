"""`relais serve` with several processes behind its DIMSE port: they share connections and limits, also if one dies."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from fixtures import upper_layer as ul
from fixtures.served import Served, put_away
from fixtures.waiting import eventually

LIMIT = 6
REJECTED = bytes((0, 2, 3, 2))  # transient, by the presentation service: local limit exceeded (PS3.8 9.3.4)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Served]:
    made = Served(
        tmp_path, RELAIS_DIMSE__WORKERS="2", RELAIS_DIMSE__MAX_ASSOCIATIONS=str(LIMIT), RELAIS_WEB__WORKERS="1"
    )
    made.wait_until_ready()
    yield made
    put_away(made)


def workers(node: Served) -> list[int]:
    return [node.child("dimse"), node.child("dimse-2")]


def connections(pid: int, port: int) -> int:
    """How many connections to *port* that process holds."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            sockets.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and row[9] in sockets and int(row[1].partition(":")[2], 16) == port for row in rows)


def offered(node: Served) -> tuple[socket.socket, bytes | None]:
    """A connection on which an association was asked for, and the rejection, None if it was accepted."""
    connection = socket.create_connection(("127.0.0.1", node.dimse_port), 120)
    connection.sendall(ul.associate_rq())
    kind, body = ul.read_pdu(connection)
    return connection, None if kind == ul.A_ASSOCIATE_AC else body


def settled(node: Served) -> bool:
    """Whether no association is open: the node asks itself now and then whether it is ready."""
    return eventually(lambda: sum(connections(pid, node.dimse_port) for pid in workers(node)) == 0, 120)


def room(node: Served, stack: ExitStack) -> int:
    """How many associations are accepted, all of which stay open."""
    accepted = 0
    while True:
        connection, rejection = offered(node)
        stack.enter_context(connection)
        if rejection is not None:
            assert rejection == REJECTED
            return accepted
        accepted += 1
        assert accepted <= LIMIT


def is_full(node: Served, stack: ExitStack) -> bool:
    """Have LIMIT associations open; False, with none of them, if the node had one of its own meanwhile."""
    with ExitStack() as opened:
        if not settled(node) or room(node, opened) < LIMIT:
            return False
        stack.enter_context(opened.pop_all())
        return True


def spread(node: Served) -> list[int]:
    """How many of LIMIT associations each worker has."""
    assert settled(node)
    with ExitStack() as stack:
        room(node, stack)
        return [connections(pid, node.dimse_port) for pid in workers(node)]


def test_connections_are_spread_evenly(node: Served) -> None:
    assert eventually(lambda: spread(node) == [LIMIT // 2] * 2, 120)  # once both have begun to listen


def test_the_limit_holds_over_all_workers_and_what_is_released_counts_no_more(node: Served) -> None:
    for _ in range(2):
        with ExitStack() as stack:
            assert eventually(partial(is_full, node, stack), 120)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_that_is_killed_is_started_again_and_its_associations_count_no_more(node: Served, victim: int) -> None:
    assert eventually(lambda: spread(node) == [LIMIT // 2] * 2, 120)
    with ExitStack() as stack:
        assert eventually(partial(is_full, node, stack), 120)
        killed = workers(node)[victim]
        os.kill(killed, signal.SIGKILL)
        assert eventually(lambda: workers(node)[victim] != killed, 120)
        other = workers(node)[1 - victim]
        assert connections(other, node.dimse_port) >= LIMIT // 2  # they go on
        found, deadline = 0, time.monotonic() + 180
        while found < LIMIT // 2:  # until the new one has begun
            assert time.monotonic() < deadline
            found += room(node, stack)
        assert found == LIMIT // 2
    assert eventually(node.is_ready, 120)


def test_everybody_is_told_to_end_and_ends(node: Served) -> None:
    pids = workers(node)
    assert node.stop() == 0
    ended = Counter(line.split("child=")[1].split()[0] for line in log_of(node) if "event=killed" in line)
    assert ended == {}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def log_of(node: Served) -> list[str]:
    return node.errors.read_text().splitlines()
